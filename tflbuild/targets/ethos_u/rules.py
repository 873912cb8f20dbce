"""Support rules of Arm's Ethos-U55, U65 and U85: common forms, and rules on shapes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tflbuild.targets.common.operator_shapes import (
    axes_of,
    four,
    padding_of,
    permutation_of,
    scale_factors,
    strides_of_slice,
)
from tflbuild.targets.common.rules import (
    OperatorView,
    SupportRule,
    constant,
    join_alternatives,
    option,
    same_types,
    type_of,
)
from tflbuild.targets.ethos_u.reader_rules import VELA, leading

INT8_FIX = "quantization=int8"
BYTES = ("int8", "uint8")
NARROW = (*BYTES, "int16")
WITH_32 = (*NARROW, "int32")
WITH_64 = (*WITH_32, "int64")
LOGIC = (*WITH_32, "bool")
MOVED = (*WITH_64, "bool")

MOST_REDUCED = {"int8": 1 << 24, "uint8": 1 << 23, "int16": 1 << 16}
MOST_AREA = 1 << 16
BINARY = (
    *("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"),
    *("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"),
)
NOT_CENTRED = ("AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "UNIDIRECTIONAL_SEQUENCE_LSTM")


def integers(*types: str, fatal: Sequence[str] = ()) -> tuple[SupportRule, ...]:
    """Return the rules that activations have one of these types. Vela fails on the types `fatal`."""
    supported = SupportRule(
        f"activations are {join_alternatives(types)}",
        lambda view: all(tensor.type in types for tensor in view.moving),
        INT8_FIX,
    )
    if not fatal:
        return (supported,)
    text = f"activations are not {join_alternatives(fatal)}, on which Vela {VELA} fails"

    def holds(view: OperatorView) -> bool:
        return not _no_scalars(view) or all(tensor.type not in fatal for tensor in view.moving)

    return (SupportRule(text, holds, fatal=True), supported)


def data(*types: str) -> SupportRule:
    """The first input and what is made are of these types; parameters beside them are not asked."""

    def holds(view: OperatorView) -> bool:
        given = view.input(0)
        return all(one.type in types for one in (given, *view.outputs) if one is not None)

    return SupportRule(f"input 0 and the output are {join_alternatives(types)}", holds, INT8_FIX)


def data_but(*types: str, fatal: Sequence[str]) -> tuple[SupportRule, ...]:
    """The same, and types that Vela fails on."""

    def holds(view: OperatorView) -> bool:
        given = view.input(0)
        types = [one.type for one in (given, *view.outputs) if one is not None]
        return not _no_scalars(view) or not any(type in fatal for type in types)

    text = f"input 0 and the output are not {join_alternatives(fatal)}, on which Vela {VELA} fails"
    return (SupportRule(text, holds, fatal=True), data(*types))


def _scaled(view: OperatorView) -> bool:
    stored = view.inputs[:2] if view.op.name in BINARY else ()
    return all(one.scales for one in (*view.moving, *stored) if one is not None and one.type in NARROW)


def _same_scales(view: OperatorView) -> bool:
    tensors = [one for one in (*view.inputs, *view.outputs) if one is not None]
    return len({(one.scales, one.zero_points) for one in tensors}) == 1


def _strides(view: OperatorView) -> bool | None:
    sides = [view.option("strideH"), view.option("strideW")]
    if None in sides:
        return None
    made = view.outputs[0].shape[1:3]  # along a side with one place there is no stride
    if all(stride <= 3 or size == 1 for stride, size in zip(sides, made, strict=True)):
        return True
    dilated = max(view.option("dilationHFactor") or 1, view.option("dilationWFactor") or 1) > 1
    padding = padding_of(view)
    return None if padding is None else not dilated and padding == (0, 0)


def _window(view: OperatorView) -> bool | None:
    """An average pool's: small where it reaches over the edge."""
    height, width = view.option("filterHeight"), view.option("filterWidth")
    if height is None or width is None:
        return None
    padding = padding_of(view)
    if padding is None:
        return None
    most_high, most_wide, most = (256, MOST_AREA, MOST_AREA) if padding == (0, 0) else (8, 8, 64)
    return bool(height <= most_high and width <= most_wide and height * width <= most)


