"""The step kind of TensorFlow Lite Micro: `prove_tflm`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # .tflite (+ samples) -> what TensorFlow Lite Micro makes of it, and C source
    StepKind(
        name="prove_tflm",
        server="litert",
        module="targets.tflm.proof",
        packages=(*LITERT, "tflite-micro"),
        outputs=("verdict.json", "compiled/"),
    ),
)
