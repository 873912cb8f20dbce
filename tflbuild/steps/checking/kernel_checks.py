"""Rules of the runtime's kernels, held against a file: `tflite.kernel_requirements` has what they require."""

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
    FilterPlaces,
)
from tflbuild.tflite.tflite_model import FLOATS, Model, Operator, Subgraph, Tensor

SCALE_TOLERANCE = 1e-4  # two scales that are the same but for rounding
BIAS_TOLERANCE = 1e-3  # of a bias's scale; its kernels multiply by input scale times filter scale, whatever it says
QUANTIZED_BIAS_INT32 = 2  # `quantizedBiasType` of an operator with int16 activations and an int32 bias
INTEGERS = ("int8", "uint8", "int16")
# Operator -> (option that names a subgraph, whether the operator's inputs are its inputs, and outputs its outputs).
BODIES = {
    "WHILE": (("condSubgraphIndex", True, False), ("bodySubgraphIndex", True, True)),
    "IF": (("thenSubgraphIndex", True, True), ("elseSubgraphIndex", True, True)),
    "CALL": (("subgraph", True, True),),
}


@dataclass(frozen=True)
class KernelFault:
    """An operand that a kernel would read wrongly: whose (operator, name of its first output), and what is wrong."""

    operator: str
    name: str
    text: str


def find_faults(model: Model) -> Iterator[KernelFault]:
    """Yield every operand of every builtin operator that its kernel would read as something else than it is."""
    for graph in model.subgraphs:
        for op in graph.ops:
            if not op.custom and op.outputs:
                for text in (*_faults(graph, op), *_body_faults(model, graph, op)):
                    yield KernelFault(op.name, graph.tensors[op.outputs[0]].name, text)


def _faults(graph: Subgraph, op: Operator) -> Iterator[str]:
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
        if scale and tensor.scales and (not _close(tensor.scales[0], scale) or tensor.zero_points[0] != zero):
            yield f"its kernel writes {_of(scale, zero)}, its output '{tensor.name}' has {_pair(tensor)}"
    for tensor in _tensors(graph, (*op.inputs, *op.outputs)):
        zero_only = tensor.type == "int16" or (op.name in ZERO_POINT_0 and tensor.type in INTEGERS)
        if zero_only and any(tensor.zero_points):
            yield f"its kernel supports only the zero point 0, '{tensor.name}' has {_first(tensor.zero_points)}"


def _filter_faults(graph: Subgraph, op: Operator, places: FilterPlaces) -> Iterator[str]:
    fed, weights = _operand(graph, op, places.input), _operand(graph, op, places.filter)
    if fed is None or weights is None or not weights.scales:  # no filter of integers, or one in blocks
        return
    what = f"its {'stored' if weights.constant else 'computed'} filter '{weights.name}'"
    hybrid = fed.type in FLOATS
    if not hybrid:
        yield from _several_scales([fed])
    allowed = _filter_types(fed.type, places)
    if weights.type not in allowed:
        yield f"{what} is {weights.type}; with {fed.type} activations its kernel reads {' or '.join(allowed)}"
    offsets = fed.type == "uint8" or (places.any_zero_point and not hybrid and len(weights.scales) == 1)
    if any(weights.zero_points) and not offsets:
        yield f"{what} has the zero point {_first(weights.zero_points)}, its kernel supports only 0"
    channels = weights.shape[places.axis] if len(weights.shape) > places.axis else 1
    if len(weights.scales) > 1 and (weights.axis != places.axis or len(weights.scales) != channels):
        yield (
            f"{what} has {len(weights.scales)} scales along axis {weights.axis},"
            f" its kernel reads one for all or {channels} along axis {places.axis}"
        )
    if hybrid and op.name == "DEPTHWISE_CONV_2D" and len(weights.scales) == 1 < channels:
        yield (
            f"{what} has one scale; on float activations its kernel reads {channels}, one a channel"
            " (quantization.granularity=per_channel)"
        )
    if not hybrid:
        yield from _bias_faults(op, fed, weights, _operand(graph, op, places.bias))


def _filter_types(fed: str, places: FilterPlaces) -> tuple[str, ...]:
    if fed == "uint8":
        return ("uint8",)
    if fed == "int16":
        return ("int8", "int4", "int16") if places.wide else ("int8", "int4")
    return ("int8", "int4", "int2") if fed == "int8" else ("int8", "int4", "int2", "uint8")


def _bias_faults(op: Operator, fed: Tensor, weights: Tensor, bias: Tensor | None) -> Iterator[str]:
    """Yield faults of an integer operator's bias: it is added to products, so its scale is theirs multiplied."""
    if bias is None or bias.type not in ("int32", "int64"):  # kernels refuse any other type
        return
    what = f"its bias '{bias.name}'"
    if fed.type != "int16" and bias.type != "int32":
        yield f"{what} is {bias.type}; with {fed.type} activations its kernel reads int32"
    if fed.type == "int16" and bias.type == "int32" and op.options.get("quantizedBiasType") != QUANTIZED_BIAS_INT32:
        yield f"{what} is int32, and its option quantizedBiasType does not say so: its kernel reads int64"
    if any(bias.zero_points):
        yield f"{what} has the zero point {_first(bias.zero_points)}, its kernel supports only 0"
    zeros = bool(bias.values) and not any(bias.values)
    count = max(len(weights.scales), len(bias.scales)) if bias.scales and fed.scales and not zeros else 0
    for channel in range(count):
        scale = bias.scales[channel % len(bias.scales)]
        wanted = fed.scales[0] * weights.scales[channel % len(weights.scales)]
        if not math.isclose(scale, wanted, rel_tol=BIAS_TOLERANCE):
            yield f"{what} has the scale {scale:.6g}, its kernel reads input scale times filter scale: {wanted:.6g}"
            return


