"""The step kinds of the domain `conversion`."""

from __future__ import annotations

from tflbuild.core.step_kind import TENSORFLOW, StepKind

KINDS = (
    # Converts the snapshot to a float .tflite, and reads the ranges of quantization-aware training if there are some.
    StepKind(
        name="convert",
        server="tensorflow",
        module="steps.conversion.tf_convert",
        packages=TENSORFLOW,
        outputs=("model.tflite", "trained.json"),
    ),
    # Converts the snapshot to a quantized .tflite with TFLiteConverter's own quantizer. It may need samples.
    StepKind(
        name="quantize_in_converter",
        server="tensorflow",
        module="steps.conversion.tf_quantize",
        packages=(*TENSORFLOW, "ai-edge-litert"),
        outputs=("model.tflite",),
    ),
)
