"""Check whether the scales of an artifact's inputs match the calibration data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.kernel_requirements import ALL, SAME_SCALES
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor

RANGE_TOLERANCE = 0.02
INT8_STEPS = 255
# Symmetric int16 has the codes -32767 to 32767.
INT16_STEPS = 65534
# The suffix that `uint8_interface` adds to a tensor's name.
UINT8_SUFFIX = "_uint8_input"

Ranges = Mapping[str, tuple[float, float]]


def check_calibrated(
    model: Model, params: Mapping[str, Any], signature: Mapping[str, Any], ranges: Ranges
) -> Iterator[Finding]:
    """Compare the range that the scale of each input covers with the range of the calibration data.

    An input that shares its scale with other operands of an operator (CONCATENATION, SELECT) may cover a larger range.

    Args:
        model: The artifact.
        params: `scheme` and `symmetric`.
        signature: The declared main signature.
        ranges: The smallest and largest calibration value, by tensor or input name.
    """
    entry = next((entry for entry in model.signatures if entry.key == signature["key"]), None)
    for name, tensor in (entry.inputs if entry else {}).items():
        measured = ranges.get(tensor.name.removesuffix(UINT8_SUFFIX)) or ranges.get(name)
        if entry is None or not tensor.scales or measured is None:
            continue
        # A quantized range always contains zero.
        low, high = min(measured[0], 0.0), max(measured[1], 0.0)
        is_int16 = params["scheme"] == "int16x8"
        span = 2 * max(-low, high) if is_int16 or params.get("symmetric") else high - low
        covered = tensor.scales[0] * (INT16_STEPS if is_int16 else INT8_STEPS)
        may_be_larger = covered > span and shares_scale(model.subgraphs[entry.subgraph], tensor)
        if span > 0 and abs(covered - span) > RANGE_TOLERANCE * span and not may_be_larger:
            yield Finding("dataset", f"input '{name}' spans {covered:.6g}, and the calibration data {span:.6g}")


def shares_scale(graph: Subgraph, tensor: Tensor) -> bool:
    """Return whether a kernel requires one scale for this tensor, or a copy of its values, and another operand."""
    start = next(index for index, other in enumerate(graph.tensors) if other is tensor)
    same_values, changed = {start}, True
    while changed:
        count = len(same_values)
        for op in graph.ops:
            operands = [*_operands_of_one_scale(graph, op, tensor)]
            if same_values.intersection(operands):
                if len(operands) > 1:
                    return True
                same_values.update(op.outputs)
        changed = len(same_values) > count
    return False


def _operands_of_one_scale(graph: Subgraph, op: Operator, like: Tensor) -> Iterator[int]:
    """Yield the inputs of an operator that its kernel reads with the scale of `like`, and that have this scale."""
    # A QUANTIZE from uint8 to int8 keeps the scale.
    is_retyped = op.name == "QUANTIZE" and graph.tensors[op.outputs[0]].scales == like.scales
    positions = (0,) if is_retyped else SAME_SCALES.get(op.name)
    if positions is None:
        return
    inputs = op.inputs if positions is ALL else [op.inputs[place] for place in positions if place < len(op.inputs)]
    for index in inputs:
        if index >= 0 and graph.tensors[index].scales == like.scales:
            yield index
