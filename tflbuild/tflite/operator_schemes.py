"""The scheme by which an operator of an artifact computes, derived from the types of its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tflbuild.tflite.tflite_model import Operator, Subgraph, Tensor

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
NARROW = {"int8": "int8", "uint8": "int8", "int4": "int4", "uint4": "int4", "int2": "int2", "int16": "int16"}
REAL = ("float32", "float16")


def map_dequantized_constants(graph: Subgraph) -> dict[int, Tensor]:
    """Return the outputs of DEQUANTIZE operators on constants: tensor index -> the constant."""
    return {
        op.outputs[0]: graph.tensors[op.inputs[0]]
        for op in graph.ops
        if op.name == "DEQUANTIZE" and graph.tensors[op.inputs[0]].constant
    }


def find_operator_scheme(graph: Subgraph, op: Operator, stored: Mapping[int, Tensor]) -> str:
    """Return the scheme of an operator, "" for a conversion and for an operator without real values.

    8-bit types count as `int8`, also uint8. Weights of another bit width result in a name that no scheme has, such as
    `dynamic_int2`. The int16 state of an int8 LSTM does not count as an activation.

    Args:
        graph: The subgraph.
        op: The operator.
        stored: The result of `map_dequantized_constants`.
    """
    if op.name in CONVERSIONS:
        return ""
    indices = [index for index in (*op.inputs, *op.outputs) if index >= 0]
    tensors = [graph.tensors[index] for index in indices]
    dequantized = [stored[index] for index in indices if index in stored]
    direct = [tensor for tensor in tensors if tensor.constant and (tensor.quantized or tensor.type == "float16")]
    return scheme_of_tensors(
        tensors, direct, [tensor for tensor in dequantized if tensor.quantized or tensor.type == "float16"]
    )


def scheme_of_tensors(tensors: Iterable[Tensor], direct: Iterable[Tensor], behind: Iterable[Tensor]) -> str:
    """Return the scheme of an operator from its tensors.

    Args:
        tensors: All its inputs and outputs.
        direct: The constants that it reads directly.
        behind: The constants that it reads through a DEQUANTIZE.
    """
    activation_types = {
        tensor.type
        for tensor in tensors
        if not (tensor.constant or tensor.state) and (tensor.scales or tensor.type in REAL)
    }
    direct_types = {NARROW[tensor.type] for tensor in direct if tensor.type in NARROW}
    dequantized_types = {NARROW[tensor.type] for tensor in behind if tensor.type in NARROW}
    if "int16" in activation_types:
        return "int16x8"
    if activation_types & {"int8", "uint8"}:
        return "int4" if "int4" in direct_types | dequantized_types else "int8"
    if not activation_types:
        return ""
    if direct_types:
        return f"dynamic_{min(direct_types, key=_bits)}"
    if dequantized_types:
        return f"weight_only_{min(dequantized_types, key=_bits)}"
    halves = "float16" in {*activation_types, *(tensor.type for tensor in (*direct, *behind))}
    return "float16" if halves else "none"


def _bits(name: str) -> int:
    return int(name.removeprefix("int"))
