"""Checks whether the kernels of the runtime read the operands of an artifact correctly.

`tflite.kernel_requirements` lists what the kernels require.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tflbuild.tflite.kernel_requirements import (
    ALL,
    CONVERTS,
    CONVERTS_TYPES,
    FILTERS,
    FIXED_OUTPUTS,
    ONE_TYPE,
    PER_CHANNEL,
    RECURRENT,
    SAME_SCALES,
    ZERO_POINT_0,
    FilterOperands,
)
from tflbuild.tflite.tflite_model import FLOATS, Model, Operator, Subgraph, Tensor

# The relative difference of two scales that rounding can explain.
SCALE_TOLERANCE = 1e-4
# The relative error of a bias's scale. Kernels use input scale times filter scale, whatever the bias says.
BIAS_TOLERANCE = 1e-3
# `quantizedBiasType` of an operator with int16 activations and an int32 bias.
QUANTIZED_BIAS_INT32 = 2
INTEGERS = ("int8", "uint8", "int16")
# Operator -> (option with the index of a subgraph, whether it has the operator's inputs, whether it has its outputs).
BODIES = {
    "WHILE": (("condSubgraphIndex", True, False), ("bodySubgraphIndex", True, True)),
    "IF": (("thenSubgraphIndex", True, True), ("elseSubgraphIndex", True, True)),
    "CALL": (("subgraph", True, True),),
}


@dataclass(frozen=True)
class KernelFault:
    """An operand that a kernel would misread.

    Attributes:
        operator: The kind of the operator.
        name: The name of its first output.
        text: The description of the fault.
    """

    operator: str
    name: str
    text: str


def find_faults(model: Model) -> Iterator[KernelFault]:
    """Yield every operand of a builtin operator that its kernel would misread."""
    for graph in model.subgraphs:
        for op in graph.ops:
            if not op.custom and op.outputs:
                for text in (*_faults(graph, op), *_body_faults(model, graph, op)):
                    yield KernelFault(op.name, graph.tensors[op.outputs[0]].name, text)


def _faults(graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield the faults of one operator."""
    if op.name in FILTERS:
        yield from _filter_faults(graph, op, FILTERS[op.name])
    elif op.name == "BATCH_MATMUL":
        yield from _product_faults(graph, op)
    elif op.name in RECURRENT:
        yield from _recurrent_faults(graph, op)
    elif op.name not in PER_CHANNEL:
        yield from _several_scales(_tensors(graph, op.inputs))
    if op.name not in PER_CHANNEL:
        yield from _several_scales(_tensors(graph, op.outputs))
    if op.name in SAME_SCALES:
        yield from _different_scales(graph, op)
    if op.name in ONE_TYPE:
        yield from _different_types(graph, op)
    for tensor in _tensors(graph, op.outputs):
        scale, zero = FIXED_OUTPUTS.get((op.name, tensor.type), (0.0, 0))
        if scale and tensor.scales and (not _are_close(tensor.scales[0], scale) or tensor.zero_points[0] != zero):
            yield f"its kernel writes {_show_pair(scale, zero)}, its output '{tensor.name}' has {_show(tensor)}"
    for tensor in _tensors(graph, (*op.inputs, *op.outputs)):
        zero_only = tensor.type == "int16" or (op.name in ZERO_POINT_0 and tensor.type in INTEGERS)
        if zero_only and any(tensor.zero_points):
            yield f"its kernel supports only the zero point 0, '{tensor.name}' has {_first_nonzero(tensor.zero_points)}"


