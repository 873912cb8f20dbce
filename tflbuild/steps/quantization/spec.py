"""The step kinds of quantization: `quantize` and `sensitivity`."""

from __future__ import annotations

from tflbuild.core.step_kind import QUANTIZER, StepKind

KINDS = (
    # float .tflite (+ ranges, moments) -> quantized .tflite
    StepKind(
        name="quantize",
        server="litert",
        module="steps.quantization.litert_quantize",
        packages=QUANTIZER,
        outputs=("model.tflite",),
    ),
    # float .tflite x samples x predictions (+ ranges) -> for each operator, the loss when only it is quantized
    StepKind(
        name="sensitivity",
        server="litert",
        module="steps.quantization.litert_sensitivity",
        packages=QUANTIZER,
        outputs=("sensitivity.json",),
    ),
)
