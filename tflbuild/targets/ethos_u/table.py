"""The operators that Arm's Ethos-U55, U65 and U85 support, as their compiler Vela decides.

The table is based on `vela --supported-ops-report` of Vela 5.2.0, and on compiling one-operator models with it. If the
two differ, the compilation counts. The CPU next to the Ethos-U runs unsupported operators, except for rules that are
`fatal`: there Vela 5.2.0 fails on the whole model.
"""

from __future__ import annotations

from tflbuild.targets.common.rules import OperatorSupport, SupportRule, SupportTable, constant, row, rows
from tflbuild.targets.ethos_u.reader_rules import (
    CAST_READS,
    INPUTS_ALIKE,
    LSTM_UNITS,
    ONE_IMAGE,
    READER,
    UNGROUPED,
    VALUES_ALIKE,
    VELA,
    once_taken,
)
from tflbuild.targets.ethos_u.rules import (
    AREA,
    AXES,
    BIAS,
    BYTES,
    CENTRED,
    CENTRED_16,
    CLAMPED_INT32,
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
    NARROW_AXIS,
    NARROW_SOURCE,
    NO_BOOL,
    NO_INT4,
    NO_SCALARS,
    PLAIN_INT32,
    READABLE,
    RESIZED,
    RESIZED_ONE,
    RESIZED_WIDE,
    SAME_CURVE,
    SAME_SCALES,
    SAME_TYPES,
    SCALED,
    SLICES,
    SLOPES,
    STILL,
    STILL_OR_BYTES,
    STRIDE_3,
    STRIDES,
    TILED,
    TURNED,
    TWO_STRIDES,
    UNTRIED,
    UPSCALED,
    WEIGHTS,
    WHOLE_LSTM,
    WINDOW,
    WITH_32,
    WITH_64,
    data,
    data_but,
    integers,
)

MOVES = ("CONCATENATION", "SPLIT", "SPLIT_V", "PACK", "UNPACK", "TILE")
CURVES = ("LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
FILLER = constant(2, "what it is filled with")
BARRED = (NO_SCALARS, CENTRED)  # what is left to the CPU for any operator
COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")


def _narrow_rows() -> dict[str, OperatorSupport]:
    """U55 and U65: integers of 8 and 16 bits, few of 32."""
    narrow, with_32 = integers(*NARROW), integers(*WITH_32)
    convolved = (STILL, *narrow, WEIGHTS, *BIAS, SCALED, STRIDES)
    resized, ranked = (data(*NARROW), SCALED, RESIZED), (READABLE, AXES, LAST_AXIS, FEW_DEEP)
    return {
        **rows(("ADD", "SUB", "MUL"), *with_32, SCALED, PLAIN_INT32),
        **rows(("NEG", "SQUEEZE", "RESHAPE"), *with_32, SCALED),
        "EXPAND_DIMS": row(*with_32, NARROW_AXIS),
        "SUM": row(*with_32, SCALED, AXES),
        "TRANSPOSE": row(*with_32, AXES, TURNED),
        "MIRROR_PAD": row(*with_32, AXES),
        **rows((*CURVES, "ABS", "LEAKY_RELU", "EXP", "SQUARED_DIFFERENCE", *MOVES), *narrow, SCALED),
        "TILE": row(data(*NARROW), SCALED, once_taken(TILED, data(*NARROW), SCALED)),
        "PRELU": row(*narrow, SCALED, once_taken(SLOPES, *narrow, SCALED)),
        **rows(("MAXIMUM", "MINIMUM"), *narrow, SCALED, SAME_SCALES),
        "PAD": row(*narrow, AXES),
        "PADV2": row(*narrow, AXES, FILLER),
        "QUANTIZE": row(*narrow),
        "SLICE": row(*narrow, SCALED, AXES, constant(2, "what tells the sizes")),
        "STRIDED_SLICE": row(*narrow, SCALED, *SLICES),
        "CONV_2D": row(*convolved, once_taken(UNGROUPED, *convolved)),
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
        "SOFTMAX": row(*narrow, SCALED, AREA, once_taken(CENTRED_16, *narrow, SCALED, AREA, NO_SCALARS)),
        **rows(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), *resized, once_taken(RESIZED_ONE, *resized)),
        "ARG_MAX": row(*ranked, once_taken(ONE_IMAGE, *ranked, NO_SCALARS)),
        **_common(),
    }


def _common() -> dict[str, OperatorSupport]:
    """Alike on all three."""
    whole = (LSTM_TYPES, SCALED, WHOLE_LSTM)
    return {
        "UNIDIRECTIONAL_SEQUENCE_LSTM": row(*whole, once_taken(LSTM_UNITS, *whole)),
        "HARD_SWISH": row(READABLE, SCALED),
        "ELU": row(*integers("int8"), SCALED),
        "GELU": row(*integers(*BYTES), SCALED),
        "LOG": row(*integers("int8", "int16"), SCALED, SAME_TYPES),
        "RSQRT": row(*integers("int8", "int16"), SCALED),
    }


