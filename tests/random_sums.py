"""Drawers of what goes along axes: sums, extremes, where they are. See random_ops.py."""

from __future__ import annotations

from collections.abc import Sequence

from one_op import Case, T
from random_ops import REAL, Draw, Drawer, Shape


def reduced(shape: Shape, axes: Sequence[int], keep: bool) -> Shape:
    places = {axis % len(shape) for axis in axes}
    if keep:
        return tuple(1 if at in places else size for at, size in enumerate(shape))
    return tuple(size for at, size in enumerate(shape) if at not in places)


def reduction(op: str, usual: Sequence[str] = REAL, odd: Sequence[str] = ("uint8", "int32", "int64")) -> Drawer:
    def drawn(draw: Draw) -> Case:
        given = draw.tensor(draw.shape(), draw.type(usual, odd))
        rank = len(given.shape)
        if rank == 4 and draw.chance(0.4):
            axes = [1, 2]
        else:
            count = draw.between(1, min(3, rank))
            axes = sorted(int(axis) for axis in draw.generator.permutation(rank)[:count])
        asked = [axis - rank for axis in axes] if draw.chance(0.2) else axes
        keep = draw.chance(0.5)
        along = (
            draw.ints(asked[0], (), moving=0.03)
            if len(axes) == 1 and draw.chance(0.2)
            else draw.ints(asked, moving=0.03)
        )
        out = draw.tensor(reduced(given.shape, axes, keep), given.type, like=given if draw.chance(0.7) else None)
        return draw.case(op, [given, along], [out], "ReducerOptions", keepDims=keep)

    return drawn


def arg(op: str, kind: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        given = draw.tensor(draw.shape(), draw.type(("float32", "int8", "int8"), ("int16", "uint8", "int32")))
        axis = len(given.shape) - 1 if draw.chance(0.5) else draw.axis(len(given.shape))
        type = "int64" if draw.chance(0.2) else "int32"
        out = T(reduced(given.shape, [axis], False), type, raw=True)
        along = draw.ints(axis, draw.pick(((), (1,))), moving=0.03)
        return draw.case(op, [given, along], [out], kind, outputType={"int32": 2, "int64": 4}[type])

    return drawn


def cumsum(draw: Draw) -> Case:
    given = draw.tensor(draw.shape(), draw.type(("float32", "int8"), ("int16", "int32", "int64", "uint8")))
    along = draw.ints(draw.axis(len(given.shape)), draw.pick(((), (1,))), moving=0.05)
    options = {"exclusive": draw.chance(0.3), "reverse": draw.chance(0.3)}
    out = draw.tensor(given.shape, given.type, like=given)
    return draw.case("CUMSUM", [given, along], [out], "CumsumOptions", **options)


SUMS: dict[str, Drawer] = {
    **{op: reduction(op) for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")},
    **{op: reduction(op, ("bool",), ()) for op in ("REDUCE_ALL", "REDUCE_ANY")},
    "ARG_MAX": arg("ARG_MAX", "ArgMaxOptions"),
    "ARG_MIN": arg("ARG_MIN", "ArgMinOptions"),
    "CUMSUM": cumsum,
}