def _transposed_strides(view: OperatorView) -> bool | None:
    down, across = view.option("strideH"), view.option("strideW")
    image, kernel = view.input(2), view.input(1)
    if image is None or kernel is None or down is None or across is None:
        return None
    flat = image.shape[1] == 1 and kernel.shape[1] == 1
    thin = image.shape[2] == 1 and kernel.shape[2] == 1
    return (
        (down, across) in ((1, 1), (2, 2)) or (flat and (down, across) == (1, 2)) or (thin and (down, across) == (2, 1))
    )


def _upscaled(view: OperatorView) -> bool | None:
    """A transposed convolution's output is as large as its stride says."""
    image, kernel = view.input(2), view.input(1)
    strides = (view.option("strideH"), view.option("strideW"))
    if image is None or kernel is None or None in strides:
        return None
    made = view.outputs[0].shape[1:3]
    grown = [side * stride for side, stride in zip(image.shape[1:3], strides, strict=True)]
    if view.option("padding") == 1:
        grown = [
            side + max(size - stride, 0) for side, size, stride in zip(grown, kernel.shape[1:3], strides, strict=True)
        ]
    return list(made) == grown


def _mean_batch(view: OperatorView) -> bool:
    tensor = view.input(0)
    return tensor is None or all(size == 1 for size in four(tensor.shape)[:-3])


def _mean_depth(view: OperatorView) -> bool | None:
    tensor, axes = view.input(0), axes_of(view)
    if tensor is None or axes is None:
        return None
    return len(tensor.shape) - 1 not in axes or 1 in four(tensor.shape)[1:]


def _mean_size(view: OperatorView) -> bool | None:
    tensor, axes = view.input(0), axes_of(view)
    if tensor is None or axes is None:
        return None
    sizes = [tensor.shape[axis] for axis in axes]
    count = 1
    for size in sizes:
        count *= size
    return max(sizes, default=1) <= 4096 and count <= MOST_REDUCED.get(tensor.type, 1 << 16)


def _area(view: OperatorView) -> bool:
    tensor = view.input(0)
    return tensor is None or four(tensor.shape)[1] * four(tensor.shape)[2] < MOST_AREA


def _last_axis(view: OperatorView) -> bool | None:
    tensor, axes = view.input(0), axes_of(view)
    return None if tensor is None or axes is None else set(axes) == {len(tensor.shape) - 1}


def _few_deep(view: OperatorView) -> bool:
    tensor = view.input(0)
    return tensor is None or tensor.shape[-1] <= 127


def _turned(view: OperatorView) -> bool | None:
    """32 bits: only neighbours among the last three axes change places."""
    tensor, order = view.input(0), permutation_of(view)
    if tensor is None or order is None:
        return None
    return tensor.type != "int32" or order in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2))


def _sliced(view: OperatorView) -> bool | None:
    strides = strides_of_slice(view)
    return None if strides is None else min(strides) > 0 and strides[0] == strides[-1] == 1


def _gathered(view: OperatorView) -> bool | None:
    axis, given = view.option("axis"), view.input(0)
    if axis is None or given is None:
        return None
    return bool(axis % max(1, len(given.shape)) == (view.option("batchDims") or 0))


def _resized_small(view: OperatorView) -> bool | None:
    """The U55's and U65's: by 2, 4 or 8, both ways alike."""
    factors = scale_factors(view)
    if factors is None or isinstance(factors, str):
        return None if factors is None else True
    down, across = factors
    halves = view.op.name == "RESIZE_BILINEAR" and view.option("halfPixelCenters")
    if down != across:
        made = view.outputs[0].shape
        flat = (made[1] == 1 and down == 1) or (made[2] == 1 and across == 1)
        return bool(flat and not halves and max(down, across) in (2, 4, 8))
    return down == 2 if halves else down in (2, 4, 8)


