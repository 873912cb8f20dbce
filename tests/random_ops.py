"""Models of one operator, drawn at random: what nobody thought of when the tables were written.

`random_layers.draw_cases(seed, count)` gives cases by name, every operator about as often. Shapes fit what the operator
makes; types, ranks, sizes, options, scales, what is stored and what is broadcast are drawn, so that no runtime takes a
part of the models. The same seed gives the same cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

import numpy as np
from one_op import Case, T
from one_op_cases import BINARY_OPTIONS, COMPARISONS, UNARY, UNARY_OPTIONS

REAL = ("float32", "int8", "int16")
INTEGERS = ("int8", "int8", "int16", "uint8", "int32")
OTHER = ("uint8", "int32", "int64", "bool", "float16")
NUMBERS = ("uint8", "int32", "int64", "float16")
SCALES = {
    "int8": ((1 / 32, 1 / 64, 0.05, 1 / 256), (0, 0, -128, 3, -5, 127)),
    "uint8": ((1 / 32, 0.05, 1 / 256), (128, 0, 127, 255)),
    "int16": ((1 / 8192, 1 / 4096, 1 / 32768, 0.0003), (0,) * 19 + (3,)),
}
FIXED = {
    ("int8", "LOGISTIC"): (1 / 256, -128),
    ("uint8", "LOGISTIC"): (1 / 256, 0),
    ("int8", "TANH"): (1 / 128, 0),
    ("uint8", "TANH"): (1 / 128, 128),
    ("int8", "SOFTMAX"): (1 / 256, -128),
    ("uint8", "SOFTMAX"): (1 / 256, 0),
    ("int16", "LOGISTIC"): (1 / 32768, 0),
    ("int16", "TANH"): (1 / 32768, 0),
    ("int16", "SOFTMAX"): (1 / 32768, 0),
    ("int8", "LOG_SOFTMAX"): (1 / 16, 127),
    ("int8", "L2_NORMALIZATION"): (1 / 128, 0),
    ("uint8", "L2_NORMALIZATION"): (1 / 128, 128),
}
MOST_ELEMENTS = 20_000
Item = TypeVar("Item")
Shape = tuple[int, ...]


class Draw:
    """A stream of choices. `floats` is the share of float32 that stays so: the rest is integers instead."""

    def __init__(self, seed: int, name: str = "", floats: float = 1.0) -> None:
        self.generator = np.random.default_rng(seed)
        self.name, self.floats = name, floats

    def chance(self, share: float) -> bool:
        return bool(self.generator.random() < share)

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self.generator.integers(len(items)))]

    def between(self, least: int, most: int) -> int:
        return int(self.generator.integers(least, most + 1))

    def size(self) -> int:
        if self.chance(0.06):
            return int(self.pick((16, 17, 31, 64, 127, 128, 130)))
        return 1 if self.chance(0.15) else self.between(2, 9)

    def shape(self, least: int = 1, most: int = 6) -> Shape:
        """Of 4 dimensions mostly, the first of them 1 mostly."""
        rank = 4 if least <= 4 <= most and self.chance(0.4) else self.between(least, most)
        while True:
            sizes = tuple(self.size() for _ in range(rank))
            if rank > 1 and self.chance(0.6):
                sizes = (1, *sizes[1:])
            if prod(sizes) <= MOST_ELEMENTS:
                return sizes

    def type(self, usual: Sequence[str] = REAL, odd: Sequence[str] = NUMBERS, share: float = 0.2) -> str:
        found = self.pick(odd if odd and self.chance(share) else usual)
        return found if found != "float32" or self.chance(self.floats) else self.pick(INTEGERS)

    def tensor(self, shape: Shape, type: str, op: str = "", like: T | None = None, **more: Any) -> T:
        """Quantized where its type is: as `op` wants its output, as `like` is, or anyhow."""
        if type not in SCALES or self.chance(0.02):
            return T(shape, type, raw=True, **more)
        if (type, op) in FIXED and self.chance(0.85):
            scale, zero_point = FIXED[type, op]
        elif like is not None and like.type == type and self.chance(0.85):
            return replace(like, shape=shape, **{"values": None, **more})
        else:
            scales, zero_points = SCALES[type]
            scale, zero_point = self.pick(scales), self.pick(zero_points)
        return T(shape, type, scale=scale, zero_point=zero_point, **more)

    def stored(self, shape: Shape, type: str, like: T | None = None, least: int = -3, most: int = 4) -> T:
        """A constant of small numbers, none of them 0 where `least` is positive."""
        values = self.generator.integers(least, most, shape)
        if type == "bool":
            values = values > 0
        elif type.startswith("uint"):
            values = np.abs(values)
        return self.tensor(shape, type, like=like, values=values)

    def ints(self, values: Any, shape: Shape | None = None, moving: float = 0.06, long: float = 0.04) -> T:
        """Parameters: stored mostly, int32 mostly."""
        type = "int64" if self.chance(long) else "int32"
        shape = np.shape(values) if shape is None else shape
        return T(shape, type, None if self.chance(moving) else np.reshape(values, shape), raw=True)

    def axis(self, rank: int) -> int:
        found = self.between(0, max(0, rank - 1))
        return found - rank if self.chance(0.25) else found

    def fused(self) -> int:
        """An activation's number."""
        return int(self.pick((1, 2, 3, 4))) if self.chance(0.3) else 0

    def case(self, op: str, inputs: Sequence[T | None], outputs: Sequence[T], kind: str = "", **options: Any) -> Case:
        version = options.pop("version", 1)
        return Case(f"{op}_{self.name}", op, tuple(inputs), tuple(outputs), kind, options, version)


