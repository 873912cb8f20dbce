"""What Arm's Ethos-U55, U65 and U85 take, as their compiler Vela decides it.

From `vela --supported-ops-report` of Vela 5.2.0 and from compiling a set of one-operator models with it: where the two
differ, what it did counts. What an Ethos-U does not take runs on the CPU beside it, but for rules that are `fatal`:
there Vela 5.2.0 fails on the whole model.
"""

from __future__ import annotations

from tflbuild.targets.ethos_u_rules import (
    AREA,
    AXES,
    BIAS,
    BYTES,
    FEW_DEEP,
    FREE,
    GATHERED,
    HEIGHT,
    LAST_AXIS,
    LOGIC,
    LSTM_TYPES,
    MEANS,
    MOVED,
    NARROW,
    NARROW_SOURCE,
    NO_BOOL,
    NO_INT4,
    READABLE,
    RESIZED,
    RESIZED_WIDE,
    SAME_SCALES,
    SCALED,
    SLICES,
    SLOPES,
    STILL,
    STILL_OR_BYTES,
    STRIDE_3,
    STRIDES,
    TURNED,
    TWO_STRIDES,
    UNTRIED,
    UPSCALED,
    VELA,
    WEIGHTS,
    WHOLE_LSTM,
    WINDOW,
    WITH_32,
    WITH_64,
    integers,
)
from tflbuild.targets.rules import Row, Rule, Table, constant, row, rows

MOVES = ("CONCATENATION", "SPLIT", "SPLIT_V", "PACK", "UNPACK", "TILE")
CURVES = ("LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")


def _narrow_rows() -> dict[str, Row]:
    """U55 and U65: integers of 8 and 16 bits, few of 32."""
    narrow, with_32 = integers(*NARROW), integers(*WITH_32)
    return {
        **rows(("ADD", "SUB", "MUL", "NEG", "SQUEEZE", "RESHAPE"), *with_32, SCALED),
        **rows(("EXPAND_DIMS",), *with_32),
        "SUM": row(*with_32, SCALED, AXES),
        "TRANSPOSE": row(*with_32, AXES, TURNED),
        "MIRROR_PAD": row(*with_32, AXES),
        **rows((*CURVES, "ABS", "LEAKY_RELU", "EXP", "SQUARED_DIFFERENCE", *MOVES), *narrow, SCALED),
        "PRELU": row(*narrow, SCALED, SLOPES),
        **rows(("MAXIMUM", "MINIMUM"), *narrow, SCALED, SAME_SCALES),
        **rows(("PAD", "PADV2"), *narrow, AXES),
        "QUANTIZE": row(*narrow),
        "SLICE": row(*narrow, SCALED, AXES, constant(2, "what tells the sizes")),
        "STRIDED_SLICE": row(*narrow, SCALED, *SLICES),
        "CONV_2D": row(STILL, *narrow, WEIGHTS, *BIAS, SCALED, STRIDES),
        "DEPTHWISE_CONV_2D": row(STILL, *narrow, WEIGHTS, *BIAS, SCALED, *STRIDE_3),
        "TRANSPOSE_CONV": row(
            STILL,
            *narrow,
            WEIGHTS,
            constant(3, "bias"),
            SCALED,
            UPSCALED,
            TWO_STRIDES,
        ),
        "FULLY_CONNECTED": row(*narrow, WEIGHTS, *BIAS, SCALED, STILL_OR_BYTES),
        "BATCH_MATMUL": row(*integers("int8"), SCALED),
        "AVERAGE_POOL_2D": row(*narrow, SCALED, WINDOW, STRIDES),
        "MAX_POOL_2D": row(*narrow, SCALED, HEIGHT, STRIDES),
        **rows(("REDUCE_MAX", "REDUCE_MIN"), *narrow, SCALED, AXES),
        "MEAN": row(*narrow, SCALED, *MEANS),
        "SOFTMAX": row(*narrow, SCALED, AREA),
        **rows(
            ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
            *narrow,
            SCALED,
            AXES,
            RESIZED,
        ),
        "ARG_MAX": row(
            READABLE,
            AXES,
            LAST_AXIS,
            FEW_DEEP,
        ),
        "UNIDIRECTIONAL_SEQUENCE_LSTM": row(LSTM_TYPES, SCALED, WHOLE_LSTM),
        **_common(),
    }


def _common() -> dict[str, Row]:
    """Alike on all three."""
    return {
        "HARD_SWISH": row(READABLE, SCALED),
        "ELU": row(*integers("int8"), SCALED),
        "GELU": row(*integers(*BYTES), SCALED),
        "LOG": row(*integers("int8", "int16"), SCALED),
        "RSQRT": row(*integers("int8", "int16"), SCALED),
    }


