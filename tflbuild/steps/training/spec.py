"""The step kinds of the domain `training`."""

from __future__ import annotations

from tflbuild.core.step_kind import TENSORFLOW, StepKind

KINDS = (
    # Trains a Keras model to become smaller, or to tolerate quantization.
    StepKind(
        name="optimize",
        server="tensorflow",
        module="steps.training.tf_optimize",
        packages=(*TENSORFLOW, "tf_keras", "tensorflow-model-optimization"),
        outputs=("model/", "optimized.json"),
        unstable=("model/",),
    ),
)