def _filter_faults(graph: Subgraph, op: Operator, operands: FilterOperands) -> Iterator[str]:
    """Yield faults of an operator with a filter."""
    input_, weights = _operand(graph, op, operands.input), _operand(graph, op, operands.filter)
    # A filter without scales is float, or quantized in blocks.
    if input_ is None or weights is None or not weights.scales:
        return
    filter_text = f"its {'stored' if weights.constant else 'computed'} filter '{weights.name}'"
    is_hybrid = input_.type in FLOATS
    if not is_hybrid:
        yield from _several_scales([input_])
    allowed = _filter_types(input_.type, operands)
    if weights.type not in allowed:
        yield f"{filter_text} is {weights.type}; with {input_.type} activations its kernel reads {' or '.join(allowed)}"
    subtracts_zero_point = input_.type == "uint8" or (
        operands.any_zero_point and not is_hybrid and len(weights.scales) == 1
    )
    if any(weights.zero_points) and not subtracts_zero_point:
        yield f"{filter_text} has the zero point {_first_nonzero(weights.zero_points)}, its kernel supports only 0"
    channels = weights.shape[operands.axis] if len(weights.shape) > operands.axis else 1
    if len(weights.scales) > 1 and (weights.axis != operands.axis or len(weights.scales) != channels):
        yield (
            f"{filter_text} has {len(weights.scales)} scales along axis {weights.axis},"
            f" its kernel reads one for all or {channels} along axis {operands.axis}"
        )
    if is_hybrid and op.name == "DEPTHWISE_CONV_2D" and len(weights.scales) == 1 < channels:
        yield (
            f"{filter_text} has one scale; on float activations its kernel reads {channels}, one a channel"
            " (quantization.granularity=per_channel)"
        )
    if not is_hybrid:
        yield from _bias_faults(op, input_, weights, _operand(graph, op, operands.bias))


def _filter_types(input_type: str, operands: FilterOperands) -> tuple[str, ...]:
    """Return the types of filter that kernels support for inputs of a type."""
    if input_type == "uint8":
        return ("uint8",)
    if input_type == "int16":
        return ("int8", "int4", "int16") if operands.wide else ("int8", "int4")
    return ("int8", "int4", "int2") if input_type == "int8" else ("int8", "int4", "int2", "uint8")


def _bias_faults(op: Operator, input_: Tensor, weights: Tensor, bias: Tensor | None) -> Iterator[str]:
    """Yield faults of the bias of an integer operator. Its scale must be that of the products to which it is added."""
    # Kernels refuse a bias of any other type.
    if bias is None or bias.type not in ("int32", "int64"):
        return
    bias_text = f"its bias '{bias.name}'"
    if input_.type != "int16" and bias.type != "int32":
        yield f"{bias_text} is {bias.type}; with {input_.type} activations its kernel reads int32"
    if input_.type == "int16" and bias.type == "int32" and op.options.get("quantizedBiasType") != QUANTIZED_BIAS_INT32:
        yield f"{bias_text} is int32, and its option quantizedBiasType does not say so: its kernel reads int64"
    if any(bias.zero_points):
        yield f"{bias_text} has the zero point {_first_nonzero(bias.zero_points)}, its kernel supports only 0"
    is_zero = bool(bias.values) and not any(bias.values)
    count = max(len(weights.scales), len(bias.scales)) if bias.scales and input_.scales and not is_zero else 0
    for channel in range(count):
        scale = bias.scales[channel % len(bias.scales)]
        product_scale = input_.scales[0] * weights.scales[channel % len(weights.scales)]
        if not math.isclose(scale, product_scale, rel_tol=BIAS_TOLERANCE):
            product_text = f"input scale times filter scale: {product_scale:.6g}"
            yield f"{bias_text} has the scale {scale:.6g}, its kernel reads {product_text}"
            return