def _wide_rows() -> dict[str, Row]:
    """U85: more operators, integers of 32 bits, what only moves values of 64 bits and BOOL as well."""
    narrow = integers(*NARROW, fatal=("int32", "int64"))
    with_32, moved = integers(*WITH_32, fatal=("int64",)), integers(*MOVED)
    return {
        **rows(("ABS", "NEG", "ADD", "SUB", "MUL", "DIV", "LEAKY_RELU"), *with_32, SCALED),
        **rows(("MAXIMUM", "MINIMUM"), *with_32, SCALED, SAME_SCALES),
        **rows((*CURVES, "EXP", "SQUARED_DIFFERENCE"), *narrow, SCALED),
        "PRELU": row(*narrow, SCALED, SLOPES),
        **rows((*MOVES, "RESHAPE", "SQUEEZE", "REVERSE_V2"), *moved, SCALED),
        "EXPAND_DIMS": row(*moved),
        **rows(("TRANSPOSE", "MIRROR_PAD", "PAD", "PADV2"), *moved, AXES),
        "SLICE": row(*moved, SCALED, AXES, constant(2, "what tells the sizes")),
        "STRIDED_SLICE": row(*moved, SCALED, *SLICES),
        **rows(("SUM", "REDUCE_MAX", "REDUCE_MIN"), *with_32, SCALED, AXES),
        **rows(("REDUCE_ANY", "REDUCE_ALL"), *integers("bool"), AXES),
        "QUANTIZE": row(NARROW_SOURCE, *integers(*WITH_32)),
        "CAST": row(*integers(*MOVED), SCALED),
        **rows(COMPARISONS, *integers(*LOGIC, fatal=("int64",)), SCALED),
        **rows(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"), *integers("bool")),
        **rows(("SELECT", "SELECT_V2"), *integers("int8", "int16", "int32", "bool", fatal=("uint8", "int64")), SCALED),
        "GATHER": row(*integers(*WITH_64), GATHERED),
        "SCATTER_ND": row(*integers(*WITH_64), constant(0, "indices"), constant(2, "the shape")),
        **rows(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), *integers(*NARROW), WEIGHTS, *BIAS, SCALED),
        "TRANSPOSE_CONV": row(STILL, *integers(*NARROW), WEIGHTS, constant(3, "bias"), SCALED, UPSCALED),
        "BATCH_MATMUL": row(*narrow, SCALED),
        "AVERAGE_POOL_2D": row(*narrow, SCALED, WINDOW),
        "MAX_POOL_2D": row(*narrow, SCALED, HEIGHT),
        "MEAN": row(*integers(*NARROW), SCALED, *MEANS),
        "SOFTMAX": row(*narrow, SCALED, AREA),
        "RESIZE_BILINEAR": row(*narrow, SCALED, AXES, RESIZED_WIDE),
        "RESIZE_NEAREST_NEIGHBOR": row(*narrow, SCALED, AXES),
        "ARG_MAX": row(READABLE, AXES),
        "UNIDIRECTIONAL_SEQUENCE_LSTM": row(LSTM_TYPES, SCALED, WHOLE_LSTM),
        **rows(("READ_VARIABLE", "ASSIGN_VARIABLE"), UNTRIED),
        **_common(),
    }


FIXES = {
    "RESIZE_BILINEAR": "resize by 2, 4 or 8",
    "RESIZE_NEAREST_NEIGHBOR": "resize by 2, 4 or 8",
    "DEQUANTIZE": "give the outputs as integers: quantization.io=int8",
}
SOURCE = "vela --supported-ops-report of Vela 5.2.0, and what it does with one-operator models"
# one-operator models on which a table and Vela disagree, by table, and why; docs/ tells them, a test holds them
DISAGREEMENTS: dict[str, dict[str, str]] = {"ethos_u55": {}, "ethos_u65": {}, "ethos_u85": {}}


def _table(name: str, title: str, accelerator: str, found: dict[str, Row], *everywhere: Rule) -> Table:
    return Table(
        name=name,
        title=title,
        source=SOURCE,
        rows=found,
        everywhere=everywhere,
        version=VELA,
        checked=f"one-operator models, compiled by Vela 5.2.0 for {accelerator}",
        fixes=FIXES,
    )


U55 = _table("ethos_u55", "Ethos-U55", "ethos-u55-128", _narrow_rows(), NO_BOOL, NO_INT4, FREE)
U65 = _table("ethos_u65", "Ethos-U65", "ethos-u65-256", _narrow_rows(), NO_BOOL, NO_INT4, FREE)
U85 = _table("ethos_u85", "Ethos-U85", "ethos-u85-256", _wide_rows(), NO_INT4, FREE)
