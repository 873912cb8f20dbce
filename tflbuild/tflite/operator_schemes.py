"""How an operator of an artifact computes: which of the schemes its tensors are those of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tflbuild.tflite.tflite_model import Operator, Subgraph, Tensor

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
NARROW = {"int8": "int8", "uint8": "int8", "int4": "int4", "uint4": "int4", "int2": "int2", "int16": "int16"}
REAL = ("float32", "float16")


def map_dequantized_constants(graph: Subgraph) -> dict[int, Tensor]:
    """Tensors that a DEQUANTIZE makes of stored values -> the stored ones."""
    return {
        op.outputs[0]: graph.tensors[op.inputs[0]]
        for op in graph.ops
        if op.name == "DEQUANTIZE" and graph.tensors[op.inputs[0]].constant
    }


def find_operator_scheme(graph: Subgraph, op: Operator, stored: Mapping[int, Tensor]) -> str:
    """The scheme that an operator computes by, "" for a conversion and for what computes on no real values.

    `stored` is what `widened` found. What is of 8 bits is `int8`, of uint8 too. Weights of another width than any
    scheme's give a name that none has (`dynamic_int2`). An int8 LSTM's state is int16 all the same, and no activation.
    """
    if op.name in CONVERSIONS:
        return ""
    there = [index for index in (*op.inputs, *op.outputs) if index >= 0]
    tensors = [graph.tensors[index] for index in there]
    behind = [stored[index] for index in there if index in stored]
    direct = [one for one in tensors if one.constant and (one.quantized or one.type == "float16")]
    return scheme_of_tensors(tensors, direct, [one for one in behind if one.quantized or one.type == "float16"])


def scheme_of_tensors(tensors: Iterable[Tensor], direct: Iterable[Tensor], behind: Iterable[Tensor]) -> str:
    """The same of an operator's tensors, its weights, and those that a conversion before it widens."""
    moving = {one.type for one in tensors if not (one.constant or one.state) and (one.scales or one.type in REAL)}
    own = {NARROW[one.type] for one in direct if one.type in NARROW}
    wide = {NARROW[one.type] for one in behind if one.type in NARROW}
    if "int16" in moving:
        return "int16x8"
    if moving & {"int8", "uint8"}:
        return "int4" if "int4" in own | wide else "int8"
    if not moving:
        return ""
    if own:
        return f"dynamic_{min(own, key=_bits)}"
    if wide:
        return f"weight_only_{min(wide, key=_bits)}"
    halves = "float16" in {*moving, *(one.type for one in (*direct, *behind))}
    return "float16" if halves else "none"


def _bits(name: str) -> int:
    return int(name.removeprefix("int"))
