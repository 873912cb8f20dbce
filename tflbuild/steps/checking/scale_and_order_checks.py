"""What a recipe declares of weights' scales, of zero points, and of the order of inputs and outputs, against a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.kernel_requirements import FILTERS
from tflbuild.tflite.rules import each_operator, weight_of
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor

BLOCKWISE = "blockwise_"
NO_CHANNELS = "_experimental_disable_per_channel"
NO_CHANNELS_OF_DENSE = "_experimental_disable_per_channel_quantization_for_dense_layers"
BIAS_TYPE = "_experimental_full_integer_quantization_bias_type"
BIASED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# Operators whose weights have a scale a channel, and the axis of the channels (TFLite's quantization specification).
CHANNEL_AXES = {name: places.axis for name, places in FILTERS.items()}
BLOCK_OPERATORS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")
# Operators whose kernels fix the scale and zero point of an int8 output.
FIXED_INT8_OUTPUTS = ("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION")


def check_granularity(model: Model, granularity: str) -> Iterator[Finding]:
    """Compare the scales of weights with the declared granularity, operator by operator.

    Blocks are for int4 weights of BLOCK_OPERATORS; int8 weights beside int4 ones are per channel whatever is declared.
    """
    beside_int4 = any(tensor.type == "int4" for graph in model.subgraphs for tensor in graph.tensors)
    for graph, op, name in each_operator(model):
        weights = weight_of(graph, op)
        if weights is None or not weights.quantized or op.name not in CHANNEL_AXES:
            continue
        wanted = granularity if weights.type == "int4" or not beside_int4 else "per_channel"
        if wanted.startswith(BLOCKWISE) and op.name not in BLOCK_OPERATORS:
            wanted = "per_channel"
        has = _granularity_of(op, weights)
        # One channel has one scale either way.
        if has != wanted and not (weights.shape[CHANNEL_AXES[op.name]] == 1 and has == "per_tensor"):
            yield Finding("granularity", f"{op.name} has {has} weights, {wanted} was declared: {name}")


def _granularity_of(op: Operator, weights: Tensor) -> str:
    if weights.block:
        return f"{BLOCKWISE}{weights.block}"
    if len(weights.scales) == 1:
        return "per_tensor"
    axis = CHANNEL_AXES[op.name]
    if weights.axis == axis and len(weights.scales) == weights.shape[axis]:
        return "per_channel"
    return f"{len(weights.scales)} scales along axis {weights.axis} of"


def check_converter_options(model: Model, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare a model that TFLiteConverter quantized with those of its options that leave a trace in the file."""
    alone = options.get(NO_CHANNELS)
    for graph, op, name in each_operator(model):
        weights = weight_of(graph, op)
        single = alone or (op.name == "FULLY_CONNECTED" and options.get(NO_CHANNELS_OF_DENSE))
        if single and weights is not None and len(weights.scales) > 1:
            yield Finding("converter", f"{op.name} has {len(weights.scales)} scales, one was declared: {name}")
        bias = graph.tensors[op.inputs[2]] if op.name in BIASED and len(op.inputs) > 2 and op.inputs[2] >= 0 else None
        wanted = options.get(BIAS_TYPE)
        if wanted and bias is not None and bias.quantized and bias.type != wanted:
            yield Finding("converter", f"{op.name} has an {bias.type} bias, {wanted} was declared: {name}")


def check_zero_points(model: Model) -> Iterator[Finding]:
    """Compare the zero points of int8 activations with quantization.symmetric: all are 0 but those a kernel fixes.

    A tensor that only moves the values of a fixed one (a RESHAPE behind a SOFTMAX) shares its zero point.
    """
    for graph in model.subgraphs:
        fixed = {graph.tensors[op.outputs[0]].zero_points for op in graph.ops if op.name in FIXED_INT8_OUTPUTS}
        made = {index: op for op in graph.ops for index in op.outputs}
        for index, tensor in enumerate(graph.tensors):
            op = made.get(index)
            moving = not tensor.constant and tensor.type == "int8" and any(tensor.zero_points)
            free = op is None or (op.name not in FIXED_INT8_OUTPUTS and not _moves(graph, op, tensor, fixed))
            if moving and free and (op is not None or index in graph.inputs):
                what = f"{op.name} gives" if op is not None else "the input is"
                yield Finding("scale", f"{what} int8 with the zero point {tensor.zero_points[0]}: {tensor.name}")


def _moves(graph: Subgraph, op: Operator, tensor: Tensor, fixed: set[tuple[int, ...]]) -> bool:
    """Return whether an output has the scale and zero point of an input whose zero point a kernel fixed."""
    inputs = [graph.tensors[index] for index in op.inputs if index >= 0]
    same = [one for one in inputs if (one.scales, one.zero_points) == (tensor.scales, tensor.zero_points)]
    return tensor.zero_points in fixed and bool(same)


def check_order(model: Model, float_model: Model, signature: Mapping[str, Any], made_here: bool) -> Iterator[Finding]:
    """Compare the order of inputs and outputs, and which tensor has which name, with the float model.

    `made_here` is false for a source that is a .tflite, whose own order counts; a converted one has the order of
    signature.json, by name.
    """
    before = {entry.key: entry for entry in float_model.signatures}
    declared = {entry["key"]: entry for entry in (signature, *signature.get("more", ()))}
    for entry in model.signatures:
        if entry.key not in before or entry.key not in declared:
            continue  # `check_signatures` says so
        for side in ("input", "output"):
            names = order_of(model, entry, side)
            wanted = order_of(float_model, before[entry.key], side)
            ends = [id(tensor) for tensor in getattr(entry, f"{side}s").values()]
            if len(set(ends)) < len(ends):
                continue  # outputs that are one tensor have no order of their own
            if made_here:
                wanted = [spec["name"] for spec in declared[entry.key][f"{side}s"]]
            if names != wanted and sorted(names) == sorted(wanted):
                yield Finding("order", f"the {side}s are in the order {_list(names)}, {_list(wanted)} was declared")
            elif names != wanted:
                yield Finding("order", f"the graph's {side}s are {_list(names)}, those declared are {_list(wanted)}")
            yield from _exchanged(entry, before[entry.key], side)


def order_of(model: Model, entry: SignatureDef, side: str) -> list[str]:
    """Return the names of a signature's inputs or outputs in the order of its subgraph; "" for one without a name."""
    graph = model.subgraphs[entry.subgraph]
    names = {id(tensor): name for name, tensor in getattr(entry, f"{side}s").items()}
    return [names.get(id(graph.tensors[index]), "") for index in getattr(graph, f"{side}s")]


def _exchanged(entry: SignatureDef, before: SignatureDef, side: str) -> Iterator[Finding]:
    """Yield names that stand for another tensor than in the float model.

    Quantizers keep a tensor's name, or add to it.
    """
    tensors = {name: tensor.name for name, tensor in getattr(before, f"{side}s").items()}
    for name, tensor in getattr(entry, f"{side}s").items():
        known = [other for other, own in tensors.items() if tensor.name.startswith(own)]
        nearest = max(known, key=lambda other: len(tensors[other]), default=name)
        if name in tensors and tensors[nearest] != tensors[name]:
            yield Finding("signature", f"{side} '{name}' is the tensor of '{nearest}' in the float model")


def _list(names: Sequence[str]) -> str:
    return ", ".join(name or "(no name)" for name in names)