Drawer = Callable[[Draw], Case]


def unary(op: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        type, shape = draw.type(), draw.shape()
        kind, options = UNARY_OPTIONS.get(op, ("", {}))
        if op == "LEAKY_RELU":
            options = {"alpha": draw.pick((0.1, 0.5, 1.5))}
        made = draw.pick(REAL) if draw.chance(0.02) else type
        given = draw.tensor(shape, type)
        return draw.case(op, [given], [draw.tensor(shape, made, op, given)], kind, **options)

    return drawn


def other_shape(draw: Draw, shape: Shape) -> tuple[Shape, Shape]:
    """The second input's shape, and the first's: one is broadcast to the other, or both to `shape`."""
    way = draw.between(0, 9)
    if way < 5:
        return shape, shape
    if way == 5:
        return shape, () if draw.chance(0.5) else (1,)
    if way == 6:
        return shape, shape[-1:]
    if way == 7:
        return shape, shape[draw.between(0, len(shape) - 1) :]
    thinned = tuple(1 if draw.chance(0.5) else size for size in shape)
    if way == 8:
        return shape, thinned
    return tuple(1 if other == size else size for size, other in zip(shape, thinned, strict=True)), thinned


def pair(draw: Draw, type: str, shape: Shape) -> tuple[T, T]:
    first, second = other_shape(draw, shape)
    if draw.chance(0.3):
        first, second = second, first
    a = draw.tensor(first, type)
    if draw.chance(0.3):
        b = draw.stored(second, type, a, 1, 4)
    else:
        b = draw.tensor(second, draw.pick(REAL) if type != "bool" and draw.chance(0.03) else type, like=a)
    return (b, a) if b.values is not None and draw.chance(0.2) else (a, b)


def spread(a: T, b: T) -> Shape:
    return tuple(np.broadcast_shapes(a.shape, b.shape))


def binary(op: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        type = draw.type((*REAL, "int32"))
        a, b = pair(draw, type, draw.shape())
        options = {"fusedActivationFunction": draw.fused()} if op in ("ADD", "SUB", "MUL", "DIV") else {}
        made = draw.pick(REAL) if draw.chance(0.02) else type
        return draw.case(op, [a, b], [draw.tensor(spread(a, b), made, op, a)], BINARY_OPTIONS[op], **options)

    return drawn


def comparison(op: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        a, b = pair(draw, draw.type((*REAL, "int32", "int64", "bool")), draw.shape())
        return draw.case(op, [a, b], [T(spread(a, b), "bool")], COMPARISONS[op])

    return drawn


def logical(op: str, kind: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        a, b = pair(draw, "bool", draw.shape())
        return draw.case(op, [a, b], [T(spread(a, b), a.type)], kind)

    return drawn


def logical_not(draw: Draw) -> Case:
    given = T(draw.shape(), "bool")
    return draw.case("LOGICAL_NOT", [given], [given], "LogicalNotOptions")


def alike(op: str, kind: str, usual: Sequence[str] = REAL, **options: Any) -> Drawer:
    """One input, and an output of its shape and type."""

    def drawn(draw: Draw) -> Case:
        given = draw.tensor(draw.shape(), draw.type(usual))
        found = {name: draw.pick(values) for name, values in options.items()}
        made = "int16" if op == "SOFTMAX" and given.type == "int8" and draw.chance(0.1) else given.type
        return draw.case(op, [given], [draw.tensor(given.shape, made, op, given)], kind, **found)

    return drawn


def prelu(draw: Draw) -> Case:
    type, shape = draw.type(), draw.shape(2)
    slopes = draw.pick(((1,) * (len(shape) - 2) + shape[-1:], shape[-1:], shape[1:], (1,) * len(shape), shape))
    kind = "int8" if type == "int16" and draw.chance(0.3) else type
    given = draw.tensor(shape, type)
    alpha = draw.tensor(slopes, kind) if draw.chance(0.15) else draw.stored(slopes, kind)
    return draw.case("PRELU", [given, alpha], [draw.tensor(shape, type, like=given)])


def add_n(draw: Draw) -> Case:
    given = draw.tensor(draw.shape(), draw.type())
    others = [draw.tensor(given.shape, given.type, like=given) for _ in range(draw.between(0, 3))]
    return draw.case("ADD_N", [given, *others], [draw.tensor(given.shape, given.type, like=given)], "AddNOptions")


CODES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}


def cast(draw: Draw) -> Case:
    a, b = draw.pick((*REAL, *OTHER)), draw.pick((*REAL, *OTHER))
    shape = draw.shape()
    given = draw.tensor(shape, a) if draw.chance(0.3) else T(shape, a, raw=True)
    made = draw.tensor(shape, b) if draw.chance(0.3) else T(shape, b, raw=True)
    return draw.case("CAST", [given], [made], "CastOptions", inDataType=CODES[a], outDataType=CODES[b])


def quantize(draw: Draw) -> Case:
    shape = draw.shape()
    made = draw.tensor(shape, draw.type(("int8", "int16", "uint8", "int32")))
    return draw.case("QUANTIZE", [draw.tensor(shape, draw.type((*REAL, "uint8")))], [made], "QuantizeOptions")


def dequantize(draw: Draw) -> Case:
    shape, type = draw.shape(), draw.type(("int8", "int16", "uint8"))
    given = draw.stored(shape, type) if draw.chance(0.2) else draw.tensor(shape, type)
    return draw.case("DEQUANTIZE", [given], [T(shape, "float32")], "DequantizeOptions")


def select(op: str, kind: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        a, b = pair(draw, draw.type(), draw.shape())
        shape = spread(a, b)
        asked = draw.pick((shape, shape, shape[-1:], (1,) * len(shape)))
        if op == "SELECT":
            asked = draw.pick((shape, shape[:1]))
        return draw.case(op, [T(asked, "bool"), a, b], [draw.tensor(shape, a.type, like=a)], kind)

    return drawn


ELEMENTS: dict[str, Drawer] = {
    **{op: unary(op) for op in (*UNARY, "RELU_0_TO_1")},
    **{op: binary(op) for op in BINARY_OPTIONS},
    **{op: comparison(op) for op in COMPARISONS},
    "LOGICAL_AND": logical("LOGICAL_AND", "LogicalAndOptions"),
    "LOGICAL_OR": logical("LOGICAL_OR", "LogicalOrOptions"),
    "LOGICAL_NOT": logical_not,
    "SOFTMAX": alike("SOFTMAX", "SoftmaxOptions", beta=(1.0, 1.0, 0.5)),
    "LOG_SOFTMAX": alike("LOG_SOFTMAX", "LogSoftmaxOptions"),
    "L2_NORMALIZATION": alike("L2_NORMALIZATION", "L2NormOptions"),
    "ZEROS_LIKE": alike("ZEROS_LIKE", "ZerosLikeOptions", (*REAL, "int32", "int64")),
    "PRELU": prelu,
    "ADD_N": add_n,
    "CAST": cast,
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    "SELECT": select("SELECT", "SelectOptions"),
    "SELECT_V2": select("SELECT_V2", "SelectV2Options"),
}


def told(case: Case) -> str:
    """A case in one line: what it takes, makes and is told."""
    sides = (", ".join(map(_tensor, side)) for side in (case.inputs, case.outputs))
    options = {name: value for name, value in case.options.items() if value}
    return f"{case.op} {' -> '.join(sides)} {options or ''}"


def _tensor(one: T | None) -> str:
    if one is None:
        return "none"
    scale = f"*{one.scale:.4g}{one.zero_point or 0:+d}" if one.scale is not None and not one.raw else ""
    small = one.values is not None and one.raw and np.size(one.values) <= 8
    values = "" if one.values is None else f"={np.asarray(one.values).tolist()}" if small else "=stored"
    marks = ("@" if one.channels is not None else "") + ("!" if one.state else "")
    return f"{one.type}{list(one.shape)}{scale}{values}{marks}"


def draw_some(seed: int, count: int, drawers: dict[str, Drawer], floats: float = 1.0) -> Iterator[Case]:
    """`count` cases, the operators in turn."""
    names = sorted(drawers)
    for number in range(count):
        yield drawers[names[number % len(names)]](Draw(seed * 100_003 + number, f"{seed}_{number}", floats))
