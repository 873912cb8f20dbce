"""Which version of a builtin operator a model needs, and which TFLite runtime first has it.

The facts are those of TensorFlow's `op_version.cc` and `runtime_version.cc` (both in
compiler/mlir/lite/tools/versioning), as of November 2026. What is not listed is unknown, never assumed
to be old. A file states a version for each operator, and the state is not always true: the LiteRT
quantizer leaves those of the float model, whose kernels know no integers.
"""

from __future__ import annotations

from collections.abc import Iterable

# Operator -> first runtime of its version 1, 2, 3, ...; "-" where that version is not listed.
FIRST = {
    "ABS": "1.13 2.4 2.5 2.6 2.12",
    "ADD": "1.5 1.14 2.4 2.6 2.13 2.23",
    "ADD_N": "1.14",
    "ARG_MAX": "1.9 1.14 2.9",
    "ARG_MIN": "1.9 1.14 2.9",
    "ASSIGN_VARIABLE": "2.6",
    "ATAN2": "2.10",
    "AVERAGE_POOL_2D": "1.5 1.14 2.3",
    "BATCH_MATMUL": "2.3 2.3 2.4 2.5",
    "BATCH_TO_SPACE_ND": "1.6 1.14 2.3 2.12",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "1.14 1.14 1.14",
    "BIDIRECTIONAL_SEQUENCE_RNN": "1.14 1.14 2.3",
    "BITCAST": "2.13",
    "BITWISE_XOR": "2.13",
    "BROADCAST_ARGS": "2.6",
    "BROADCAST_TO": "- 2.5 2.5",
    "BUCKETIZE": "2.8",
    "CALL_ONCE": "2.5",
    "CAST": "1.5 2.7 2.8 2.9 2.12 2.15 2.17 2.21",
    "CEIL": "1.14",
    "COMPLEX_ABS": "2.5",
    "CONCATENATION": "1.5 1.14 2.3 2.14 2.21",
    "CONV_2D": "1.5 1.14 1.14 2.3 2.4 2.9 2.11 2.15",
    "CONV_3D": "2.5",
    "CONV_3D_TRANSPOSE": "2.6",
    "COS": "1.14",
    "CUMSUM": "2.4",
    "DENSIFY": "2.2",
    "DEPTHWISE_CONV_2D": "1.5 1.12 1.14 2.2 2.3 2.3 2.11",
    "DEPTH_TO_SPACE": "2.1 2.5",
    "DEQUANTIZE": "1.13.1 1.14 1.15 2.2 2.7 2.18 2.21 2.22",
    "DILATE": "2.15",
    "DIV": "1.6 2.3",
    "DYNAMIC_UPDATE_SLICE": "2.9 2.17 2.19 2.20 2.21 2.22",
    "ELU": "1.14",
    "EMBEDDING_LOOKUP": "1.13 1.14 1.14 2.18 2.21",
    "EMBEDDING_LOOKUP_SPARSE": "1.5",
    "EQUAL": "1.14 1.14 2.3 2.13 2.21",
    "EXP": "1.7 2.12",
    "EXPAND_DIMS": "1.10",
    "FAKE_QUANT": "1.5 1.10",
    "FILL": "1.13 2.3 2.5 2.12",
    "FLOOR": "1.9",
    "FLOOR_DIV": "1.14 1.14 2.13",
    "FLOOR_MOD": "1.13 2.13",
    "FULLY_CONNECTED": "1.5 1.10 1.14 1.14 2.0 2.1 2.3 2.3 2.3 2.11 2.15 2.17 2.18 2.21",
    "GATHER": "1.6 1.14 1.15 2.4 2.5 2.13 2.15",
    "GATHER_ND": "1.14 2.3 2.5 2.13 2.16",
    "GELU": "2.9 2.9",
    "GREATER": "1.14 1.14",
    "GREATER_EQUAL": "1.14 1.14 2.13",
    "HARD_SWISH": "1.15",
    "HASHTABLE": "2.5",
    "HASHTABLE_FIND": "2.5",
    "HASHTABLE_IMPORT": "2.5",
    "HASHTABLE_LOOKUP": "1.5",
    "HASHTABLE_SIZE": "2.5",
    "IF": "1.15",
    "IMAG": "2.5",
    "L2_NORMALIZATION": "1.5 1.14",
    "L2_POOL_2D": "1.5",
    "LEAKY_RELU": "1.13.1 2.3",
    "LESS": "1.14 1.14 2.13",
    "LESS_EQUAL": "1.14 1.14",
    "LOCAL_RESPONSE_NORMALIZATION": "1.5",
    "LOG": "1.14 2.15",
    "LOGICAL_AND": "1.11",
    "LOGICAL_NOT": "1.11",
    "LOGICAL_OR": "1.11",
    "LOGISTIC": "1.14 1.14 2.3",
    "LOG_SOFTMAX": "1.14 1.14",
    "LSH_PROJECTION": "1.5",
    "LSTM": "1.7 1.10 1.14 2.3",
    "MATRIX_DIAG": "1.14",
    "MATRIX_SET_DIAG": "1.14",
    "MAXIMUM": "1.14 1.14 2.3 2.3",
    "MAX_POOL_2D": "1.5 1.14 2.3",
    "MEAN": "1.6 1.14 2.4",
    "MINIMUM": "1.14 1.14 2.3 2.3",
    "MIRROR_PAD": "1.13.1 2.3 2.12",
    "MUL": "1.5 1.14 1.15 2.3 2.6 2.11 2.13 2.23",
    "MULTINOMIAL": "2.8",
    "NEG": "1.9",
    "NON_MAX_SUPPRESSION_V4": "2.1",
    "NON_MAX_SUPPRESSION_V5": "2.1",
    "NOT_EQUAL": "1.14 1.14 2.3 2.21",
    "ONE_HOT": "1.11",
    "PACK": "1.11 1.14 2.3 2.13",
    "PAD": "1.5 1.14 2.4 2.6 2.20",
    "PADV2": "1.9 1.14 2.4 2.6 2.20",
    "POW": "1.10",
    "PRELU": "1.8",
    "QUANTIZE": "1.14 1.15 2.7 2.21 2.21 2.21",
    "RANDOM_STANDARD_NORMAL": "2.8",
    "RANDOM_UNIFORM": "2.8",
    "RANGE": "1.13 2.14",
    "RANK": "1.14",
    "READ_VARIABLE": "2.6",
    "REAL": "2.5",
    "REDUCE_ALL": "2.6",
    "REDUCE_ANY": "1.11",
    "REDUCE_MAX": "1.11 1.14 2.5",
    "REDUCE_MIN": "1.11 1.14 2.5",
    "REDUCE_PROD": "1.11 2.6",
    "REDUCE_WINDOW": "2.15",
    "RELU": "1.5 2.1 2.5",
    "RELU6": "1.5 1.14 2.5",
    "RELU_0_TO_1": "2.10",
    "RELU_N1_TO_1": "1.5",
    "RESHAPE": "1.5",
    "RESIZE_BILINEAR": "1.7 1.14 2.2 2.5",
    "RESIZE_NEAREST_NEIGHBOR": "1.13.1 1.14 2.3 2.4",
    "REVERSE_SEQUENCE": "1.14",
    "REVERSE_V2": "1.14 2.2 2.5",
    "RFFT2D": "2.5",
    "RIGHT_SHIFT": "2.13",
    "RNN": "1.5 1.14 2.3",
    "ROUND": "1.14",
    "RSQRT": "1.10 2.5 2.15",
    "SCATTER_ND": "2.1",
    "SEGMENT_SUM": "2.2",
    "SELECT": "1.14 1.14 2.12 2.12",
    "SELECT_V2": "2.2 2.12",
    "SHAPE": "1.10",
    "SIGN": "2.11 2.12",
    "SIN": "1.9",
    "SKIP_GRAM": "1.5",
    "SLICE": "1.14 1.14 1.14 2.4 2.5 2.14 2.21",
    "SOFTMAX": "1.5 1.14 2.3",
    "SPACE_TO_BATCH_ND": "1.6 1.14 2.3 2.12",
    "SPACE_TO_DEPTH": "1.5 1.14",
    "SPARSE_TO_DENSE": "1.9 1.14 1.15",
    "SPLIT": "1.5 1.14 1.14 2.3",
    "SPLIT_V": "1.13.1 2.3",
    "SQRT": "1.10 2.21",
    "SQUARE": "1.12",
    "SQUARED_DIFFERENCE": "1.13.1 2.5",
    "SQUEEZE": "1.6 2.5",
    "STABLEHLO_ADD": "2.16",
    "STABLEHLO_AND": "2.17",
    "STABLEHLO_CASE": "2.17",
    "STABLEHLO_CBRT": "2.17",
    "STABLEHLO_COMPOSITE": "2.17",
    "STABLEHLO_GATHER": "2.16",
    "STABLEHLO_MAXIMUM": "2.16",
    "STABLEHLO_MINIMUM": "2.16",
    "STABLEHLO_MULTIPLY": "2.16",
    "STABLEHLO_PAD": "2.16",
    "STABLEHLO_REDUCE_WINDOW": "2.16",
    "STABLEHLO_RNG_BIT_GENERATOR": "2.15",
    "STABLEHLO_SCATTER": "2.15",
    "STABLEHLO_SHIFT_LEFT": "2.17",
    "STRIDED_SLICE": "1.6 1.14 2.1 2.2 2.5 2.6 2.14 2.14",
    "SUB": "1.6 1.14 2.3 2.4 2.4",
    "SUM": "1.10 1.15",
    "SVDF": "1.5 1.14 2.2 2.3",
    "TANH": "1.14 1.14 2.3",
    "TILE": "1.10.1 2.2 2.8",
    "TOPK_V2": "1.7 1.14 2.13",
    "TRANSPOSE": "1.6 1.14 1.15 2.3 2.4 2.12 2.14.4 2.22",
    "TRANSPOSE_CONV": "1.9 2.2 2.3 2.13 2.15",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "1.13.1 1.14 2.3 2.12",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "1.14 1.14 2.3",
    "UNIQUE": "1.14",
    "UNPACK": "1.11 1.14 2.2 2.3 2.22",
    "UNSORTED_SEGMENT_MAX": "2.10",
    "UNSORTED_SEGMENT_MIN": "2.11",
    "UNSORTED_SEGMENT_PROD": "2.10",
    "UNSORTED_SEGMENT_SUM": "2.10",
    "VAR_HANDLE": "2.6",
    "WHERE": "1.14 2.8",
    "WHILE": "1.15",
    "ZEROS_LIKE": "1.12",
}

