"""What the kernels of the runtime require of quantized operands, and misread without an error where it is missing.

Measured with models of one operator on LiteRT 2.3 (reference kernels, optimized kernels, XNNPACK): each operand was
given another zero point, scale, number of scales or type, and the result compared with the float operator's.
What a kernel honours, or refuses when the model is opened, needs no entry here.
"""

from __future__ import annotations

from dataclasses import dataclass

from tflbuild.tflite.tflite_model import Subgraph


@dataclass(frozen=True)
class FilterPlaces:
    """Where an operator with a filter has its operands, as places in its list of inputs.

    `axis` is the axis of the filter that scales per channel run along. `any_zero_point`: kernels on quantized
    activations subtract the filter's zero point, of a filter with one scale. `wide`: an int16 filter is read as int16.
    """

    filter: int
    input: int
    bias: int
    axis: int
    any_zero_point: bool = False
    wide: bool = False


FILTERS = {
    "CONV_2D": FilterPlaces(filter=1, input=0, bias=2, axis=0),
    "DEPTHWISE_CONV_2D": FilterPlaces(filter=1, input=0, bias=2, axis=3),
    "TRANSPOSE_CONV": FilterPlaces(filter=1, input=2, bias=3, axis=0),
    "FULLY_CONNECTED": FilterPlaces(filter=1, input=0, bias=2, axis=0, any_zero_point=True, wide=True),
}


def filter_indices(graph: Subgraph) -> set[int]:
    """Return the tensors of a subgraph that nothing reads but operators of FILTERS, as their filters."""
    read: dict[int, set[bool]] = {index: {False} for index in graph.outputs}
    for op in graph.ops:
        places = FILTERS.get(op.name)
        for place, index in enumerate(op.inputs):
            read.setdefault(index, set()).add(places is not None and place == places.filter)
    return {index for index, uses in read.items() if uses == {True}}


ALL = ()  # every input
# Operators whose kernels copy or compare integers as they are: these inputs and the outputs need one scale and zero
# point. (Of int8 tensors some of these kernels, and XNNPACK, refuse what differs; of int16 tensors hardly any does.)
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
# Kernels that convert between different scales all the same.
CONVERTS = {("CONCATENATION", "uint8")}
# Kernels that compute on integers as if they were values in steps of the scale.
ZERO_POINT_0 = ("NEG", "FLOOR_MOD")
# Kernels that read what they are given, or write, as the type of another operand.
ONE_TYPE = (
    *("ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2", "PRELU"),
    *("FULLY_CONNECTED", "BATCH_MATMUL", "EXP", "NEG", "MEAN", "SUM", "REDUCE_PROD", "FLOOR_MOD", "SOFTMAX"),
    *("GATHER", "GATHER_ND", "RESHAPE", "SPLIT", "SPLIT_V", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
)
# Operator, type that it reads, type that it writes: kernels that do convert.
CONVERTS_TYPES = {("ADD", "int16", "int8"), ("SUB", "int16", "int8"), ("SOFTMAX", "int8", "int16")}
# Operators of recurrent layers: their kernels know no zero point of weights, and one scale of each.
RECURRENT = (
    *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "SVDF"),
    *("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"),
)
# Operators whose kernels read one scale for each channel. FILTERS and BATCH_MATMUL have rules of their own.
PER_CHANNEL = ("QUANTIZE", "DEQUANTIZE", "EMBEDDING_LOOKUP")
# The only scale and zero point that a kernel writes, whatever its output says.
FIXED_OUTPUTS = {("SOFTMAX", "uint8"): (1 / 256, 0)}
