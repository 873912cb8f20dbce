"""The resolution of an artifact's tensors: the distance of two values that outputs, and joins inside, can represent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tflbuild.tflite.tflite_model import STEPS, Model, Operator, Subgraph, Tensor

# Operators that pass values unchanged.
CARRIERS = (
    *("DEQUANTIZE", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "SLICE", "STRIDED_SLICE", "REVERSE_V2", "UNPACK"),
)

JOINS = ("CONCATENATION", "PACK")
# Operator -> the largest span of its results.
BOUNDED = {"LOGISTIC": 1.0, "SOFTMAX": 1.0, "TANH": 2.0, "L2_NORMALIZATION": 2.0}


def read_output_steps(model: Model, key: str) -> dict[str, float]:
    """Return the scale of each output's tensor, or of the tensor that a final DEQUANTIZE reads.

    Args:
        model: The artifact.
        key: The signature name.

    Returns:
        Output name -> scale. Outputs that are computed in float are missing.
    """
    signature = next((entry for entry in model.signatures if entry.key == key), None)
    if signature is None:
        return {}
    graph = model.subgraphs[signature.subgraph]
    steps = {name: find_step(graph, tensor) for name, tensor in signature.outputs.items()}
    return {name: step for name, step in steps.items() if step is not None}


def find_step(graph: Subgraph, tensor: Tensor) -> float | None:
    """Return the scale of a tensor, or of the tensor from which its values are passed unchanged. None for float."""
    producers = {index: op for op in graph.ops for index in op.outputs}
    index = next((number for number, other in enumerate(graph.tensors) if other is tensor), None)
    visited: set[int] = set()
    while index is not None and index not in visited:
        visited.add(index)
        current = graph.tensors[index]
        if len(current.scales) == 1 and current.type.startswith(("int", "uint")):
            return float(current.scales[0])
        producer = producers.get(index)
        index = producer.inputs[0] if producer is not None and producer.name in CARRIERS else None
    return None


def find_coarse_joins(model: Model) -> list[dict[str, Any]]:
    """Find joins inside a model whose scale is more than half of the range of one of the joined tensors.

    The range is known for tensors that a QUANTIZE converts from a scale of their own, and for operators with bounded
    results.

    Returns:
        For each join its `name`, its `step`, and in `inputs` the names of the tensors that lose their values.
    """
    joins = []
    for graph in model.subgraphs:
        producers = {index: op for op in graph.ops for index in op.outputs}
        for op in graph.ops:
            joined = graph.tensors[op.outputs[0]] if op.name in JOINS else None
            if joined is None or len(joined.scales) != 1:
                continue
            step = float(joined.scales[0])
            lost = [
                graph.tensors[index].name for index in op.inputs if 0 < find_range(graph, producers, index) < 2 * step
            ]
            if lost:
                joins.append({"name": joined.name, "step": step, "inputs": lost})
    return joins


def find_range(graph: Subgraph, producers: Mapping[int, Operator], index: int) -> float:
    """Return the largest span of a tensor's values according to the operators that produce it, 0.0 if it is unknown."""
    producer = producers.get(index)
    while producer is not None and producer.name in CARRIERS:
        index = producer.inputs[0]
        producer = producers.get(index)
    if producer is None:
        return 0.0
    if producer.name in BOUNDED:
        return BOUNDED[producer.name]
    if producer.name != "QUANTIZE":
        return 0.0
    tensor = graph.tensors[producer.inputs[0]]
    span = tensor.scales[0] * STEPS[tensor.type] if len(tensor.scales) == 1 and tensor.type in STEPS else 0.0
    source_span = find_range(graph, producers, producer.inputs[0])
    return min(value for value in (span, source_span) if value > 0) if span or source_span else 0.0
