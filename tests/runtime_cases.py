"""Models for the table of runtimes beside those that the targets share: what quantizers make of weights."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from one_op import SAME, SCALES, Case, T, ints, write_model
from packed_weights import lstm, packed

F = "float32"
IMAGE = (1, 8, 8, 4)
WEIGHTS = (("int8", False), ("int8", True), ("int4", False), ("int4", True))  # type, with a scale per channel
ACTIVATIONS = (F, "int8", "int16")
OPTIONS = {"padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
WEIGHT_SCALE = 1 / 512


def draw_weight(shape: tuple[int, ...], type: str, axis: int | None) -> T:
    """Random weights; those of four bits lie two to a byte."""
    generator = np.random.default_rng(zlib.crc32(repr((shape, type, axis)).encode()))
    count = int(np.prod(shape))
    if type == "int4":
        values = generator.integers(0, 256, -(-count // 2)).astype(np.uint8).view(np.int8)
        return T(shape, type, values, scale=1 / 16, zero_point=0, channels=axis)
    return T(shape, type, generator.integers(-127, 128, shape), scale=WEIGHT_SCALE, zero_point=0, channels=axis)


def draw_bias(count: int, type: str, weights: T) -> T:
    """Random biases at the scale that activations of `type` and the weights give them."""
    generator = np.random.default_rng(count)
    if type == F:
        return T((count,), F, generator.normal(size=count))
    scale = SCALES["int16" if type.startswith("int64") or type == "int16 int32" else "int8"][0] * (weights.scale or 1)
    stored = "int64" if type == "int64" else "int32"
    axis = None if weights.channels is None else 0
    return T((count,), stored, generator.integers(-900, 900, count), scale=scale, zero_point=0, channels=axis)


def biases_of(activation: str) -> tuple[str, ...]:
    """The biases that may stand beside activations of a type, "" for none."""
    return {F: ("", F), "int8": ("", "int32"), "int16": ("", "int64", "int16 int32")}[activation]


def name_of(op: str, activation: str, weights: str, several: bool, bias: str) -> str:
    return f"{op}_{activation}_{weights}{'_channels' if several else ''}_{bias.replace(' ', '') or 'unbiased'}"


def weighted() -> Iterator[Case]:
    for op in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"):
        for activation in ACTIVATIONS:
            for type, several in WEIGHTS:
                for bias in biases_of(activation):
                    yield weighted_case(op, activation, type, several, bias)


def weighted_case(op: str, activation: str, type: str, several: bool, bias: str) -> Case:
    name = name_of(op, activation, type, several, bias)
    if op == "FULLY_CONNECTED":
        weights = draw_weight((8, 16), type, 0 if several else None)
        inputs = (T((1, 16), activation), weights, draw_bias(8, bias, weights) if bias else None)
        return Case(name, op, inputs, (T((1, 8), activation),), "FullyConnectedOptions")
    if op == "CONV_2D":
        weights = draw_weight((8, 3, 3, 4), type, 0 if several else None)
        inputs = (T(IMAGE, activation), weights, draw_bias(8, bias, weights) if bias else None)
        return Case(name, op, inputs, (T((1, 8, 8, 8), activation),), "Conv2DOptions", OPTIONS)
    if op == "DEPTHWISE_CONV_2D":
        weights = draw_weight((1, 3, 3, 4), type, 3 if several else None)
        inputs = (T(IMAGE, activation), weights, draw_bias(4, bias, weights) if bias else None)
        return Case(
            name, op, inputs, (T(IMAGE, activation),), "DepthwiseConv2DOptions", OPTIONS | {"depthMultiplier": 1}
        )
    weights = draw_weight((8, 2, 2, 4), type, 0 if several else None)
    inputs = (ints(1, 16, 16, 8), weights, T(IMAGE, activation), draw_bias(8, bias, weights) if bias else None)
    options = {"padding": SAME, "strideW": 2, "strideH": 2}
    # a bias is an input of version 3
    return Case(name, op, inputs, (T((1, 16, 16, 8), activation),), "TransposeConvOptions", options, 3 if bias else 1)


def products() -> Iterator[Case]:
    for activation in ACTIVATIONS:
        for type, several in (("int8", False), ("int8", True)):
            weights = draw_weight((1, 16, 8), type, 2 if several else None)
            name = name_of("BATCH_MATMUL", activation, type, several, "")
            made = (T((1, 4, 8), activation),)
            yield Case(name, "BATCH_MATMUL", (T((1, 4, 16), activation), weights), made, "BatchMatMulOptions")


def tables() -> Iterator[Case]:
    words = T((3,), "int32", raw=True)
    for type, several in WEIGHTS:
        table = draw_weight((10, 8), type, 0 if several else None)
        name = name_of("EMBEDDING_LOOKUP", F, type, several, "")
        yield Case(name, "EMBEDDING_LOOKUP", (words, table), (T((3, 8), F),))
    for type in ("int8", "int4"):
        table = draw_weight((10, 8), type, None)
        made = T((3, 8), type, scale=table.scale, zero_point=0)
        yield Case(f"GATHER_table_{type}", "GATHER", (table, words), (made,), "GatherOptions", {"axis": 0})
        if type == "int8":
            yield Case("EMBEDDING_LOOKUP_int8", "EMBEDDING_LOOKUP", (words, table), (made,))
    yield Case(
        "GATHER_table_float16",
        "GATHER",
        (T((10, 8), "float16", np.arange(80).reshape(10, 8)), words),
        (T((3, 8), "float16"),),
        "GatherOptions",
        {"axis": 0},
    )


def unpacked() -> Iterator[Case]:
    for type, several in WEIGHTS:
        weights = draw_weight((8, 16), type, 0 if several else None)
        name = name_of("DEQUANTIZE", F, type, several, "")
        yield Case(name, "DEQUANTIZE", (weights,), (T((8, 16), F),), "DequantizeOptions")


def unpacked_and_added() -> Iterator[tuple[str, bytes]]:
    """Weights that are unpacked for another operator, as weight-only schemes have it."""
    addition = Case("add", "ADD", (T((8, 16), F), T((8, 16), F)), (T((8, 16), F),), "AddOptions")
    for case in unpacked():
        yield f"{case.name}_added", write_model(case, addition)


MORE_CASES: dict[str, Case] = {case.name: case for make in (weighted, products, tables, unpacked) for case in make()}
MODELS: dict[str, bytes] = {
    "lstm": lstm(),
    "lstm_float16": packed(lstm(), "float16", 2),
    **dict(unpacked_and_added()),
}