def _resized_one(view: OperatorView) -> bool:
    """What grows from more than a pixel has a batch of 1."""
    return isinstance(scale_factors(view), str) or leading(view) <= 1


def _plain_int32(view: OperatorView) -> bool:
    return not view.op.activation or view.outputs[0].type != "int32"


def _clamped_int32(view: OperatorView) -> bool:
    """Fused into 32 bits are clamps, where nothing is spread over several images."""
    out, a, b = view.outputs[0], view.input(0), view.input(1)
    if out.type not in ("int32", "int64") or not view.op.activation:
        return True
    if view.op.activation == "TANH" or view.op.name == "CONCATENATION" or a is None or b is None:
        return False
    return a.shape == b.shape or 1 in (a.elements, b.elements) or prod(out.shape[:-3]) <= 1


def _no_scalars(view: OperatorView) -> bool:
    return all(one.shape or one.type == "resource" for one in view.moving)  # what a variable is held by has none


def _centred(view: OperatorView) -> bool:
    if view.op.name in NOT_CENTRED or (view.op.name == "DIV" and not view.op.activation):
        return True
    made = view.outputs if view.op.activation else ()
    there = (one for one in (*view.inputs, *made) if one is not None)
    return not any(any(one.zero_points) for one in there if one.type in ("int16", "int32"))


def _narrow_axis(view: OperatorView) -> bool:
    given = view.input(1)
    return given is None or given.type != "int64"


def _tiled(view: OperatorView) -> bool:
    times = view.input(1)
    return times is None or times.constant


def _resized_large(view: OperatorView) -> bool | None:
    """The U85's bilinear: each way by a power of two."""
    factors = scale_factors(view)
    if factors is None or isinstance(factors, str):
        return None if factors is None else True
    most = 2048 if view.option("alignCorners") else 1024
    return all(one.denominator == 1 and one <= most and one.numerator & (one.numerator - 1) == 0 for one in factors)


def _slopes_fit(view: OperatorView) -> bool | None:
    """Vela multiplies by them in the activations' type."""
    image, slopes = view.input(0), view.input(1)
    if image is None or slopes is None or image.type != "int16" or slopes.type == "int16":
        return True
    return None if slopes.elements == 1 else False


def _still_or_bytes(view: OperatorView) -> bool:
    kernel, image = view.input(1), view.input(0)
    return kernel is None or kernel.constant or (image is not None and image.type in BYTES)


def _never(view: OperatorView) -> bool | None:
    return None


def _whole_lstm(view: OperatorView) -> bool:
    """No gate is left out, no peepholes, no projection, no normalization."""
    absent = {place for place in range(24) if view.input(place) is None}
    return 1 not in absent and absent >= {9, 10, 11, 16, 17, 20, 21, 22, 23}


