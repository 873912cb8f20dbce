"""Drawers of what moves, cuts, joins, repeats and looks up: see random_ops.py."""

from __future__ import annotations

import numpy as np
from one_op import Case, T
from random_ops import OTHER, REAL, Draw, Drawer

MOVED = (*REAL, "int32")


def moved(draw: Draw, least: int = 1, most: int = 6, share: float = 0.2) -> T:
    return draw.tensor(draw.shape(least, most), draw.type(MOVED, ("uint8", "int64", "bool", "float16"), share))


def reshape(draw: Draw) -> Case:
    given = moved(draw)
    count = int(np.prod(given.shape))
    parts = [size for size in (2, 3, 4, 5, 7) if count % size == 0]
    first = draw.pick(parts) if parts else 1
    made = draw.pick(((count,), (first, count // first), (1, first, count // first), (1, 1, count // first, first)))
    asked = made if draw.chance(0.7) else (*made[:-1], -1)
    inputs = [given] if draw.chance(0.15) else [given, draw.ints(asked, long=0)]
    options = {"newShape": list(asked)} if len(inputs) == 1 or draw.chance(0.7) else {}
    return draw.case("RESHAPE", inputs, [draw.tensor(made, given.type, like=given)], "ReshapeOptions", **options)


def transpose(draw: Draw) -> Case:
    given = moved(draw, 1, 6)
    order = [int(axis) for axis in draw.generator.permutation(len(given.shape))]
    made = tuple(given.shape[axis] for axis in order)
    asked = [axis - len(order) if draw.chance(0.05) else axis for axis in order]
    out = draw.tensor(made, given.type, like=given)
    return draw.case("TRANSPOSE", [given, draw.ints(asked)], [out], "TransposeOptions")


def concatenation(draw: Draw) -> Case:
    given = moved(draw)
    axis = draw.axis(len(given.shape))
    place = axis % len(given.shape)
    others = []
    for _ in range(draw.pick((0, 1, 1, 1, 2, 4))):
        shape = (*given.shape[:place], draw.size(), *given.shape[place + 1 :])
        make = draw.stored if draw.chance(0.15) else draw.tensor
        others.append(make(shape, given.type, like=given))
    length = sum(one.shape[place] for one in (given, *others))
    made = (*given.shape[:place], length, *given.shape[place + 1 :])
    options = {"axis": axis, "fusedActivationFunction": draw.fused() if draw.chance(0.15) else 0}
    out = draw.tensor(made, given.type, like=given)
    return draw.case("CONCATENATION", [given, *others], [out], "ConcatenationOptions", **options)


def pad(op: str, kind: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        given = moved(draw, 1, 5)
        where = [draw.chance(0.5) if 0 < at < 3 else draw.chance(0.2) for at in range(len(given.shape))]
        ends = [
            [draw.between(0, min(2, size - 1)) if wide else 0 for _ in range(2)]
            if op == "MIRROR_PAD"
            else [draw.between(0, 3) if wide else 0 for _ in range(2)]
            for wide, size in zip(where, given.shape, strict=True)
        ]
        made = tuple(size + sum(end) for size, end in zip(given.shape, ends, strict=True))
        inputs = [given, draw.ints(ends)]
        if op == "PADV2":
            filler = draw.pick(((), (1,)))
            inputs.append(
                draw.tensor(filler, given.type, like=given, values=None if draw.chance(0.1) else np.ones(filler))
            )
        options = {"mode": draw.between(0, 1)} if op == "MIRROR_PAD" else {}
        return draw.case(op, inputs, [draw.tensor(made, given.type, like=given)], kind, **options)

    return drawn


def strided_slice(draw: Draw) -> Case:
    given = moved(draw, 1, 5)
    begins, ends, steps, made = [], [], [], []
    shrunk = 0
    for at, size in enumerate(given.shape):
        begin = draw.between(0, size - 1)
        if draw.chance(0.1):
            shrunk |= 1 << at
            begins, ends, steps = [*begins, begin], [*ends, begin + 1], [*steps, 1]
            continue
        if draw.chance(0.05):
            begins, ends, steps = [*begins, size - 1], [*ends, -size - 1], [*steps, -1]
            made.append(size)
            continue
        begin = 0 if draw.chance(0.5) else begin
        end = size if draw.chance(0.5) else draw.between(begin + 1, size)
        step = draw.pick((1, 1, 1, 2, 3))
        made.append(-(-(end - begin) // step))
        begins, ends, steps = [*begins, begin], [*ends, end], [*steps, step]
    moving, long = 0.03, 1 if draw.chance(0.05) else 0
    inputs = [given, *(draw.ints(one, moving=moving, long=long) for one in (begins, ends, steps))]
    out = draw.tensor(tuple(made), given.type, like=given)
    return draw.case("STRIDED_SLICE", inputs, [out], "StridedSliceOptions", shrinkAxisMask=shrunk)


def slice_(draw: Draw) -> Case:
    given = moved(draw, 1, 6)
    begins = [draw.between(0, size - 1) if draw.chance(0.5) else 0 for size in given.shape]
    sizes = [draw.between(1, size - begin) for size, begin in zip(given.shape, begins, strict=True)]
    asked = [
        -1 if begin + size == whole and draw.chance(0.2) else size
        for begin, size, whole in zip(begins, sizes, given.shape, strict=True)
    ]
    out, long = draw.tensor(tuple(sizes), given.type, like=given), 1 if draw.chance(0.05) else 0
    inputs = [given, draw.ints(begins, long=long), draw.ints(asked, long=long)]
    return draw.case("SLICE", inputs, [out], "SliceOptions")


def gather(draw: Draw) -> Case:
    given = moved(draw, 1, 5)
    axis = draw.axis(len(given.shape))
    place = axis % len(given.shape)
    batches = draw.between(0, place) if draw.chance(0.15) else 0
    counts = (*given.shape[:batches], *draw.pick(((2,), (3,), (), (2, 2))))
    values = draw.generator.integers(0, given.shape[place], counts)
    given_indices = draw.ints(values, counts, moving=0.35, long=0.15)
    if given_indices.values is None and given.shape[place] == 1:
        given_indices = T(counts, "int32", values, raw=True)
    made = (*given.shape[:place], *counts[batches:], *given.shape[place + 1 :])
    out = draw.tensor(made, given.type, like=given)
    return draw.case("GATHER", [given, given_indices], [out], "GatherOptions", axis=axis, batchDims=batches)


def gather_nd(draw: Draw) -> Case:
    given = moved(draw, 1, 5)
    depth, count = draw.between(1, len(given.shape)), draw.between(1, 4)
    values = np.stack([draw.generator.integers(0, size, count) for size in given.shape[:depth]], -1)
    moving = 0.3 if min(given.shape[:depth]) > 1 else 0
    out = draw.tensor((count, *given.shape[depth:]), given.type, like=given)
    return draw.case("GATHER_ND", [given, draw.ints(values, moving=moving)], [out], "GatherNdOptions")


def scatter_nd(draw: Draw) -> Case:
    updates = moved(draw, 2, 4)
    count = updates.shape[0]
    length = count + draw.between(0, 3)
    places = draw.generator.permutation(length)[:count].reshape(count, 1)
    made = (length, *updates.shape[1:])
    inputs = [draw.ints(places, long=0), updates, draw.ints(made, long=0)]
    return draw.case("SCATTER_ND", inputs, [draw.tensor(made, updates.type, like=updates)], "ScatterNdOptions")


def split(draw: Draw) -> Case:
    parts = draw.pick((1, 2, 2, 3, 4))
    shape = list(draw.shape(1, 5))
    axis = draw.axis(len(shape))
    piece = tuple(shape)
    shape[axis % len(shape)] *= parts
    given = draw.tensor(tuple(shape), draw.type(MOVED, OTHER))
    outs = [draw.tensor(piece, given.type, like=given) for _ in range(parts)]
    along = T(*draw.pick((((), "int32"), ((1,), "int32"))), [axis], raw=True)
    along = T((), "int32", raw=True) if draw.chance(0.04) else along
    return draw.case("SPLIT", [along, given], outs, "SplitOptions", numSplits=parts)


def split_v(draw: Draw) -> Case:
    sizes = [draw.between(1, 4) for _ in range(draw.between(1, 4))]
    shape = list(draw.shape(1, 5))
    axis = draw.axis(len(shape))
    shape[axis % len(shape)] = sum(sizes)
    given = draw.tensor(tuple(shape), draw.type(MOVED, OTHER))
    outs = []
    for size in sizes:
        shape[axis % len(shape)] = size
        outs.append(draw.tensor(tuple(shape), given.type, like=given))
    asked = [*sizes[:-1], -1] if draw.chance(0.2) else sizes
    inputs = [given, draw.ints(asked, moving=0.03), T((), "int32", axis, raw=True)]
    return draw.case("SPLIT_V", inputs, outs, "SplitVOptions", numSplits=len(sizes))


def pack(draw: Draw) -> Case:
    given, count = moved(draw, 1, 5), draw.between(1, 4)
    inputs = [draw.tensor(given.shape, given.type, like=given) for _ in range(count)]
    axis = draw.axis(len(given.shape) + 1)
    place = axis % (len(given.shape) + 1)
    made = (*given.shape[:place], count, *given.shape[place:])
    options = {"valuesCount": count, "axis": axis}
    return draw.case("PACK", inputs, [draw.tensor(made, given.type, like=given)], "PackOptions", **options)


def unpack(draw: Draw) -> Case:
    shape = list(draw.shape(2, 5))
    axis, count = draw.axis(len(shape)), draw.between(1, 4)
    place = axis % len(shape)
    shape[place] = count
    given = draw.tensor(tuple(shape), draw.type(MOVED, OTHER))
    piece = (*shape[:place], *shape[place + 1 :])
    outs = [draw.tensor(piece, given.type, like=given) for _ in range(count)]
    return draw.case("UNPACK", [given], outs, "UnpackOptions", num=count, axis=axis)


def tile(draw: Draw) -> Case:
    given = moved(draw, 1, 4)
    times = [draw.pick((1, 1, 2, 3)) for _ in given.shape]
    made = tuple(size * more for size, more in zip(given.shape, times, strict=True))
    return draw.case("TILE", [given, draw.ints(times)], [draw.tensor(made, given.type, like=given)], "TileOptions")


def expand_dims(draw: Draw) -> Case:
    given = moved(draw, 1, 5)
    axis = draw.axis(len(given.shape) + 1)
    place = axis % (len(given.shape) + 1)
    made = (*given.shape[:place], 1, *given.shape[place:])
    inputs = [given, draw.ints(axis, draw.pick(((), (1,))))]
    return draw.case("EXPAND_DIMS", inputs, [draw.tensor(made, given.type, like=given)], "ExpandDimsOptions")


def squeeze(draw: Draw) -> Case:
    shape = [*draw.shape(1, 4)]
    place = draw.between(0, len(shape))
    shape.insert(place, 1)
    given = draw.tensor(tuple(shape), draw.type(MOVED, OTHER))
    axes = [place - len(shape) if draw.chance(0.2) else place]
    out = draw.tensor((*shape[:place], *shape[place + 1 :]), given.type, like=given)
    return draw.case("SQUEEZE", [given], [out], "SqueezeOptions", squeezeDims=axes)


def reverse_v2(draw: Draw) -> Case:
    given = moved(draw)
    axes = [draw.axis(len(given.shape))]
    out = draw.tensor(given.shape, given.type, like=given)
    return draw.case("REVERSE_V2", [given, draw.ints(axes)], [out], "ReverseV2Options")


def blocks(op: str, kind: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        block, (batch, height, width, depth) = draw.between(1, 3), draw.shape(4, 4)
        small = (batch, height, width, depth * block * block)
        large = (batch, height * block, width * block, depth)
        shapes = (small, large) if op == "DEPTH_TO_SPACE" else (large, small)
        given = draw.tensor(shapes[0], draw.type())
        return draw.case(op, [given], [draw.tensor(shapes[1], given.type, like=given)], kind, blockSize=block)

    return drawn


def batches(op: str, kind: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        block = (draw.between(1, 3), draw.between(1, 3))
        ends = [[draw.between(0, 1), draw.between(0, 1)] if draw.chance(0.3) else [0, 0] for _ in block]
        batch, height, width, depth = draw.shape(4, 4)
        whole = (batch, height * block[0] + 2, width * block[1] + 2, depth)
        if op == "SPACE_TO_BATCH_ND":
            padded = [(size + more - 1) // more * more for size, more in zip(whole[1:3], block, strict=True)]
            ends = [[0, new - old] for new, old in zip(padded, whole[1:3], strict=True)]
        else:
            padded = [height * block[0], width * block[1]]
            ends = [end if sum(end) < size else [0, 0] for end, size in zip(ends, padded, strict=True)]
            whole = (batch, *(size - sum(end) for size, end in zip(padded, ends, strict=True)), depth)
        split = (batch * block[0] * block[1], padded[0] // block[0], padded[1] // block[1], depth)
        shapes = (whole, split) if op == "SPACE_TO_BATCH_ND" else (split, whole)
        given = draw.tensor(shapes[0], draw.type())
        inputs = [given, draw.ints(block, long=0), draw.ints(ends, long=0)]
        return draw.case(op, inputs, [draw.tensor(shapes[1], given.type, like=given)], kind)

    return drawn


def resize(op: str, kind: str) -> Drawer:
    def drawn(draw: Draw) -> Case:
        shape = draw.shape(4, 4)
        height, width = shape[1:3]
        times = draw.pick((2, 2, 4, 8, 3))
        made = draw.pick(
            (
                (height * times, width * times),
                (height * times, width),
                (draw.size(), draw.size()),
                ((height - 1) * times + 1, (width - 1) * times + 1),
            )
        )
        given = draw.tensor(shape, draw.type())
        options = draw.pick(({}, {"alignCorners": True}, {"halfPixelCenters": True}))
        out = draw.tensor((shape[0], *made, shape[3]), given.type, like=given)
        return draw.case(op, [given, draw.ints(made, moving=0.03, long=0)], [out], kind, **options)

    return drawn


def broadcast_to(draw: Draw) -> Case:
    made = draw.shape()
    start = draw.between(0, len(made) - 1)
    shape = tuple(1 if draw.chance(0.4) else size for size in made[start:])
    given = draw.tensor(shape, draw.type((*REAL, "int32", "int64", "bool")))
    out = draw.tensor(made, given.type, like=given)
    return draw.case("BROADCAST_TO", [given, draw.ints(made)], [out], "BroadcastToOptions", version=2)


def broadcast_args(draw: Draw) -> Case:
    made = draw.shape(1, 5)
    type = draw.pick(("int32", "int32", "int64"))
    other = made[draw.between(0, len(made) - 1) :]
    inputs = [T((len(one),), type, None if draw.chance(0.2) else list(one), raw=True) for one in (made, other)]
    if draw.chance(0.1):
        inputs[1] = T(inputs[1].shape, "int64", inputs[1].values, raw=True)
    return draw.case("BROADCAST_ARGS", inputs, [T((len(made),), type, raw=True)])


def fill(draw: Draw) -> Case:
    made, type = draw.shape(1, 5), draw.type((*REAL, "int32", "int64", "bool"))
    value = draw.tensor((), type, values=1 if draw.chance(0.3) else None)
    inputs = [draw.ints(made), value]
    return draw.case("FILL", inputs, [draw.tensor(made, type, like=value)], "FillOptions")


def shape_of(draw: Draw) -> Case:
    given = moved(draw)
    type = draw.pick(("int32", "int32", "int64"))
    out = T((len(given.shape),), type, raw=True)
    return draw.case("SHAPE", [given], [out], "ShapeOptions", outType={"int32": 2, "int64": 4}[type])


def dynamic_update_slice(draw: Draw) -> Case:
    given = moved(draw, 1, 4)
    piece = tuple(draw.between(1, size) for size in given.shape)
    update = draw.tensor(piece, given.type, like=given)
    inputs = [given, update, draw.ints([0] * len(piece), moving=0.5)]
    out = draw.tensor(given.shape, given.type, like=given)
    return draw.case("DYNAMIC_UPDATE_SLICE", inputs, [out], "DynamicUpdateSliceOptions")


def embedding_lookup(draw: Draw) -> Case:
    table, count = draw.shape(1 if draw.chance(0.1) else 2, 4), draw.between(1, 5)
    type = draw.type(("float32", "int8"))
    values = draw.stored((max(2, table[0]), *table[1:]), type)
    made = type if type != "int8" or draw.chance(0.5) else "float32"
    moving = draw.chance(0.8)
    indices = T((count,), "int32", None if moving else draw.generator.integers(0, 2, (count,)), raw=True)
    out = draw.tensor((count, *table[1:]), made, like=values)
    return draw.case("EMBEDDING_LOOKUP", [indices, values], [out])


def one_hot(draw: Draw) -> Case:
    shape, depth = draw.shape(1, 3), draw.between(2, 8)
    type = draw.type(("float32", "int8", "int32"))
    inputs = [T(shape, "int32", raw=True), T((), "int32", depth, raw=True)]
    inputs += [draw.tensor((), type, values=1), draw.tensor((), type, values=0)]
    out = draw.tensor((*shape, depth), type)
    return draw.case("ONE_HOT", inputs, [out], "OneHotOptions", axis=-1)


def topk_v2(draw: Draw) -> Case:
    given = draw.tensor(draw.shape(), draw.type((*REAL, "int32")))
    count = draw.between(1, given.shape[-1])
    made = (*given.shape[:-1], count)
    outs = [draw.tensor(made, given.type, like=given), T(made, "int32", raw=True)]
    return draw.case("TOPK_V2", [given, T((), "int32", count, raw=True)], outs, "TopKV2Options")


SHAPES: dict[str, Drawer] = {
    "RESHAPE": reshape,
    "TRANSPOSE": transpose,
    "CONCATENATION": concatenation,
    "PAD": pad("PAD", "PadOptions"),
    "PADV2": pad("PADV2", "PadV2Options"),
    "MIRROR_PAD": pad("MIRROR_PAD", "MirrorPadOptions"),
    "STRIDED_SLICE": strided_slice,
    "SLICE": slice_,
    "GATHER": gather,
    "GATHER_ND": gather_nd,
    "SCATTER_ND": scatter_nd,
    "SPLIT": split,
    "SPLIT_V": split_v,
    "PACK": pack,
    "UNPACK": unpack,
    "TILE": tile,
    "EXPAND_DIMS": expand_dims,
    "SQUEEZE": squeeze,
    "REVERSE_V2": reverse_v2,
    "SPACE_TO_DEPTH": blocks("SPACE_TO_DEPTH", "SpaceToDepthOptions"),
    "DEPTH_TO_SPACE": blocks("DEPTH_TO_SPACE", "DepthToSpaceOptions"),
    "SPACE_TO_BATCH_ND": batches("SPACE_TO_BATCH_ND", "SpaceToBatchNDOptions"),
    "BATCH_TO_SPACE_ND": batches("BATCH_TO_SPACE_ND", "BatchToSpaceNDOptions"),
    "RESIZE_BILINEAR": resize("RESIZE_BILINEAR", "ResizeBilinearOptions"),
    "RESIZE_NEAREST_NEIGHBOR": resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "BROADCAST_TO": broadcast_to,
    "BROADCAST_ARGS": broadcast_args,
    "FILL": fill,
    "SHAPE": shape_of,
    "DYNAMIC_UPDATE_SLICE": dynamic_update_slice,
    "EMBEDDING_LOOKUP": embedding_lookup,
    "ONE_HOT": one_hot,
    "TOPK_V2": topk_v2,
}
