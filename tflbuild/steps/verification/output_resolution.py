"""The distance of two values that a tensor of an artifact can tell apart: of outputs, and of joins inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tflbuild.tflite.tflite_model import STEPS, Model, Operator, Subgraph, Tensor

CARRIERS = (  # operators that pass values on as they are
    *("DEQUANTIZE", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "SLICE", "STRIDED_SLICE", "REVERSE_V2", "UNPACK"),
)

JOINS = ("CONCATENATION", "PACK")
BOUNDED = {"LOGISTIC": 1.0, "SOFTMAX": 1.0, "TANH": 2.0, "L2_NORMALIZATION": 2.0}  # what their results span at most


def read_output_steps(model: Model, key: str) -> dict[str, float]:
    """Return output name -> the scale of its tensor, or of the tensor that a final DEQUANTIZE reads.

    Outputs that are computed in float have none. `key` names the signature.
    """
    signature = next((one for one in model.signatures if one.key == key), None)
    if signature is None:
        return {}
    graph = model.subgraphs[signature.subgraph]
    found = {name: find_step(graph, tensor) for name, tensor in signature.outputs.items()}
    return {name: step for name, step in found.items() if step is not None}


def find_step(graph: Subgraph, tensor: Tensor) -> float | None:
    """Return the scale of a tensor, or of the tensor whose values are passed on to it."""
    makers = {index: op for op in graph.ops for index in op.outputs}
    index = next((place for place, one in enumerate(graph.tensors) if one is tensor), None)
    seen: set[int] = set()
    while index is not None and index not in seen:
        seen.add(index)
        current = graph.tensors[index]
        if len(current.scales) == 1 and current.type.startswith(("int", "uint")):
            return float(current.scales[0])
        maker = makers.get(index)
        index = maker.inputs[0] if maker is not None and maker.name in CARRIERS else None
    return None


def find_coarse_joins(model: Model) -> list[dict[str, Any]]:
    """Return the joins inside a model whose scale is more than half of all that one of the joined tensors can hold.

    Known are the ranges of tensors that are brought to the join's scale from a scale of their own, and those of
    operators with bounded results. `inputs` are the names of the tensors that lose their values.
    """
    found = []
    for graph in model.subgraphs:
        makers = {index: op for op in graph.ops for index in op.outputs}
        for op in graph.ops:
            joined = graph.tensors[op.outputs[0]] if op.name in JOINS else None
            if joined is None or len(joined.scales) != 1:
                continue
            step = float(joined.scales[0])
            lost = [graph.tensors[index].name for index in op.inputs if 0 < find_range(graph, makers, index) < 2 * step]
            if lost:
                found.append({"name": joined.name, "step": step, "inputs": lost})
    return found


def find_range(graph: Subgraph, makers: Mapping[int, Operator], index: int) -> float:
    """Return what the values of a tensor can span by the operators that made it; 0.0 where that is not known."""
    maker = makers.get(index)
    while maker is not None and maker.name in CARRIERS:
        index = maker.inputs[0]
        maker = makers.get(index)
    if maker is None:
        return 0.0
    if maker.name in BOUNDED:
        return BOUNDED[maker.name]
    if maker.name != "QUANTIZE":
        return 0.0
    tensor = graph.tensors[maker.inputs[0]]
    span = tensor.scales[0] * STEPS[tensor.type] if len(tensor.scales) == 1 and tensor.type in STEPS else 0.0
    further = find_range(graph, makers, maker.inputs[0])
    return min(one for one in (span, further) if one > 0) if span or further else 0.0
