"""The operators that TensorFlow Lite's NNAPI delegate passes to Android's Neural Networks API, by feature level.

Levels are those of NNAPI: 1.0 (Android 8.1, API 27), 1.1 (9, 28), 1.2 (10, 29), 1.3 (11, 30). The delegate checks each
operator. The driver of a device may support fewer, and its operators are not published.
"""

from __future__ import annotations

from tflbuild.targets.common.common_rules import (
    EIGHT_BIT_FIX,
    FLOAT,
    QUANT8,
    axes_of,
    equals,
    made,
    op_version,
    output_type,
    same_quantization,
    until,
)
from tflbuild.targets.common.rules import (
    OperatorSupport,
    OperatorView,
    SupportRule,
    SupportTable,
    activations,
    constant,
    fused,
    rank,
    row,
    rows,
    type_of,
)

LIKE_CPU = (*FLOAT, *QUANT8)
NEEDS_12, NEEDS_13 = "Android 10 or later (NNAPI 1.2)", "Android 11 or later (NNAPI 1.3)"
OVERFLOW = 256  # elements of a window, above which the reference driver's sums overflow


def _first(*types: str, fix: str = "") -> SupportRule:
    return type_of(0, *types, fix=fix)


def _hybrid(view: OperatorView) -> bool:
    """Float activations and integer weights."""
    given, kernel = view.input(0), view.input(1)
    return given is not None and kernel is not None and given.type == "float32" and kernel.type in QUANT8


def _float_first(view: OperatorView) -> bool:
    given = view.input(0)
    return given is not None and given.type == "float32"


def _restricted_scales(view: OperatorView) -> bool | None:
    given, kernel = view.input(0), view.input(1)
    if given is None or kernel is None or given.type != "uint8":
        return True
    if not (given.scales and kernel.scales and view.outputs[0].scales):
        return None
    return given.scales[0] * kernel.scales[0] < view.outputs[0].scales[0]


def _per_tensor(view: OperatorView) -> bool:
    kernel = view.input(1)
    return kernel is None or len(kernel.scales) <= 1


def _undilated(view: OperatorView) -> bool:
    return view.option("dilationWFactor") in (None, 1) and view.option("dilationHFactor") in (None, 1)


def _window(view: OperatorView) -> bool | None:
    given, across, down = view.input(0), view.option("filterWidth"), view.option("filterHeight")
    if given is None or given.type not in QUANT8:
        return True
    return None if across is None or down is None else across * down <= OVERFLOW


def _int32_has_no_activation(view: OperatorView) -> bool:
    given = view.input(0)
    return given is None or given.type != "int32" or view.op.activation == ""


def _same_in_and_out(view: OperatorView) -> bool:
    given = view.input(0)
    return given is None or same_quantization(given, view.outputs[0])


def _not_scalar(view: OperatorView) -> bool:
    return len(view.outputs[0].shape) > 0


def _symmetric_int8(view: OperatorView) -> bool:
    given = view.input(0)
    return given is None or given.type != "int8" or not any(given.zero_points)


def _dequantizes_constant(view: OperatorView) -> bool:
    given = view.input(0)
    return given is None or given.type != "float16" or not given.constant


def _square(view: OperatorView) -> bool:
    shape = view.outputs[0].shape
    return len(shape) != 4 or shape[1] == shape[2]


def _pack_axis(view: OperatorView) -> bool | None:
    axis, given = view.option("axis"), view.input(0)
    return None if axis is None or given is None else axis not in (-1, len(given.shape))


def _crops(view: OperatorView) -> bool | None:
    crops = view.input(2)
    if crops is None or not crops.constant or len(crops.values) != crops.elements:
        return None
    return crops.elements == 4 and not any(crops.values)


def _scalars_constant(view: OperatorView) -> bool:
    return all(one is None or one.shape or one.constant for one in view.inputs[:2])


def _same_shapes(view: OperatorView) -> bool:
    condition, value = view.input(0), view.input(1)
    return condition is None or value is None or condition.shape == value.shape


def _axis_known(view: OperatorView) -> bool:
    axis = view.input(1)
    return axis is None or axis.type == "int32" or (axis.type == "int64" and axes_of(view, 1, 0) is not None)


