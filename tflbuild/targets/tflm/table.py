"""The operators that TensorFlow Lite Micro supports, and what their kernels require.

The table is based on runs of one-operator models with the package `tflite-micro`, whose resolver has all operators.
There is no other processor: a model with an unsupported operator does not run.
"""

from __future__ import annotations

from tflbuild.targets.common.rules import (
    OperatorSupport,
    SupportRule,
    SupportTable,
    activations,
    rank,
    row,
    rows,
    type_of,
)
from tflbuild.targets.tflm.rules import (
    ALL_ALIKE,
    ALL_GATES,
    BIAS,
    BIAS_SCALE,
    BYTE_SCALES,
    CASTABLE,
    FILLER,
    FLAT_SLOPES,
    FLOAT,
    FLOAT_FIX,
    FUSED_SCALED,
    GIVEN_SCALED,
    IMAGES,
    INPUTS_ALIKE,
    INT8_FIX,
    LOG_SOFTMAX_SCALES,
    LOGISTIC_SCALES,
    LOOKED_UP,
    MASK,
    NOTHING_FUSED,
    ONE_BY_ONE,
    ONE_INT4_SCALE,
    ONE_KIND,
    OUT_SCALED,
    PERMUTED,
    POSITIVE,
    QUANTIZING,
    REAL,
    REAL_32,
    SAME_GIVEN,
    SAME_INT8,
    SAME_SCALES,
    SAME_TYPES,
    SCALED,
    SEVERAL,
    SLOPES,
    SOFTMAX_SCALES,
    SOFTMAX_TYPES,
    SVDF_BIAS,
    SVDF_SCALE,
    SVDF_STATE,
    SVDF_TYPES,
    SYMMETRIC,
    TANH_SCALES,
    VALUES_ALIKE,
    WEIGHTS,
    data,
    data_rank,
    made,
    parameter,
    still,
)

UNTRIED = SupportRule("its kernel takes it: it was not tried", lambda view: None)
COMPARED = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
FLOAT_ONLY = (
    *("NEG", "EXP", "LOG", "SQRT", "SIN", "COS", "FLOOR", "CEIL", "ROUND", "SQUARE", "L2_POOL_2D"),
    *("FLOOR_DIV", "FLOOR_MOD"),
)
BLOCKS = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
REVERSIBLE = (*REAL_32, "int64", "uint8", "bool")
NEVER_TRIED = (
    *("SignalDelay", "SignalEnergy", "SignalFftAutoScale", "SignalFilterBank", "SignalFilterBankLog"),
    *("SignalFilterBankSpectralSubtraction", "SignalFilterBankSquareRoot", "SignalFramer", "SignalIrfft"),
    *("SignalOverlapAdd", "SignalPCAN", "SignalRfft", "SignalStacker", "SignalWindow"),
)
COMPARING = (BYTE_SCALES, INPUTS_ALIKE)
AXES = parameter(1, "the axis")


