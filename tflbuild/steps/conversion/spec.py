"""The kinds of step of this folder."""

from __future__ import annotations

from tflbuild.core.step_kind import TENSORFLOW, StepKind

KINDS = (
    # SavedModel -> float .tflite, and ranges where quantization-aware training left some
    StepKind(
        name="convert",
        server="tensorflow",
        module="steps.conversion.tf_convert",
        packages=TENSORFLOW,
        outputs=("model.tflite", "trained.json"),
    ),
    # SavedModel (+ samples) -> quantized .tflite, TFLiteConverter's own way
    StepKind(
        name="quantize_in_converter",
        server="tensorflow",
        module="steps.conversion.tf_quantize",
        packages=(*TENSORFLOW, "ai-edge-litert"),
        outputs=("model.tflite",),
    ),
)
