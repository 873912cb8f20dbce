"""Checks of the scales of weights, of zero points, and of the order of inputs and outputs."""

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
# Operators whose weights have a scale for each channel, and the channel axis (TFLite's quantization specification).
CHANNEL_AXES = {name: operands.axis for name, operands in FILTERS.items()}
BLOCK_OPERATORS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")
# Operators whose kernels fix the scale and zero point of an int8 output.
FIXED_INT8_OUTPUTS = ("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION")


def check_granularity(model: Model, granularity: str) -> Iterator[Finding]:
    """Yield weights whose scales have another granularity than the declared one.

    Blocks are for int4 weights of BLOCK_OPERATORS. In a model with int4 weights, int8 weights are per channel whatever
    is declared.
    """
    has_int4 = any(tensor.type == "int4" for graph in model.subgraphs for tensor in graph.tensors)
    for graph, op, name in each_operator(model):
        weights = weight_of(graph, op)
        if weights is None or not weights.quantized or op.name not in CHANNEL_AXES:
            continue
        declared = granularity if weights.type == "int4" or not has_int4 else "per_channel"
        if declared.startswith(BLOCKWISE) and op.name not in BLOCK_OPERATORS:
            declared = "per_channel"
        actual = _find_granularity(op, weights)
        # One channel has one scale either way.
        if actual != declared and not (weights.shape[CHANNEL_AXES[op.name]] == 1 and actual == "per_tensor"):
            yield Finding("granularity", f"{op.name} has {actual} weights, {declared} was declared: {name}")


def _find_granularity(op: Operator, weights: Tensor) -> str:
    """Return the granularity of an operator's weights as in the recipe, or a description of any other one."""
    if weights.block:
        return f"{BLOCKWISE}{weights.block}"
    if len(weights.scales) == 1:
        return "per_tensor"
    axis = CHANNEL_AXES[op.name]
    if weights.axis == axis and len(weights.scales) == weights.shape[axis]:
        return "per_channel"
    return f"{len(weights.scales)} scales along axis {weights.axis} of"


def check_converter_options(model: Model, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield scales and biases that contradict those options of TFLiteConverter that leave a trace in the file."""
    no_channels = options.get(NO_CHANNELS)
    for graph, op, name in each_operator(model):
        weights = weight_of(graph, op)
        is_per_tensor = no_channels or (op.name == "FULLY_CONNECTED" and options.get(NO_CHANNELS_OF_DENSE))
        if is_per_tensor and weights is not None and len(weights.scales) > 1:
            yield Finding("converter", f"{op.name} has {len(weights.scales)} scales, one was declared: {name}")
        bias = graph.tensors[op.inputs[2]] if op.name in BIASED and len(op.inputs) > 2 and op.inputs[2] >= 0 else None
        declared = options.get(BIAS_TYPE)
        if declared and bias is not None and bias.quantized and bias.type != declared:
            yield Finding("converter", f"{op.name} has an {bias.type} bias, {declared} was declared: {name}")


def check_zero_points(model: Model) -> Iterator[Finding]:
    """Yield int8 activations with a zero point other than 0, which quantization.symmetric excludes.

    Kernels fix the zero point of some outputs. A tensor that only moves the values of such an output (a RESHAPE after a
    SOFTMAX) shares its zero point.
    """
    for graph in model.subgraphs:
        fixed = {graph.tensors[op.outputs[0]].zero_points for op in graph.ops if op.name in FIXED_INT8_OUTPUTS}
        producers = {index: op for op in graph.ops for index in op.outputs}
        for index, tensor in enumerate(graph.tensors):
            op = producers.get(index)
            is_asymmetric = not tensor.constant and tensor.type == "int8" and any(tensor.zero_points)
            is_free = op is None or (op.name not in FIXED_INT8_OUTPUTS and not _moves(graph, op, tensor, fixed))
            if is_asymmetric and is_free and (op is not None or index in graph.inputs):
                producer = f"{op.name} gives" if op is not None else "the input is"
                yield Finding("scale", f"{producer} int8 with the zero point {tensor.zero_points[0]}: {tensor.name}")


def _moves(graph: Subgraph, op: Operator, tensor: Tensor, fixed: set[tuple[int, ...]]) -> bool:
    """Return whether an output has the scale and zero point of an input whose zero point a kernel fixed."""
    inputs = [graph.tensors[index] for index in op.inputs if index >= 0]
    equal = [input_ for input_ in inputs if (input_.scales, input_.zero_points) == (tensor.scales, tensor.zero_points)]
    return tensor.zero_points in fixed and bool(equal)


def check_order(model: Model, float_model: Model, signature: Mapping[str, Any], made_here: bool) -> Iterator[Finding]:
    """Compare the order of inputs and outputs, and the assignment of names to tensors, with the float model.

    Args:
        model: The artifact.
        float_model: The float model.
        signature: The declared signature, as JSON.
        made_here: False for a .tflite source, whose own order counts. A converted model has the order of the signature.
    """
    float_signatures = {entry.key: entry for entry in float_model.signatures}
    declared = {entry["key"]: entry for entry in (signature, *signature.get("more", ()))}
    for entry in model.signatures:
        if entry.key not in float_signatures or entry.key not in declared:
            # `check_signatures` reports this.
            continue
        for side in ("input", "output"):
            names = list_in_order(model, entry, side)
            expected = list_in_order(float_model, float_signatures[entry.key], side)
            tensors = [id(tensor) for tensor in getattr(entry, f"{side}s").values()]
            if len(set(tensors)) < len(tensors):
                # Several outputs that are the same tensor have no order.
                continue
            if made_here:
                expected = [spec["name"] for spec in declared[entry.key][f"{side}s"]]
            if names != expected and sorted(names) == sorted(expected):
                yield Finding(
                    "order", f"the {side}s are in the order {_join_names(names)}, {_join_names(expected)} was declared"
                )
            elif names != expected:
                yield Finding(
                    "order", f"the graph's {side}s are {_join_names(names)}, those declared are {_join_names(expected)}"
                )
            yield from _find_exchanged(entry, float_signatures[entry.key], side)


def list_in_order(model: Model, entry: SignatureDef, side: str) -> list[str]:
    """Return the names of a signature's inputs or outputs in the order of its subgraph, "" for one without a name."""
    graph = model.subgraphs[entry.subgraph]
    names = {id(tensor): name for name, tensor in getattr(entry, f"{side}s").items()}
    return [names.get(id(graph.tensors[index]), "") for index in getattr(graph, f"{side}s")]


def _find_exchanged(entry: SignatureDef, float_signature: SignatureDef, side: str) -> Iterator[Finding]:
    """Yield names that refer to another tensor than in the float model.

    A quantizer keeps the name of a tensor, or appends to it.
    """
    tensors = {name: tensor.name for name, tensor in getattr(float_signature, f"{side}s").items()}
    for name, tensor in getattr(entry, f"{side}s").items():
        candidates = [other for other, prefix in tensors.items() if tensor.name.startswith(prefix)]
        nearest = max(candidates, key=lambda other: len(tensors[other]), default=name)
        if name in tensors and tensors[nearest] != tensors[name]:
            yield Finding("signature", f"{side} '{name}' is the tensor of '{nearest}' in the float model")


def _join_names(names: Sequence[str]) -> str:
    """Return names as text."""
    return ", ".join(name or "(no name)" for name in names)