def _elements() -> dict[str, OperatorSupport]:
    """Element by element."""
    floats = activations(FLOAT, fix=FLOAT_FIX)
    return {
        **rows(FLOAT_ONLY, floats),
        **rows(("HARD_SWISH", "ELU"), activations(FLOAT, "int8", fix=INT8_FIX), SAME_TYPES, SCALED),
        **rows(("RELU", "RELU6", "LEAKY_RELU"), activations(*REAL, fix=INT8_FIX), SAME_TYPES),
        "ABS": row(activations(*REAL, fix=INT8_FIX), SAME_TYPES, SCALED, SYMMETRIC),
        "RSQRT": row(activations(*REAL, fix=INT8_FIX), SAME_TYPES, SCALED, SYMMETRIC, POSITIVE),
        "LOGISTIC": row(activations(*REAL, fix=INT8_FIX), SAME_TYPES, SCALED, SYMMETRIC, LOGISTIC_SCALES),
        "TANH": row(activations(*REAL, fix=INT8_FIX), SAME_TYPES, SYMMETRIC, TANH_SCALES),
        "SOFTMAX": row(SOFTMAX_TYPES, SCALED, SYMMETRIC, SOFTMAX_SCALES),
        "LOG_SOFTMAX": row(activations(FLOAT, "int8", fix=INT8_FIX), SCALED, LOG_SOFTMAX_SCALES),
        "L2_NORMALIZATION": row(activations(FLOAT, "int8", fix=INT8_FIX), data_rank(4)),
        **rows(("ADD", "SUB", "MUL"), activations(*REAL_32, fix=INT8_FIX), ALL_ALIKE, SCALED),
        "SQUARED_DIFFERENCE": row(activations(*REAL_32, fix=INT8_FIX), SYMMETRIC),
        **rows(("MAXIMUM", "MINIMUM"), activations(*REAL_32, "int64", fix=INT8_FIX)),
        "DIV": row(activations(FLOAT, "int8", "int32", fix=INT8_FIX), ALL_ALIKE, SCALED),
        **rows(COMPARED[:2], activations(FLOAT, "int8", "int32", "int64", "bool", fix=INT8_FIX), *COMPARING),
        **rows(COMPARED[2:], type_of(0, FLOAT, "int8", "int32", "int64", fix=INT8_FIX), *COMPARING),
        "GREATER": row(type_of(0, *REAL_32, "int64", fix=INT8_FIX), *COMPARING),
        **rows(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"), activations("bool")),
        "PRELU": row(data(*REAL), SLOPES, FLAT_SLOPES),
        "SELECT_V2": row(made(*REAL, fix=INT8_FIX), VALUES_ALIKE, MASK),
        "ADD_N": row(activations(FLOAT, "int8", fix=INT8_FIX), SEVERAL, SCALED, SAME_GIVEN),
        "ZEROS_LIKE": row(activations(FLOAT, "int8", "int32", "int64")),
        "QUANTIZE": row(QUANTIZING, OUT_SCALED),
        "DEQUANTIZE": row(type_of(0, "int8", "uint8", "int16")),
        "CAST": row(data(*CASTABLE, fix="use int32")),
    }


def _layers() -> dict[str, OperatorSupport]:
    """With weights, windows or sums."""
    return {
        "CONV_2D": row(data(*REAL), WEIGHTS, GIVEN_SCALED, FUSED_SCALED),
        "FULLY_CONNECTED": row(data(*REAL), WEIGHTS, ONE_INT4_SCALE, BIAS_SCALE, FUSED_SCALED),
        "DEPTHWISE_CONV_2D": row(data(*REAL), WEIGHTS, BIAS, GIVEN_SCALED, FUSED_SCALED),
        "TRANSPOSE_CONV": row(type_of(2, *REAL, fix=INT8_FIX), IMAGES, GIVEN_SCALED, FUSED_SCALED),
        "BATCH_MATMUL": row(activations(*REAL, fix=INT8_FIX), INPUTS_ALIKE, SCALED, SYMMETRIC),
        **rows(("AVERAGE_POOL_2D", "MAX_POOL_2D"), activations(*REAL, fix=INT8_FIX), SAME_SCALES),
        **rows(("MEAN", "SUM"), data(*REAL), AXES),
        **rows(("REDUCE_MAX", "REDUCE_MIN"), data(FLOAT, "int8"), AXES, SAME_SCALES),
        "REDUCE_ALL": row(data("bool", fix=""), AXES),
        **rows(("ARG_MAX", "ARG_MIN"), type_of(0, FLOAT, "int8", fix=INT8_FIX), AXES, made("int32")),
        "CUMSUM": row(data(FLOAT, "int8"), AXES, SCALED),
        **rows(("RESIZE_BILINEAR",), data(FLOAT, "int8"), still(1, "the size")),
        **rows(("RESIZE_NEAREST_NEIGHBOR",), data(*REAL), still(1, "the size")),
        "SVDF": row(SVDF_TYPES, SVDF_BIAS, SVDF_SCALE, SVDF_STATE),
        # floats with quantized weights run, and give what is not a number
        "UNIDIRECTIONAL_SEQUENCE_LSTM": row(WEIGHTS, ALL_GATES),
        "TFLite_Detection_PostProcess": row(activations(FLOAT, fix=FLOAT_FIX)),
    }


def _shapes() -> dict[str, OperatorSupport]:
    """What moves, cuts, joins and looks up."""
    any_32 = data(*REAL_32)
    slices = [rule for at in (1, 2, 3) for rule in (still(at, "what tells the slice"), parameter(at, "it"))]
    return {
        **rows(("MIRROR_PAD", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE"), data(FLOAT, "int8")),
        **rows(BLOCKS, data(FLOAT, "int8")),
        **rows(("RESHAPE", "SQUEEZE")),
        "TRANSPOSE": row(data(*REAL), data_rank(5), PERMUTED),
        "EXPAND_DIMS": row(data(*REAL), still(1, "the axis"), AXES),
        "CONCATENATION": row(activations(*REAL_32, "int64", "bool", fix=INT8_FIX), SAME_INT8, SYMMETRIC, NOTHING_FUSED),
        "STRIDED_SLICE": row(data(*REAL_32, "bool"), rank(4, place=0), *slices),
        "SLICE": row(data(*REAL_32, "bool"), data_rank(5), ONE_KIND),
        "PAD": row(any_32, still(1, "what it is padded by"), parameter(1, "that")),
        "PADV2": row(any_32, still(1, "what it is padded by"), parameter(1, "that"), FILLER),
        "SPLIT": row(made(*REAL_32), still(0, "the axis")),
        **rows(("SPLIT_V", "UNPACK"), any_32),
        "PACK": row(data(*REAL_32, "int64")),
        "GATHER": row(type_of(0, FLOAT, "int8", fix=INT8_FIX), parameter(1, "what is gathered")),
        "GATHER_ND": row(type_of(0, FLOAT, "int8", fix=INT8_FIX), parameter(1, "what is gathered")),
        "EMBEDDING_LOOKUP": row(LOOKED_UP),
        "REVERSE_V2": row(data(*REVERSIBLE, fix="")),
        "FILL": row(type_of(1, FLOAT, "int8", "int32"), still(0, "the size")),
        "SHAPE": row(made("int32")),
        "BROADCAST_TO": row(still(1, "the shape"), data_rank(5)),
        "BROADCAST_ARGS": row(ALL_ALIKE),
        "DYNAMIC_UPDATE_SLICE": row(data(*REAL_32)),
        "IF": row(type_of(0, "bool")),
        **rows(("WHILE", "CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")),
        "CIRCULAR_BUFFER": row(activations("int8", fix=INT8_FIX), ONE_BY_ONE),
    }


FIXES = {
    "RELU_N1_TO_1": "use ReLU or ReLU6",
    "RELU_0_TO_1": "use ReLU or ReLU6",
    "GELU": "use ReLU or HardSwish",
    "TILE": "repeat with a concatenation",
}
# one-operator models on which the table and the runtime disagree, and why; docs/ tells them, a test holds them
DISAGREEMENTS: dict[str, str] = {}

TABLE = SupportTable(
    name="tflm",
    title="TensorFlow Lite Micro",
    source="one-operator models run with the package tflite-micro",
    rows={**_elements(), **_layers(), **_shapes(), **rows(NEVER_TRIED, UNTRIED)},
    checked="one-operator models, those of tests/ and drawn ones, run by tflite-micro 0.dev20261023182759",
    fixes=FIXES,
    sheds=False,
    flatbuffer_alone=True,
)
