"""Conversion of computed filters to the form that kernels read: int8 with the zero point 0.

Quantizers treat a computed filter like any other activation: int8 with a zero point, or int16. The kernels of
convolutions read its bytes as int8 weights nevertheless, and their results are noise. A QUANTIZE in front of the
operator converts the filter. The bias is rescaled, because its scale is the product of the scales of input and filter.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.kernel_requirements import FILTERS, FilterOperands
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
# The largest code of symmetric int8.
LARGEST_CODE = 127


def convert_filters(model: bytes) -> bytes:
    """Convert every computed filter of an integer convolution to int8 with the zero point 0.

    Args:
        model: A quantized .tflite.

    Returns:
        The bytes of the changed model, or `model` if it has no such filter.
    """
    root = parse_model(model)
    return serialize_model(root) if convert_filters_in(root) else model


def convert_filters_in(root: Any) -> bool:
    """Convert the computed filters of a ModelT in place, and return whether there were any."""
    changed = False
    for graph in root.subgraphs:
        converted: dict[int, int] = {}
        for op in list(graph.operators):
            operands = OPERATORS.get(builtin(root, op))
            if operands is not None and _needs_conversion(root, graph, op, operands):
                _convert(root, graph, op, operands, converted)
                changed = True
    return changed


def _needs_conversion(root: Any, graph: Any, op: Any, operands: FilterOperands) -> bool:
    """Return whether the filter of `op` is computed and has a type or zero point that the kernel misreads."""
    filter_, input_ = graph.tensors[op.inputs[operands.filter]], graph.tensors[op.inputs[operands.input]]
    scales, zeros = _parameters(filter_)
    if has_values(root, filter_) or filter_.type not in INTEGERS or len(scales) != 1:
        return False
    symmetric = filter_.type == schema.TensorType.INT8 and not zeros[0]
    return input_.type in (schema.TensorType.INT8, schema.TensorType.INT16) and not symmetric


def _convert(root: Any, graph: Any, op: Any, operands: FilterOperands, converted: dict[int, int]) -> None:
    """Insert a QUANTIZE before `op` that converts its filter, and rescale its bias.

    `converted` maps a filter to its converted tensor, which operators with the same filter share.
    """
    source = int(op.inputs[operands.filter])
    if source not in converted:
        graph.tensors.append(_symmetric(graph.tensors[source]))
        converted[source] = len(graph.tensors) - 1
        position = next(index for index, other in enumerate(graph.operators) if other is op)
        add_operator(root, graph, position, schema.BuiltinOperator.QUANTIZE, [source], [converted[source]])
    old, new = (_parameters(graph.tensors[index])[0][0] for index in (source, converted[source]))
    op.inputs = np.array(op.inputs, np.int32)
    op.inputs[operands.filter] = converted[source]
    bias = int(op.inputs[operands.bias]) if len(op.inputs) > operands.bias else -1
    if bias >= 0 and has_values(root, graph.tensors[bias]) and graph.tensors[bias].type in BIASES:
        graph.tensors.append(_rescaled(root, graph.tensors[bias], new / old))
        op.inputs[operands.bias] = len(graph.tensors) - 1


def _symmetric(tensor: Any) -> Any:
    """Return an int8 tensor with the zero point 0 whose range contains all values of `tensor`."""
    scales, zeros = _parameters(tensor)
    limits = np.iinfo(INTEGERS[tensor.type])
    # Symmetric int16 does not use the code -32768.
    lowest = limits.min + (tensor.type == schema.TensorType.INT16)
    magnitude = max(abs(lowest - int(zeros[0])), abs(limits.max - int(zeros[0]))) * float(scales[0])
    symmetric = deepcopy(tensor)
    symmetric.name = tensor.name + b"_symmetric"
    symmetric.type, symmetric.buffer = schema.TensorType.INT8, 0
    symmetric.quantization = scale_parameters([magnitude / LARGEST_CODE], [0])
    return symmetric


def _rescaled(root: Any, tensor: Any, factor: float) -> Any:
    """Return a bias with the same real values and scales multiplied by `factor`, in a buffer of its own."""
    kind = BIASES[tensor.type]
    stored = np.frombuffer(bytes(root.buffers[tensor.buffer].data), kind)
    limits = np.iinfo(kind)
    values = np.clip(np.rint(stored / np.float64(factor)), limits.min, limits.max).astype(kind)
    rescaled = deepcopy(tensor)
    rescaled.name = tensor.name + b"_rescaled"
    rescaled.quantization.scale = (np.array(tensor.quantization.scale, np.float64) * factor).astype(np.float32)
    rescaled.buffer = add_buffer(root, values.tobytes())
    return rescaled


def _parameters(tensor: Any) -> tuple[list[float], list[int]]:
    """Return the scales and the zero points of a tensor. Both lists are empty if it is not quantized."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or quantization.zeroPoint is None:
        return [], []
    return [float(scale) for scale in quantization.scale], [int(zero) for zero in quantization.zeroPoint]