# Operator -> the version that first takes quantized activations of a type, or quantized weights.
INT8 = {
    **dict.fromkeys(("ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BATCH_TO_SPACE_ND", "CONCATENATION"), 2),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN", "DEQUANTIZE", "EQUAL", "EXP", "FLOOR_MOD", "GATHER", "GELU"), 2),
    **dict.fromkeys(("GREATER", "GREATER_EQUAL", "L2_NORMALIZATION", "LESS", "LESS_EQUAL", "LOG", "LOGISTIC"), 2),
    **dict.fromkeys(("LOG_SOFTMAX", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL"), 2),
    **dict.fromkeys(("NOT_EQUAL", "PACK", "PAD", "PADV2", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "RELU"), 2),
    **dict.fromkeys(("RELU6", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT", "SQRT"), 2),
    **dict.fromkeys(("SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V"), 2),
    **dict.fromkeys(("SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TOPK_V2", "TRANSPOSE"), 2),
    **dict.fromkeys(("DEPTH_TO_SPACE", "TRANSPOSE_CONV", "UNPACK"), 2),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FILL", "FLOOR_DIV", "REVERSE_V2", "SVDF", "TILE"), 3),
    **dict.fromkeys(("BROADCAST_TO", "CAST", "SPARSE_TO_DENSE"), 3),
    "FULLY_CONNECTED": 4,
}
INT16 = {
    **dict.fromkeys(("EXP", "FLOOR_MOD", "LEAKY_RELU", "LOG", "QUANTIZE", "REDUCE_PROD", "SQRT"), 2),
    **dict.fromkeys(("ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION", "DEQUANTIZE", "FILL"), 3),
    **dict.fromkeys(("FLOOR_DIV", "GATHER_ND", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MIRROR_PAD", "PACK"), 3),
    **dict.fromkeys(("PAD", "PADV2", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RSQRT", "SOFTMAX", "TANH"), 3),
    **dict.fromkeys(("BROADCAST_TO", "GREATER_EQUAL", "LESS", "TOPK_V2"), 3),
    **dict.fromkeys(("BATCH_TO_SPACE_ND", "CONV_2D", "GATHER", "MAXIMUM", "MINIMUM", "MUL", "NOT_EQUAL"), 4),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_BATCH_ND", "SPLIT"), 4),
    **dict.fromkeys(("DYNAMIC_UPDATE_SLICE", "UNPACK"), 4),
    **dict.fromkeys(("DEPTHWISE_CONV_2D", "EQUAL", "LSTM", "SUB", "TRANSPOSE", "UNIDIRECTIONAL_SEQUENCE_LSTM"), 5),
    "FULLY_CONNECTED": 7,
}
NARROW_BIAS = {"CONV_2D": 8, "FULLY_CONNECTED": 11, "TRANSPOSE_CONV": 5}  # int16 activations, int32 bias
HYBRID = {  # float activations, int8 weights
    **dict.fromkeys(("BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "CONV_2D", "RNN", "SVDF"), 2),
    **dict.fromkeys(("UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"), 2),
    **dict.fromkeys(("FULLY_CONNECTED", "LSTM"), 3),
    "DEPTHWISE_CONV_2D": 4,
}
HYBRID_PER_CHANNEL = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 12, "EMBEDDING_LOOKUP": 4}
INT4 = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "DEQUANTIZE": 6, "EMBEDDING_LOOKUP": 4, "FULLY_CONNECTED": 10}
BY_TYPE = {
    "int8": INT8,
    "int16": INT16,
    "int16, int32 bias": NARROW_BIAS,
    "hybrid": HYBRID,
    "hybrid per channel": HYBRID_PER_CHANNEL,
    "int4 weights": INT4,
}


def needed_version(operator: str, stated: int, kinds: Iterable[str]) -> int:
    """The version that an operator needs: at least the stated one. `kinds` are keys of BY_TYPE."""
    return max([stated, *(BY_TYPE[kind].get(operator, 1) for kind in kinds)])


def first_runtime(operator: str, version: int) -> str:
    """The first runtime that has a version of a builtin operator, "" when that is not known."""
    versions = FIRST.get(operator, "").split()
    found = versions[version - 1] if 0 < version <= len(versions) else "-"
    return "" if found == "-" else found


def parse(version: str) -> tuple[int, ...]:
    """`2.14` as (2, 14, 0): versions compare as numbers, three parts each."""
    parts = [int(part) for part in version.split(".")]
    return (*parts, *[0] * (3 - len(parts)))


def least_runtime(pairs: Iterable[tuple[str, int]]) -> str:
    """The least runtime that has every (builtin operator, version) that is known; "" when none is."""
    known = (first_runtime(operator, version) for operator, version in pairs)
    return max(filter(None, known), key=parse, default="")
