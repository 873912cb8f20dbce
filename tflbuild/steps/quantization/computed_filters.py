"""Filters that the model computes, in the form that kernels read: int8 with the zero point 0.

Quantizers treat a computed filter as any other activation: int8 with a zero point, or int16. The kernels of
convolutions read its bytes as int8 weights all the same, and their results are noise. A QUANTIZE in front of
the operator converts the filter, and the bias, whose scale is the product of both others, is rescaled.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.kernel_requirements import FILTERS, FilterPlaces
from tflbuild.tflite.model_editing import (
    add_buffer,
    add_operator,
    builtin,
    has_values,
    parse_model,
    scale_parameters,
    serialize_model,
)

OPERATORS = {
    getattr(schema.BuiltinOperator, name): places for name, places in FILTERS.items() if not places.any_zero_point
}
INTEGERS: dict[int, Any] = {
    schema.TensorType.INT8: np.int8,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT16: np.int16,
}
BIASES: dict[int, Any] = {schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64}
GREATEST = 127  # of symmetric int8


def convert_filters(model: bytes) -> bytes:
    """Return the model with every computed filter of an integer convolution as int8 with the zero point 0."""
    root = parse_model(model)
    return serialize_model(root) if convert_filters_in(root) else model


def convert_filters_in(root: Any) -> bool:
    """Convert the computed filters of a ModelT. Return whether there were any."""
    changed = False
    for graph in root.subgraphs:
        converted: dict[int, int] = {}
        for op in list(graph.operators):
            places = OPERATORS.get(builtin(root, op))
            if places is not None and _needs_conversion(root, graph, op, places):
                _convert(root, graph, op, places, converted)
                changed = True
    return changed


def _needs_conversion(root: Any, graph: Any, op: Any, places: FilterPlaces) -> bool:
    filter_, fed = graph.tensors[op.inputs[places.filter]], graph.tensors[op.inputs[places.input]]
    scales, zeros = _parameters(filter_)
    if has_values(root, filter_) or filter_.type not in INTEGERS or len(scales) != 1:
        return False
    symmetric = filter_.type == schema.TensorType.INT8 and not zeros[0]
    return fed.type in (schema.TensorType.INT8, schema.TensorType.INT16) and not symmetric


def _convert(root: Any, graph: Any, op: Any, places: FilterPlaces, converted: dict[int, int]) -> None:
    """Put the conversion in front of `op`, or take the one that `converted` has for the same filter."""
    source = int(op.inputs[places.filter])
    if source not in converted:
        graph.tensors.append(_symmetric(graph.tensors[source]))
        converted[source] = len(graph.tensors) - 1
        at = next(place for place, other in enumerate(graph.operators) if other is op)
        add_operator(root, graph, at, schema.BuiltinOperator.QUANTIZE, [source], [converted[source]])
    old, new = (_parameters(graph.tensors[index])[0][0] for index in (source, converted[source]))
    op.inputs = np.array(op.inputs, np.int32)
    op.inputs[places.filter] = converted[source]
    bias = int(op.inputs[places.bias]) if len(op.inputs) > places.bias else -1
    if bias >= 0 and has_values(root, graph.tensors[bias]) and graph.tensors[bias].type in BIASES:
        graph.tensors.append(_rescaled(root, graph.tensors[bias], new / old))
        op.inputs[places.bias] = len(graph.tensors) - 1


def _symmetric(tensor: Any) -> Any:
    """Return an int8 tensor that spans all values of this one, with the zero point 0."""
    scales, zeros = _parameters(tensor)
    limits = np.iinfo(INTEGERS[tensor.type])
    lowest = limits.min + (tensor.type == schema.TensorType.INT16)  # symmetric int16 never takes the value -32768
    greatest = max(abs(lowest - int(zeros[0])), abs(limits.max - int(zeros[0]))) * float(scales[0])
    made = deepcopy(tensor)
    made.name = tensor.name + b"_symmetric"
    made.type, made.buffer = schema.TensorType.INT8, 0
    made.quantization = scale_parameters([greatest / GREATEST], [0])
    return made


def _rescaled(root: Any, tensor: Any, factor: float) -> Any:
    """Return a bias of the same real values whose scales are `factor` times as wide, in a buffer of its own."""
    kind = BIASES[tensor.type]
    stored = np.frombuffer(bytes(root.buffers[tensor.buffer].data), kind)
    limits = np.iinfo(kind)
    values = np.clip(np.rint(stored / np.float64(factor)), limits.min, limits.max).astype(kind)
    made = deepcopy(tensor)
    made.name = tensor.name + b"_rescaled"
    made.quantization.scale = (np.array(tensor.quantization.scale, np.float64) * factor).astype(np.float32)
    made.buffer = add_buffer(root, values.tobytes())
    return made


def _parameters(tensor: Any) -> tuple[list[float], list[int]]:
    """Return the scales and the zero points of a tensor, empty where it is not quantized."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or quantization.zeroPoint is None:
        return [], []
    return [float(scale) for scale in quantization.scale], [int(zero) for zero in quantization.zeroPoint]