SAME_TYPES = SupportRule("the output is of the input's type", same_types)
PLAIN_INT32 = SupportRule("nothing is fused where INT32 is made", _plain_int32)
CLAMPED_INT32 = SupportRule(
    f"where 32 bits are made, only clamps are fused, and nothing is broadcast over a batch: Vela {VELA} fails else",
    _clamped_int32,
    fatal=True,
)
SAME_CURVE = SupportRule(f"the output is of the input's type: Vela {VELA} fails else", same_types, fatal=True)
NO_SCALARS = SupportRule("no tensor that is computed is without dimensions", _no_scalars, "give it a shape of [1]")
CENTRED = SupportRule("zero points of INT16 and INT32 inputs are 0", _centred)
NARROW_AXIS = SupportRule("the axis is int32", _narrow_axis)
TILED = SupportRule(f"what tells how often is constant: Vela {VELA} fails else", _tiled, fatal=True)
RESIZED_ONE = SupportRule(f"the batch is 1 where it grows: Vela {VELA} fails else", _resized_one, fatal=True)
CENTRED_16 = SupportRule(f"an INT16 input's zero point is 0: Vela {VELA} fails else", _centred, fatal=True)
FREE = SupportRule(
    "only the first size is free",
    lambda view: all(-1 not in one.shape[1:] for one in view.moving),
    "declare every size: signature=static",
)
NO_BOOL = SupportRule(
    f"no tensor is BOOL, on which Vela {VELA} fails",
    lambda view: all(one.type != "bool" for one in view.moving),
    "an Ethos-U85 takes it",
    fatal=True,
)
NO_INT4 = SupportRule(
    f"nothing is INT4, on which Vela {VELA} crashes",
    lambda view: all(one is None or one.type != "int4" for one in view.inputs),
    INT8_FIX,
    fatal=True,
)
LSTM_TYPES = SupportRule(
    f"input 0 is int8 or int16: Vela {VELA} does not read a model where it is not",
    lambda view: (tensor := view.input(0)) is None or tensor.type in ("int8", "int16"),
    INT8_FIX,
    fatal=True,
)
SCALED = SupportRule("8-bit and 16-bit activations have scales", _scaled)
SAME_SCALES = SupportRule("inputs and output have the same scale and zero point", _same_scales)
STILL = SupportRule(
    f"weights are constant: Vela {VELA} fails else",
    lambda view: (kernel := view.input(1)) is None or kernel.constant or kernel.type not in BYTES,
    fatal=True,
)
WEIGHTS = type_of(1, *BYTES, fix=INT8_FIX)
BIAS = (constant(2, "bias"), type_of(2, "int32", "int64"))
STRIDES = SupportRule("strides are at most 3, or nothing is dilated or padded", _strides)
STRIDE_3 = (option("strideH", "vertical stride", 1, 3), option("strideW", "horizontal stride", 1, 3))
WINDOW = SupportRule("the window is at most 8x8 where it is padded, and at most 256 high", _window)
HEIGHT = option("filterHeight", "the window's height", 1, 256)
UPSCALED = SupportRule("the output is the input times the stride", _upscaled)
AXES = constant(1, "what tells the axes or sizes")
MEANS = (
    AXES,
    SupportRule("the batch is 1", _mean_batch),
    SupportRule("channels are averaged only where the height, the width or their number is 1", _mean_depth),
    SupportRule(
        "an axis of at most 4096 is reduced, and at most 2^24 elements (INT8), 2^23 (UINT8), 2^16 (INT16)", _mean_size
    ),
)
SLICES = (
    *(constant(place, "what tells the slice") for place in (1, 2, 3)),
    SupportRule("strides are positive, and 1 for batch and channels", _sliced),
)
UNTRIED = SupportRule("its variable is of integers", _never)
WHOLE_LSTM = SupportRule("it has all four gates, no peepholes, projection or normalization", _whole_lstm)
TURNED = SupportRule("32 bits are only turned so that neighbours change places", _turned)
READABLE = SupportRule(
    f"input 0 is {join_alternatives(BYTES)}: Vela {VELA} does not read a model where it is not",
    lambda view: (tensor := view.input(0)) is None or tensor.type in BYTES,
    INT8_FIX,
    fatal=True,
)
NARROW_SOURCE = SupportRule(
    f"input 0 is not INT32, on which Vela {VELA} fails",
    lambda view: (tensor := view.input(0)) is None or tensor.type not in ("int32", "int64"),
    fatal=True,
)
SLOPES = SupportRule(
    f"slopes of INT16 activations are INT16 (one alone may do): Vela {VELA} fails else", _slopes_fit, fatal=True
)
STILL_OR_BYTES = SupportRule("weights are constant, or activations 8-bit", _still_or_bytes, INT8_FIX)
TWO_STRIDES = SupportRule("strides are 1x1 or 2x2", _transposed_strides)
AREA = SupportRule("height times width is less than 65536", _area)
RESIZED = SupportRule("it grows by 2, 4 or 8 (half pixels, bilinear: by 2), both ways alike", _resized_small)
RESIZED_WIDE = SupportRule("each side grows by a power of two", _resized_large)
LAST_AXIS = SupportRule("it is along the last axis", _last_axis)
FEW_DEEP = SupportRule("that axis has at most 127 elements", _few_deep)
GATHERED = SupportRule("the axis is the number of batch dimensions", _gathered)
