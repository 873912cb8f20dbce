"""The operators that TensorFlow Lite's Hexagon delegate supports, on Qualcomm SoCs up to about Snapdragon 865."""

from __future__ import annotations

from collections.abc import Sequence

from tflbuild.targets.common.common_rules import EIGHT_BIT_FIX, QUANT8, equals, made, op_version
from tflbuild.targets.common.rules import (
    OperatorSupport,
    OperatorView,
    SupportRule,
    SupportTable,
    constant,
    fused,
    option,
    rank,
    row,
    rows,
    type_of,
)

RELUS = ("RELU", "RELU6", "RELU_N1_TO_1")
RESIZE_MOST = 65
STRIDE_MOST = 3


def _eight(place: int = 0) -> SupportRule:
    return type_of(place, *QUANT8, fix=EIGHT_BIT_FIX)


def _undilated(view: OperatorView) -> bool | None:
    across, down = view.option("dilationWFactor"), view.option("dilationHFactor")
    return None if across is None or down is None else across == down == 1


def _dilated_at_stride_1(view: OperatorView) -> bool | None:
    free = _undilated(view)
    return free if free is None or free else view.option("strideW") == view.option("strideH") == 1


def _multiplier(view: OperatorView) -> bool | None:
    given, multiplier = view.input(0), view.option("depthMultiplier")
    if given is None or multiplier is None:
        return None
    one_channel = len(given.shape) == 4 and given.shape[3] == 1
    return multiplier == 1 or (_undilated(view) is True and one_channel)


def _resize(view: OperatorView) -> bool | None:
    size = view.input(1)
    if size is None or len(size.values) != size.elements:
        return None
    return size.elements == 2 and all(side <= RESIZE_MOST for side in size.values)


def _all_eight(view: OperatorView) -> bool:
    return all(one is None or one.type in QUANT8 for one in view.inputs)


_STRIDES = (
    option("strideW", "stride across", 1, STRIDE_MOST),
    option("strideH", "stride down", 1, STRIDE_MOST),
)
_RELUS = fused(*RELUS)
_BARE = fused(fix="make the activation an operator of its own")
_ALL_EIGHT = made("inputs are int8 or uint8", _all_eight, EIGHT_BIT_FIX)
_INT32_BIAS = (type_of(2, "int32"),)


def _plain(names: Sequence[str], version: int = 1) -> dict[str, OperatorSupport]:
    return rows(names, op_version(version), _eight())


ROWS: dict[str, OperatorSupport] = {
    **rows(("ADD", "MUL", "SUB"), op_version(2), _eight(), _eight(1), _RELUS),
    **rows(("MAXIMUM", "MINIMUM"), op_version(2), _eight(), _eight(1)),
    **_plain(("HARD_SWISH", "NEG", "DEPTH_TO_SPACE")),
    **_plain(("LOGISTIC", "TANH", "RELU6", "SOFTMAX", "SPACE_TO_DEPTH", "QUANTIZE"), 2),
    "RELU": row(made("the operator's version is 2", lambda view: view.op.version == 2), _eight()),
    "MEAN": row(op_version(2), _eight(), type_of(1, "int32"), constant(1, "axis")),
    "MIRROR_PAD": row(
        op_version(2), _eight(), type_of(1, "int32"), constant(1, "padding"), equals("mode", "mode is known", 0, 1)
    ),
    "PAD": row(op_version(2), _eight(), type_of(1, "int32"), constant(1, "padding")),
    "FULLY_CONNECTED": row(
        op_version(4),
        _eight(),
        _eight(1),
        *_INT32_BIAS,
        constant(2, "the bias"),
        _RELUS,
        equals("keepNumDims", "dimensions are not kept", False),
        equals("weightsFormat", "weights are of the default format", 0),
    ),
    "CONCATENATION": row(op_version(2), _ALL_EIGHT),
    "PACK": row(op_version(2), _ALL_EIGHT),
    **rows(("MAX_POOL_2D", "AVERAGE_POOL_2D"), op_version(2), _eight(), _BARE),
    "TRANSPOSE_CONV": row(
        op_version(2),
        made("it has 3 inputs: no bias", lambda view: len(view.inputs) == 3, "add the bias after it"),
        type_of(0, "int32"),
        _eight(1),
        _eight(2),
        *_STRIDES,
    ),
    "CONV_2D": row(
        op_version(3), _eight(), _eight(1), *_INT32_BIAS, _RELUS, *_STRIDES, made("dilation is 1", _undilated)
    ),
    "DEPTHWISE_CONV_2D": row(
        op_version(3),
        _eight(),
        _eight(1),
        *_INT32_BIAS,
        _RELUS,
        *_STRIDES,
        made("dilation is 1 where a stride is not", _dilated_at_stride_1),
        made("depth multiplier is 1, or the input has one channel and no dilation", _multiplier),
    ),
    "RESHAPE": row(op_version(1), _eight()),
    "RESIZE_NEAREST_NEIGHBOR": row(op_version(2), _eight(), type_of(1, "int32"), constant(1, "size")),
    "RESIZE_BILINEAR": row(
        op_version(2),
        _eight(),
        type_of(1, "int32"),
        constant(1, "size"),
        made(f"size is at most {RESIZE_MOST} each way", _resize, "resize outside the model"),
    ),
    "L2_NORMALIZATION": row(op_version(2), _eight(), _BARE),
    **rows(("ARG_MAX", "ARG_MIN", "TRANSPOSE"), op_version(2), _eight(), type_of(1, "int32")),
    "SPLIT": row(op_version(2), type_of(0, "int32"), _eight(1), constant(0, "axis")),
    "SLICE": row(
        op_version(2),
        _eight(),
        type_of(1, "int32", "int64"),
        type_of(2, "int32", "int64"),
        constant(1, "begin"),
        constant(2, "size"),
    ),
    "STRIDED_SLICE": row(
        op_version(2),
        _eight(),
        *(type_of(place, "int32") for place in (1, 2, 3)),
        *(constant(place, what) for place, what in ((1, "begin"), (2, "end"), (3, "strides"))),
        equals("ellipsisMask", "ellipsis mask is 0", 0),
        equals("newAxisMask", "new-axis mask is 0", 0),
    ),
}

TABLE = SupportTable(
    name="hexagon",
    title="Hexagon delegate",
    source="TensorFlow, tensorflow/lite/delegates/hexagon: README.md, utils.cc (IsNodeSupportedByHexagon)",
    rows=ROWS,
    everywhere=(rank(4),),
    fewest=2,
    most=4,
    fixes={"PRELU": "relu or relu6", "LEAKY_RELU": "relu or relu6", "SUM": "MEAN"},
    notes=(
        "for DSPs as old as Hexagon 680 (Snapdragon 820) and as new as 690 and 698 (855, 865): the vector unit of the"
        " Snapdragon 888 and of later ones is another, which the delegate does not know",
        "Qualcomm's library for it, hexagon_nn_skel, was last released as 1.20.0.1; newer SoCs: target=npu_qualcomm",
        "the delegate takes the 4 largest partitions unless max_delegated_partitions says otherwise",
    ),
)
