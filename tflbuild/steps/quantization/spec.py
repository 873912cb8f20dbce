"""The kinds of step of this folder."""

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
    # float .tflite x samples x predictions (+ ranges) -> what quantizing each operator alone costs
    StepKind(
        name="sensitivity",
        server="litert",
        module="steps.quantization.litert_sensitivity",
        packages=QUANTIZER,
        outputs=("sensitivity.json",),
    ),
)