_FLOAT = _first(*FLOAT, fix="quantization=none or float16")
_ANY8 = _first(*LIKE_CPU, fix=EIGHT_BIT_FIX)
_WITH_INT32 = _first(*LIKE_CPU, "int32")
_UINT8_BEFORE_12 = until("1.2", _first("float32", "uint8", fix=NEEDS_12))
_NO_HYBRID_BEFORE_12 = made(
    "weights are of the activations' kind", lambda view: not _hybrid(view), NEEDS_12, until="1.2"
)
_SCALES_BEFORE_12 = made(
    "input scale x kernel scale is below the output scale", _restricted_scales, NEEDS_12, until="1.2"
)
_NO_DILATION_BEFORE_12 = made("dilation is 1", _undilated, NEEDS_12, until="1.2")
_FIVE_INPUTS = made("it has 5 inputs", lambda view: len(view.op.inputs) == 5)
_NO_HYBRID = made(
    "weights are of the activations' kind",
    lambda view: not any(_float_first(view) and one.type in QUANT8 for one in view.inputs if one is not None),
)
_NOT_SCALAR = made("output is no scalar", _not_scalar, "keep_dims=True")
_INT32_BARE = made("an int32 operator has no fused activation", _int32_has_no_activation)
_SAME_SCALES = made("input and output have the same scale and zero point", _same_in_and_out)
_CORNERS = (
    made("corners are not aligned", equals("alignCorners", "", False).holds, NEEDS_13, until="1.3"),
    made("pixel centers are not half", equals("halfPixelCenters", "", False).holds, NEEDS_13, until="1.3"),
)
_SCALARS = made("a scalar is constant", _scalars_constant)


def _arithmetic(most: int) -> OperatorSupport:
    return row(op_version(most), until("1.3", _ANY8), _WITH_INT32, _INT32_BARE)


