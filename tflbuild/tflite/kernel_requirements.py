"""Requirements of the runtime's kernels on quantized operands, which they misread without an error if violated.

They were measured with models of one operator on LiteRT 2.3 (reference kernels, optimized kernels, XNNPACK): each
operand was changed to another zero point, scale, number of scales or type, and the result was compared with that of the
float operator. Operands that a kernel handles, or refuses when the model is opened, need no entry here.
"""

from __future__ import annotations

from dataclasses import dataclass

from tflbuild.tflite.tflite_model import Subgraph


@dataclass(frozen=True)
class FilterOperands:
    """The positions of the operands in the inputs of an operator with a filter.

    Attributes:
        filter: The position of the filter.
        input: The position of the input.
        bias: The position of the bias.
        axis: The axis of the filter along which scales per channel differ.
        any_zero_point: Whether kernels on quantized activations subtract the zero point of a filter with one scale.
        wide: Whether an int16 filter is read as int16.
    """

    filter: int
    input: int
    bias: int
    axis: int
    any_zero_point: bool = False
    wide: bool = False


FILTERS = {
    "CONV_2D": FilterOperands(filter=1, input=0, bias=2, axis=0),
    "DEPTHWISE_CONV_2D": FilterOperands(filter=1, input=0, bias=2, axis=3),
    "TRANSPOSE_CONV": FilterOperands(filter=1, input=2, bias=3, axis=0),
    "FULLY_CONNECTED": FilterOperands(filter=1, input=0, bias=2, axis=0, any_zero_point=True, wide=True),
}


def filter_indices(graph: Subgraph) -> set[int]:
    """Return the tensors of a subgraph that are only read as filters by operators of FILTERS."""
    read: dict[int, set[bool]] = {index: {False} for index in graph.outputs}
    for op in graph.ops:
        operands = FILTERS.get(op.name)
        for position, index in enumerate(op.inputs):
            read.setdefault(index, set()).add(operands is not None and position == operands.filter)
    return {index for index, uses in read.items() if uses == {True}}


# Every input.
ALL = ()
# Operators whose kernels copy or compare integers unchanged: these inputs and the outputs need the same scale and zero
# point. Some of these kernels, and XNNPACK, refuse int8 tensors that differ. Hardly any refuses int16 tensors.
SAME_SCALES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN", "NEG"), (0,)),
    **dict.fromkeys(("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), (0,)),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "BROADCAST_TO", "TILE", "UNPACK"), (0,)),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE", "GATHER", "GATHER_ND", "SPLIT_V", "TOPK_V2", "UNIQUE"), (0,)),
    **dict.fromkeys(("REVERSE_V2", "REVERSE_SEQUENCE", "PAD", "MIRROR_PAD"), (0,)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), (0,)),
    **dict.fromkeys(("SPLIT", "SCATTER_ND", "EMBEDDING_LOOKUP"), (1,)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "FLOOR_MOD", "DYNAMIC_UPDATE_SLICE"), (0, 1)),
    **dict.fromkeys(("SELECT", "SELECT_V2"), (1, 2)),
    "PADV2": (0, 2),
    **dict.fromkeys(("CONCATENATION", "PACK"), ALL),
}
# Kernels that convert between different scales.
CONVERTS = {("CONCATENATION", "uint8")}
# Kernels that ignore the zero point.
ZERO_POINT_0 = ("NEG", "FLOOR_MOD")
# Kernels that read or write an operand as if it had the type of another operand.
ONE_TYPE = (
    *("ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2", "PRELU"),
    *("FULLY_CONNECTED", "BATCH_MATMUL", "EXP", "NEG", "MEAN", "SUM", "REDUCE_PROD", "FLOOR_MOD", "SOFTMAX"),
    *("GATHER", "GATHER_ND", "RESHAPE", "SPLIT", "SPLIT_V", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
)
# (operator, input type, output type) of kernels that convert between types.
CONVERTS_TYPES = {("ADD", "int16", "int8"), ("SUB", "int16", "int8"), ("SOFTMAX", "int8", "int16")}
# Operators of recurrent layers: their kernels ignore the zero points of weights, and read one scale of each.
RECURRENT = (
    *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "SVDF"),
    *("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"),
)
# Operators whose kernels read one scale for each channel. FILTERS and BATCH_MATMUL have rules of their own.
PER_CHANNEL = ("QUANTIZE", "DEQUANTIZE", "EMBEDDING_LOOKUP")
# (operator, output type) -> the scale and zero point with which the kernel writes, whatever its output states.
FIXED_OUTPUTS = {("SOFTMAX", "uint8"): (1 / 256, 0)}
