"""Steps that say that their result depends on the CPU; see `fault_planting.py`. Nothing in them is wrong."""

from __future__ import annotations

from fault_planting import fault

TIE = {"operator": "FULLY_CONNECTED", "layer": "logits", "reason": "a test says that its sums differ"}


@fault("steps.quantization.litert_quantize")
def quantizer_depends_on_the_cpu(request):
    return {"tied": [TIE]}
