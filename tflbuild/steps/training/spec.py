"""The kinds of step of this folder."""

from __future__ import annotations

from tflbuild.core.step_kind import TENSORFLOW, StepKind

KINDS = (
    # Keras model x training samples -> the model, trained to be smaller or to bear quantization
    StepKind(
        name="optimize",
        server="tensorflow",
        module="steps.training.tf_optimize",
        packages=(*TENSORFLOW, "tf_keras", "tensorflow-model-optimization"),
        outputs=("model/", "optimized.json"),
        unstable=("model/",),
    ),
)