def _product_faults(graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield faults of BATCH_MATMUL: integers have one scale; float takes a stored int8 matrix, scales by column too."""
    left, right = _operand(graph, op, 0), _operand(graph, op, 1)
    if left is None or right is None:
        return
    if left.type not in FLOATS:
        yield from _several_scales([left, right])
        return
    if not right.scales:
        return
    what = f"its second factor '{right.name}'"
    if not right.constant:
        yield f"{what} is {right.type} and computed; with {left.type} activations its kernels need a stored one"
    if any(right.zero_points):
        yield f"{what} has the zero point {_first(right.zero_points)}, its kernel supports only 0"
    axis = len(right.shape) - (2 if op.options.get("adjY") else 1)
    if len(right.scales) > 1 and (right.axis != axis or len(right.scales) != right.shape[axis]):
        yield f"{what} has {len(right.scales)} scales along axis {right.axis}, its kernel reads them along {axis}"


def _recurrent_faults(graph: Subgraph, op: Operator) -> Iterator[str]:
    for tensor in _tensors(graph, op.inputs):
        if tensor.constant and tensor.type in ("int8", "uint8"):
            yield from _several_scales([tensor])
            if any(tensor.zero_points):
                zero = _first(tensor.zero_points)
                yield f"its weights '{tensor.name}' have the zero point {zero}, its kernel supports only 0"


def _body_faults(model: Model, graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield faults of WHILE, IF and CALL, which pass integers into a body and out of it unchanged."""
    skipped = 1 if op.name == "IF" else 0  # the condition
    for option, inward, outward in BODIES.get(op.name, ()):
        number = op.options.get(option, -1)
        if not 0 <= number < len(model.subgraphs):
            continue
        body = model.subgraphs[number]
        pairs = [*zip(op.inputs[skipped:], body.inputs, strict=False)] if inward else []
        pairs += [*zip(op.outputs, body.outputs, strict=False)] if outward else []
        for index, inner in pairs:
            outside, inside = graph.tensors[index], body.tensors[inner]
            if outside.scales and inside.scales and not _same(outside, inside):
                yield f"'{outside.name}' has {_pair(outside)}, and in its body '{inside.name}' {_pair(inside)}"


def _several_scales(tensors: Sequence[Tensor]) -> Iterator[str]:
    for tensor in tensors:
        if len(tensor.scales) > 1:
            yield f"'{tensor.name}' has {len(tensor.scales)} scales, its kernel reads the first one"


def _different_scales(graph: Subgraph, op: Operator) -> Iterator[str]:
    """Yield the first operand of an operator that differs from its first output."""
    places = SAME_SCALES[op.name]
    read = op.inputs if places is ALL else [op.inputs[place] for place in places if place < len(op.inputs)]
    quantized = [
        tensor for tensor in _tensors(graph, (*op.outputs, *read)) if tensor.scales and tensor.type in INTEGERS
    ]
    if not quantized or (op.name, quantized[0].type) in CONVERTS:
        return
    first = quantized[0]
    for other in quantized[1:]:
        if not _same(other, first):
            yield (
                f"'{other.name}' has {_pair(other)} and '{first.name}' {_pair(first)};"
                " its kernel treats integers of the one as those of the other"
            )
            return


def _different_types(graph: Subgraph, op: Operator) -> Iterator[str]:
    places = FILTERS.get(op.name)
    read = op.inputs if places is None else [op.inputs[places.input]]
    if op.name == "BATCH_MATMUL":  # beside int16 the second factor may be int8
        read = op.inputs[:1]
    types = {tensor.type for tensor in _tensors(graph, read) if tensor.scales and tensor.type in INTEGERS}
    for tensor in _tensors(graph, op.outputs):
        narrowed = (op.name, *types, tensor.type) in CONVERTS_TYPES
        if tensor.scales and tensor.type in INTEGERS and types - {tensor.type} and not narrowed:
            yield f"it reads {' and '.join(sorted(types))} and gives {tensor.type}; its kernel computes on one type"


def _operand(graph: Subgraph, op: Operator, place: int) -> Tensor | None:
    index = op.inputs[place] if place < len(op.inputs) else -1
    return graph.tensors[index] if index >= 0 else None


def _tensors(graph: Subgraph, indices: Sequence[int]) -> list[Tensor]:
    return [graph.tensors[index] for index in indices if index >= 0]


def _same(one: Tensor, other: Tensor) -> bool:
    zeros = [tensor.zero_points[0] if tensor.zero_points else 0 for tensor in (one, other)]
    return one.type == other.type and _close(one.scales[0], other.scales[0]) and zeros[0] == zeros[1]


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SCALE_TOLERANCE)


def _first(zero_points: Sequence[int]) -> int:
    return next(zero for zero in zero_points if zero)


def _of(scale: float, zero_point: int) -> str:
    return f"scale {scale:.6g}, zero point {zero_point}"


def _pair(tensor: Tensor) -> str:
    return f"{tensor.type}, {_of(tensor.scales[0], tensor.zero_points[0] if tensor.zero_points else 0)}"