ROWS: dict[str, OperatorSupport] = {
    "ADD": _arithmetic(2),
    "MUL": _arithmetic(2),
    "SUB": row(
        op_version(3),
        until("1.2", _first(*FLOAT, fix=NEEDS_12)),
        until("1.3", _ANY8),
        _WITH_INT32,
        _INT32_BARE,
        rank(4, place=0),
        rank(4, place=1),
        since="1.1",
    ),
    "DIV": row(op_version(1), _FLOAT, since="1.1"),
    "AVERAGE_POOL_2D": row(
        op_version(2), _ANY8, made(f"a quantized window has at most {OVERFLOW} elements", _window, "MEAN")
    ),
    "MAX_POOL_2D": row(op_version(2), _ANY8),
    "L2_POOL_2D": row(op_version(1), _FLOAT, until("1.2", fused(fix=NEEDS_12))),
    "CONV_2D": row(
        op_version(3),
        _NO_HYBRID_BEFORE_12,
        _UINT8_BEFORE_12,
        made("the kernel has one scale", _per_tensor, f"{NEEDS_12}, or granularity=per_tensor", until="1.2"),
        _SCALES_BEFORE_12,
        made("there is a bias", lambda view: len(view.op.inputs) == 3),
        _NO_DILATION_BEFORE_12,
    ),
    "DEPTHWISE_CONV_2D": row(op_version(3), _UINT8_BEFORE_12, _SCALES_BEFORE_12, _NO_DILATION_BEFORE_12),
    "FULLY_CONNECTED": row(
        op_version(5),
        made("output is not int16", lambda view: view.outputs[0].type != "int16", EIGHT_BIT_FIX),
        _NO_HYBRID_BEFORE_12,
        _UINT8_BEFORE_12,
        _SCALES_BEFORE_12,
        made("dimensions are not kept", equals("keepNumDims", "", False).holds, NEEDS_13, until="1.3"),
    ),
    "HARD_SWISH": row(_ANY8),
    "SOFTMAX": row(
        op_version(2),
        _ANY8,
        output_type(*LIKE_CPU),
        rank(4, place=0),
        made("input has 2 or 4 dimensions", lambda view: len(view.outputs[0].shape) in (2, 4), NEEDS_12, until="1.2"),
    ),
    "RESHAPE": row(op_version(1), _ANY8, constant(1, "shape")),
    "RESIZE_BILINEAR": row(
        op_version(3),
        rank(4, 4, place=0),
        _ANY8,
        constant(1, "size"),
        made("output is square", _square, NEEDS_12, until="1.2"),
        *_CORNERS,
        until("1.2", _first(*FLOAT, fix=NEEDS_12)),
    ),
    "RESIZE_NEAREST_NEIGHBOR": row(op_version(3), _ANY8, constant(1, "size"), *_CORNERS, since="1.2"),
    "SQUEEZE": row(
        op_version(1),
        made("the dimensions are named", lambda view: bool(view.option("squeezeDims")), NEEDS_12, until="1.2"),
        since="1.1",
    ),
    "L2_NORMALIZATION": row(
        op_version(2),
        until("1.2", _first(*FLOAT, fix=NEEDS_12)),
        until("1.2", rank(4, 4, place=0, fix=NEEDS_12)),
        fused(),
    ),
    "LOCAL_RESPONSE_NORMALIZATION": row(op_version(1)),
    "CONCATENATION": row(op_version(2), fused(), rank(4, place=0), _first("float16", *LIKE_CPU)),
    "DEQUANTIZE": row(
        op_version(2),
        until("1.2", _first("uint8", fix=NEEDS_12)),
        _first("uint8", "int8", "float16"),
        until("1.3", _first("uint8", "int8", fix=NEEDS_13)),
        made("an int8 input has the zero point 0", _symmetric_int8, NEEDS_13, until="1.3"),
        made("a float16 input is not constant", _dequantizes_constant),
    ),
    "FLOOR": row(op_version(1), _FLOAT),
    "TANH": row(op_version(2), until("1.2", _first(*FLOAT, fix=NEEDS_12)), _ANY8),
    "SPACE_TO_BATCH_ND": row(op_version(2), since="1.1"),
    "BATCH_TO_SPACE_ND": row(op_version(2), made("crops are 0", _crops), since="1.1"),
    "STRIDED_SLICE": row(op_version(2), since="1.1"),
    "TRANSPOSE": row(op_version(2), constant(1, "permutation"), since="1.1"),
    "TRANSPOSE_CONV": row(op_version(3), constant(0, "output shape"), constant(1, "the kernel"), since="1.2"),
    "SLICE": row(op_version(2), _WITH_INT32, type_of(1, "int32"), type_of(2, "int32"), since="1.2"),
    "SPACE_TO_DEPTH": row(op_version(2), _ANY8),
    "DEPTH_TO_SPACE": row(_ANY8),
    "MEAN": row(
        op_version(2), until("1.2", _first(*FLOAT, fix=NEEDS_12)), _ANY8, _NOT_SCALAR, _SAME_SCALES, since="1.1"
    ),
    "EMBEDDING_LOOKUP": row(op_version(1), type_of(1, "float32")),
    "HASHTABLE_LOOKUP": row(op_version(1), output_type("float32")),
    "CAST": row(
        op_version(1),
        _first(*LIKE_CPU, "int32"),
        output_type(*LIKE_CPU, "int32"),
        until("1.3", _first("float32", "int32", "uint8", fix=NEEDS_13)),
        until("1.3", output_type("float32", "int32", "uint8", fix=NEEDS_13)),
        since="1.2",
    ),
    "TILE": row(op_version(1), _WITH_INT32, type_of(1, "int32"), since="1.2"),
    "NEG": row(op_version(2), _first("float32", "int32"), since="1.1"),
    "TOPK_V2": row(op_version(2), _WITH_INT32, constant(1, "k"), type_of(1, "int32"), since="1.2"),
    "SELECT": row(
        op_version(2),
        type_of(1, *LIKE_CPU, "int32"),
        made("condition and values have one shape", _same_shapes),
        since="1.1",
    ),
    "GATHER": row(
        op_version(2),
        _first("float16", *LIKE_CPU, "int32"),
        type_of(1, "int32"),
        rank(8, 1, place=1),
        since="1.2",
    ),
    "EXPAND_DIMS": row(
        op_version(1), _first("float16", *LIKE_CPU, "int32"), type_of(1, "int32"), constant(1, "axis"), since="1.2"
    ),
    "SPLIT": row(
        op_version(3),
        type_of(1, *LIKE_CPU, "int32"),
        until("1.3", type_of(1, "float32", "uint8", "int32", fix=NEEDS_13)),
        type_of(0, "int32"),
        constant(0, "axis"),
        since="1.2",
    ),
    "LOG_SOFTMAX": row(op_version(1), _FLOAT, since="1.2"),
    "QUANTIZE": row(
        op_version(2),
        _first(*LIKE_CPU),
        output_type(*QUANT8),
        until("1.3", output_type("uint8", fix=NEEDS_13)),
        since="1.2",
    ),
    "REDUCE_ANY": row(op_version(2), _NOT_SCALAR, since="1.2"),
    "ELU": row(op_version(1), _FLOAT, since="1.3"),
    "FILL": row(op_version(1), constant(0, "dimensions"), type_of(1, "float32", "int32", "int64"), since="1.3"),
    "PACK": row(
        op_version(2),
        _first("float32", "int32", "int8"),
        made("the axis is not the last", _pack_axis),
        since="1.3",
    ),
    **rows(("RELU", "RELU_N1_TO_1", "RELU6", "LOGISTIC"), op_version(2), _ANY8),
    **rows(("MAXIMUM", "MINIMUM"), op_version(3), _WITH_INT32, _SCALARS, since="1.2"),
    **rows(("ABS", "EXP", "LOG", "RSQRT", "POW", "SIN", "SQRT"), op_version(1), _FLOAT, since="1.2"),
    **rows(("LEAKY_RELU", "PRELU"), op_version(1), _ANY8, since="1.2"),
    **rows(("LOGICAL_OR", "LOGICAL_AND", "LOGICAL_NOT"), op_version(1), _first("bool"), since="1.2"),
    **rows(
        ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL"),
        op_version(2),
        _first(*LIKE_CPU, "bool", "int32"),
        since="1.1",
    ),
    **rows(
        ("ARG_MAX", "ARG_MIN"),
        op_version(2),
        _first("float16", *LIKE_CPU, "int32"),
        made("the axis is int32, or an int64 that is constant", _axis_known),
        equals("outputType", "output is int32", 2),
        since="1.2",
    ),
    **rows(("REDUCE_PROD", "SUM"), op_version(1), _FLOAT, _NOT_SCALAR, since="1.2"),
    **rows(("REDUCE_MIN", "REDUCE_MAX"), op_version(2), _ANY8, rank(8, 1, place=0), since="1.2"),
    "PAD": row(op_version(2), _ANY8, until("1.2", _first(*FLOAT, fix=NEEDS_12)), since="1.1"),
    "PADV2": row(op_version(2), _ANY8, since="1.2"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": row(
        op_version(2),
        _NO_HYBRID,
        made("it has 20 or 24 inputs", lambda view: len(view.op.inputs) in (20, 24)),
        since="1.2",
    ),
    **rows(("BIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"), op_version(1), _NO_HYBRID, since="1.2"),
    "LSTM": row(
        op_version(3),
        made("its kernel is one of those that the delegate maps, which this table does not hold", lambda view: None),
        since="1.1",
    ),
    "RNN": row(op_version(1), _FIVE_INPUTS, type_of(1, "float32")),
    "SVDF": row(op_version(1), _FIVE_INPUTS, type_of(1, "float32"), since="1.1"),
}

TABLE = SupportTable(
    name="nnapi",
    title="NNAPI",
    source="TensorFlow, tensorflow/lite/delegates/nnapi/nnapi_delegate.cc, NNAPIDelegateKernel::Validate",
    rows=ROWS,
    everywhere=(activations("float32", "float16", "int8", "uint8", "int32", "bool", fix=EIGHT_BIT_FIX),),
    version="1.3",
    fixes={
        "GELU": "relu or HARD_SWISH",
        "PACK": "RESHAPE and CONCATENATION",
        "BATCH_MATMUL": "FULLY_CONNECTED, where one side is constant",
    },
    most=3,
    float16_weights=True,
    notes=(
        "Android 15 deprecated NNAPI: LiteRT's NPU and GPU accelerators are meant to take its place",
        "a device's own driver may take less than the delegate hands over; what it takes is known on the device alone",
        "the delegate keeps the 3 largest partitions unless max_number_delegated_partitions says otherwise",
    ),
)