def _wide_rows() -> dict[str, OperatorSupport]:
    """U85: more operators, integers of 32 bits, what only moves values of 64 bits and BOOL as well."""
    narrow = integers(*NARROW, fatal=("int32", "int64"))
    with_32, moved = integers(*WITH_32, fatal=("int64",)), integers(*MOVED)
    resized = data_but(*NARROW, fatal=("int32", "int64"))
    compared = integers(*LOGIC, fatal=("int64",))
    chosen = integers("int8", "int16", "int32", "bool", fatal=("uint8", "int64"))
    return {
        **rows(("ABS", "NEG", "LEAKY_RELU"), *with_32, SCALED),
        **rows(("ADD", "SUB", "MUL"), *with_32, SCALED, once_taken(CLAMPED_INT32, *with_32, SCALED, *BARRED)),
        "DIV": row(
            *with_32,
            SCALED,
            *(once_taken(rule, *with_32, SCALED, *BARRED) for rule in (CLAMPED_INT32, INPUTS_ALIKE)),
        ),
        **rows(("MAXIMUM", "MINIMUM"), *with_32, SCALED, SAME_SCALES),
        **rows((*CURVES, "EXP", "SQUARED_DIFFERENCE"), *narrow, SCALED),
        **rows(("LOGISTIC", "TANH"), *narrow, SCALED, once_taken(SAME_CURVE, *narrow, SCALED, *BARRED)),
        "PRELU": row(*narrow, SCALED, once_taken(SLOPES, *narrow, SCALED, *BARRED)),
        **rows((*MOVES, "RESHAPE", "SQUEEZE", "REVERSE_V2"), *moved, SCALED),
        "CONCATENATION": row(*moved, SCALED, once_taken(CLAMPED_INT32, *moved, SCALED)),
        "EXPAND_DIMS": row(*moved),
        "TILE": row(data(*MOVED), SCALED, once_taken(TILED, data(*MOVED), SCALED)),
        **rows(("TRANSPOSE", "MIRROR_PAD", "PAD"), *moved, AXES),
        "PADV2": row(*moved, AXES, FILLER),
        "SLICE": row(*moved, SCALED, AXES, constant(2, "what tells the sizes")),
        "STRIDED_SLICE": row(*moved, SCALED, *SLICES),
        **rows(("SUM", "REDUCE_MAX", "REDUCE_MIN"), *with_32, SCALED, AXES),
        **rows(("REDUCE_ANY", "REDUCE_ALL"), *integers("bool"), AXES),
        "QUANTIZE": row(NARROW_SOURCE, *integers(*WITH_32)),
        "CAST": row(*integers(*MOVED), SCALED, once_taken(CAST_READS, *integers(*MOVED), SCALED)),
        **rows(COMPARISONS, *compared, SCALED, once_taken(INPUTS_ALIKE, *compared, SCALED, *BARRED)),
        **rows(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"), *integers("bool")),
        **rows(("SELECT", "SELECT_V2"), *chosen, once_taken(VALUES_ALIKE, *chosen)),
        "GATHER": row(*integers(*WITH_64), GATHERED),
        "SCATTER_ND": row(*integers(*WITH_64), constant(0, "indices"), constant(2, "the shape")),
        **rows(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), *integers(*NARROW), WEIGHTS, *BIAS, SCALED),
        "TRANSPOSE_CONV": row(STILL, *integers(*NARROW), WEIGHTS, constant(3, "bias"), SCALED, UPSCALED),
        "BATCH_MATMUL": row(*narrow, SCALED),
        "AVERAGE_POOL_2D": row(once_taken(narrow[0], WINDOW), *narrow[1:], SCALED, WINDOW),
        "MAX_POOL_2D": row(*narrow, SCALED, HEIGHT),
        "MEAN": row(*integers(*NARROW), SCALED, *MEANS),
        "SOFTMAX": row(*narrow, SCALED, AREA),
        "RESIZE_BILINEAR": row(once_taken(resized[0], RESIZED_WIDE), *resized[1:], SCALED, RESIZED_WIDE),
        "RESIZE_NEAREST_NEIGHBOR": row(*resized, SCALED),
        "ARG_MAX": row(READABLE, AXES),
        **rows(("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"), UNTRIED),
        **_common(),
    }


FIXES = {
    "RESIZE_BILINEAR": "resize by 2, 4 or 8",
    "RESIZE_NEAREST_NEIGHBOR": "resize by 2, 4 or 8",
    "DEQUANTIZE": "give the outputs as integers (quantization.output_type=int8), and the weights (quantization=int8)",
}
SOURCE = "vela --supported-ops-report of Vela 5.2.0, and what it does with one-operator models"
# one-operator models on which a table and Vela disagree, by table, and why; docs/ tells them, a test holds them
DISAGREEMENTS: dict[str, dict[str, str]] = {"ethos_u55": {}, "ethos_u65": {}, "ethos_u85": {}}


def _table(
    name: str, title: str, accelerator: str, found: dict[str, OperatorSupport], *everywhere: SupportRule
) -> SupportTable:
    return SupportTable(
        name=name,
        title=title,
        source=SOURCE,
        rows=found,
        everywhere=everywhere,
        version=VELA,
        checked=f"one-operator models, those of tests/ and drawn ones, compiled by Vela 5.2.0 for {accelerator}",
        fixes=FIXES,
    )


U55 = _table("ethos_u55", "Ethos-U55", "ethos-u55-128", _narrow_rows(), NO_BOOL, NO_INT4, *READER, FREE, NO_SCALARS)
U65 = _table("ethos_u65", "Ethos-U65", "ethos-u65-256", _narrow_rows(), NO_BOOL, NO_INT4, *READER, FREE, NO_SCALARS)
U85 = _table("ethos_u85", "Ethos-U85", "ethos-u85-256", _wide_rows(), NO_INT4, *READER, FREE, NO_SCALARS, CENTRED)
TABLES = {table.name: table for table in (U55, U65, U85)}
