"""Whether the calibration data decided the scales of an artifact's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.kernel_requirements import ALL, SAME_SCALES
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor

RANGE_TOLERANCE = 0.02
INT8_STEPS = 255
INT16_STEPS = 65534  # symmetric: -32767 to 32767
UINT8_SUFFIX = "_uint8_input"  # what `uint8_interface` adds to a tensor's name

Ranges = Mapping[str, tuple[float, float]]


def check_calibrated(
    model: Model, params: Mapping[str, Any], signature: Mapping[str, Any], ranges: Ranges
) -> Iterator[Finding]:
    """Compare what the scales of the inputs span with what the calibration data spans.

    An input that shares its scale with other operands of an operator (CONCATENATION, SELECT) may span more.
    """
    entry = next((entry for entry in model.signatures if entry.key == signature["key"]), None)
    for name, tensor in (entry.inputs if entry else {}).items():
        measured = ranges.get(tensor.name.removesuffix(UINT8_SUFFIX)) or ranges.get(name)
        if entry is None or not tensor.scales or measured is None:
            continue
        low, high = min(measured[0], 0.0), max(measured[1], 0.0)  # a range always holds zero
        wide = params["scheme"] == "int16x8"
        span = 2 * max(-low, high) if wide or params.get("symmetric") else high - low
        has = tensor.scales[0] * (INT16_STEPS if wide else INT8_STEPS)
        wider = has > span and shares_scale(model.subgraphs[entry.subgraph], tensor)
        if span > 0 and abs(has - span) > RANGE_TOLERANCE * span and not wider:
            yield Finding("dataset", f"input '{name}' spans {has:.6g}, and the calibration data {span:.6g}")


def shares_scale(graph: Subgraph, tensor: Tensor) -> bool:
    """Return whether a kernel demands one scale of this tensor, or of a copy of its values, and another operand."""
    start = next(index for index, other in enumerate(graph.tensors) if other is tensor)
    tied, grows = {start}, True
    while grows:
        before = len(tied)
        for op in graph.ops:
            operands = [*_operands_of_one_scale(graph, op, tensor)]
            if tied.intersection(operands):
                if len(operands) > 1:
                    return True
                tied.update(op.outputs)
        grows = len(tied) > before
    return False


def _operands_of_one_scale(graph: Subgraph, op: Operator, like: Tensor) -> Iterator[int]:
    """Yield the inputs of an operator that its kernel reads with the scale of `like`, and that have it."""
    retyped = op.name == "QUANTIZE" and graph.tensors[op.outputs[0]].scales == like.scales  # uint8 to int8
    places = (0,) if retyped else SAME_SCALES.get(op.name)
    if places is None:
        return
    for index in op.inputs if places is ALL else [op.inputs[place] for place in places if place < len(op.inputs)]:
        if index >= 0 and graph.tensors[index].scales == like.scales:
            yield index