def _product_faults(graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield faults of BATCH_MATMUL.

    Integer factors have one scale. With a float left factor, the right one may be a stored int8 matrix with a scale for
    each column.
    """
    left, right = _operand(graph, op, 0), _operand(graph, op, 1)
    if left is None or right is None:
        return
    if left.type not in FLOATS:
        yield from _several_scales([left, right])
        return
    if not right.scales:
        return
    factor_text = f"its second factor '{right.name}'"
    if not right.constant:
        yield f"{factor_text} is {right.type} and computed; with {left.type} activations its kernels need a stored one"
    if any(right.zero_points):
        yield f"{factor_text} has the zero point {_first_nonzero(right.zero_points)}, its kernel supports only 0"
    axis = len(right.shape) - (2 if op.options.get("adjY") else 1)
    if len(right.scales) > 1 and (right.axis != axis or len(right.scales) != right.shape[axis]):
        scales_text = f"{len(right.scales)} scales along axis {right.axis}"
        yield f"{factor_text} has {scales_text}, its kernel reads them along {axis}"


def _recurrent_faults(graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield faults of the weights of a recurrent operator."""
    for tensor in _tensors(graph, op.inputs):
        if tensor.constant and tensor.type in ("int8", "uint8"):
            yield from _several_scales([tensor])
            if any(tensor.zero_points):
                zero = _first_nonzero(tensor.zero_points)
                yield f"its weights '{tensor.name}' have the zero point {zero}, its kernel supports only 0"


def _body_faults(model: Model, graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield faults of WHILE, IF and CALL, which pass integers into a body and out of it unchanged."""
    # The first input of IF is the condition, which its bodies do not have.
    skipped = 1 if op.name == "IF" else 0
    for option, inward, outward in BODIES.get(op.name, ()):
        number = op.options.get(option, -1)
        if not 0 <= number < len(model.subgraphs):
            continue
        body = model.subgraphs[number]
        pairs = [*zip(op.inputs[skipped:], body.inputs, strict=False)] if inward else []
        pairs += [*zip(op.outputs, body.outputs, strict=False)] if outward else []
        for index, inner in pairs:
            outside, inside = graph.tensors[index], body.tensors[inner]
            if outside.scales and inside.scales and not _are_same(outside, inside):
                yield f"'{outside.name}' has {_show(outside)}, and in its body '{inside.name}' {_show(inside)}"


def _several_scales(tensors: Sequence[Tensor]) -> Iterator[str]:
    """Yield tensors with several scales."""
    for tensor in tensors:
        if len(tensor.scales) > 1:
            yield f"'{tensor.name}' has {len(tensor.scales)} scales, its kernel reads the first one"


def _different_scales(graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield the first operand of an operator whose scale or zero point differs from that of its first output."""
    positions = SAME_SCALES[op.name]
    inputs = op.inputs if positions is ALL else [op.inputs[place] for place in positions if place < len(op.inputs)]
    quantized = [
        tensor for tensor in _tensors(graph, (*op.outputs, *inputs)) if tensor.scales and tensor.type in INTEGERS
    ]
    if not quantized or (op.name, quantized[0].type) in CONVERTS:
        return
    first = quantized[0]
    for other in quantized[1:]:
        if not _are_same(other, first):
            yield (
                f"'{other.name}' has {_show(other)} and '{first.name}' {_show(first)};"
                " its kernel treats integers of the one as those of the other"
            )
            return


def _different_types(graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield outputs with another integer type than the inputs."""
    operands = FILTERS.get(op.name)
    inputs = op.inputs if operands is None else [op.inputs[operands.input]]
    # The second factor of BATCH_MATMUL may be int8 if the first is int16.
    if op.name == "BATCH_MATMUL":
        inputs = op.inputs[:1]
    types = {tensor.type for tensor in _tensors(graph, inputs) if tensor.scales and tensor.type in INTEGERS}
    for tensor in _tensors(graph, op.outputs):
        is_converted = (op.name, *types, tensor.type) in CONVERTS_TYPES
        if tensor.scales and tensor.type in INTEGERS and types - {tensor.type} and not is_converted:
            yield f"it reads {' and '.join(sorted(types))} and gives {tensor.type}; its kernel computes on one type"


def _operand(graph: Subgraph, op: Operator, position: int) -> Tensor | None:
    """Return the tensor at a position of the inputs, None if there is none."""
    index = op.inputs[position] if position < len(op.inputs) else -1
    return graph.tensors[index] if index >= 0 else None


def _tensors(graph: Subgraph, indices: Sequence[int]) -> list[Tensor]:
    return [graph.tensors[index] for index in indices if index >= 0]


def _are_same(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors have the same type, scale and zero point."""
    zeros = [tensor.zero_points[0] if tensor.zero_points else 0 for tensor in (first, second)]
    return first.type == second.type and _are_close(first.scales[0], second.scales[0]) and zeros[0] == zeros[1]


def _are_close(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=SCALE_TOLERANCE)


def _first_nonzero(zero_points: Sequence[int]) -> int:
    """Return the first zero point that is not 0."""
    return next(zero for zero in zero_points if zero)


def _show_pair(scale: float, zero_point: int) -> str:
    """Return scale and zero point as text."""
    return f"scale {scale:.6g}, zero point {zero_point}"


def _show(tensor: Tensor) -> str:
    """Return type, scale and zero point of a tensor as text."""
    return f"{tensor.type}, {_show_pair(tensor.scales[0], tensor.zero_points[0] if tensor.zero_points else 0)}"
