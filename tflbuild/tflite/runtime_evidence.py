"""What each runtime did with each feature. Written by tests/measure_runtimes.py: do not edit."""

from __future__ import annotations

RUNTIMES = (
    "2.5",
    "2.6",
    "2.7",
    "2.8",
    "2.9",
    "2.10",
    "2.11",
    "2.12",
    "2.13",
    "2.14",
    "2.15",
    "2.16",
    "2.17",
    "2.18",
    "2.19",
    "2.20",
    "2.21",
)
EVIDENCE = """
= ----------------R
ADD: version 6
BATCH_MATMUL: int16, int8 > int16
BROADCAST_TO: version 4
CAST: version 8; version 9
CONCATENATION: version 5; version 6; version 7
COS: version 2
DEQUANTIZE: version 7; version 8; version 9
DIV: int16 > int16
DYNAMIC_UPDATE_SLICE: version 5; version 6
EMBEDDING_LOOKUP: version 5
EQUAL: version 5
FILL: int32, uint8 > uint8; version 5
FULLY_CONNECTED: version 14
GATHER: version 8
GATHER_ND: version 6
GELU: version 3
MUL: version 8
NOT_EQUAL: version 4
PACK: version 5
PAD: version 6
PADV2: version 6
PRELU: int16 > int16; int16, int8 > int16
QUANTIZE: int8 > int16; version 4; version 5; version 6
RESIZE_NEAREST_NEIGHBOR: int32 > int32
REVERSE_V2: version 4
SIN: version 2
SLICE: version 7; version 8
SOFTMAX: version 4
SPLIT: version 5
SPLIT_V: version 3
SQRT: int16 > int16; int8 > int8; version 2
TILE: int16, int32 > int16
TRANSPOSE: version 8; version 9
UNPACK: version 5; version 6
= ---------------RR
DIV: int8 > int8
DYNAMIC_UPDATE_SLICE: version 4
GATHER: float16, int32 > float16
GELU: int16 > int16
NEG: int16 > int16; int8 > int8
PAD: version 5
PADV2: version 5
TRANSPOSE: version 7
= --------------RRR
CAST: version 7
DYNAMIC_UPDATE_SLICE: version 3
FULLY_CONNECTED: int8, int4/channel > int8; int8, int4/channel, int32 > int8
= -------------RRRR
DEQUANTIZE: int4 > float32; int4/channel > float32; version 1; version 2; version 3; version 4; version 5; version 6
DYNAMIC_UPDATE_SLICE: version 2
EMBEDDING_LOOKUP: int32, int4 > float32; int32, int4/channel > float32; version 4
FULLY_CONNECTED: int16, int4/channel > int16; int16, int4/channel, int64 > int16; version 13
= -------------wRRR
FULLY_CONNECTED: int16, int4/channel, int32 > int16
= ------------RRRRR
FULLY_CONNECTED: version 12
TRANSPOSE_CONV: int32, int8, float32 > float32; int32, int8/channel, float32 > float32; version 1; version 2; version 3
TRANSPOSE_CONV: version 4; version 5
= -----------RRRRRR
GATHER_ND: version 5
SPLIT: int32, int64 > int64
= ----------RRRRRRR
CAST: version 6
CONV_2D: version 8
FULLY_CONNECTED: version 11
GATHER: version 7
LOG: int16 > int16; int8 > int8; version 2
RSQRT: int16 > int16; version 3
= ----------wwwRRRR
GATHER: int4, int32 > int4
= ---------RRRRRRRR
CONCATENATION: version 4
PACK: version 4
SELECT: version 4
SELECT_V2: version 2
SLICE: version 6
STRIDED_SLICE: version 7; version 8
file: buffers behind the flatbuffer
= --------RRRR---RR
FULLY_CONNECTED: float32, int4 > float32; float32, int4, float32 > float32
= --------RRRRRRRRR
ADD: version 5
BATCH_TO_SPACE_ND: version 4
BITCAST: float32 > int32; version 1
BITWISE_XOR: int32 > int32; version 1
CAST: float16 > float32; float32 > float16; version 5
DEPTHWISE_CONV_2D: int8, int4, int32 > int8; int8, int4/channel, int32 > int8; version 7
EQUAL: version 4
EXP: int16 > int16; int8 > int8; version 2
FLOOR_DIV: int16 > int16; int8 > int8; version 3
FLOOR_MOD: int16 > int16; int8 > int8; version 2
FULLY_CONNECTED: int8, int4 > int8; int8, int4, int32 > int8; version 10
GATHER: version 6
GATHER_ND: version 4
GREATER_EQUAL: version 3
LESS: int16 > bool; version 3
MIRROR_PAD: int16, int32 > int16; version 3
MUL: version 7
RIGHT_SHIFT: int32 > int32; version 1
SPACE_TO_BATCH_ND: version 4
TOPK_V2: version 3
= --------wwwRRRRRR
FULLY_CONNECTED: float32, int4/channel > float32; float32, int4/channel, float32 > float32
= --------wwwwwRRRR
FULLY_CONNECTED: int16, int4 > int16; int16, int4, int64 > int16
= --------wwwwwwRRR
FULLY_CONNECTED: int16, int4, int32 > int16
= -------RRRRRRRRRR
ABS: int32 > int32; version 5
CONV_2D: int8, int4, int32 > int8; int8, int4/channel, int32 > int8; version 7
DEPTHWISE_CONV_2D: int16, int4, int64 > int16; int16, int4/channel, int64 > int16
FILL: version 4
SELECT: version 3
SIGN: version 2
TRANSPOSE: version 6
= -------wwwwwwwRRR
CONV_2D: int16, int4, int32 > int16; int16, int4, int64 > int16; int16, int4/channel, int32 > int16
CONV_2D: int16, int4/channel, int64 > int16
= -------wwwwwwxRRR
CONV_2D: float32, int4, float32 > float32; float32, int4/channel, float32 > float32
= ------RRRRRRRRRRR
MUL: version 6
SIGN: float32 > float32; version 1
= ------wRRRRRRRRRR
SIGN: int32 > int32
= -----RRRRRRRRRRRR
ATAN2: float32 > float32; version 1
RELU_0_TO_1: float32 > float32; int8 > int8; uint8 > uint8; version 1
= ----RRRRRRRRRRRRR
ARG_MAX: version 3
ARG_MIN: version 3
CAST: version 4
CONV_2D: version 6
CONV_3D_TRANSPOSE: int32, float32 > float32; version 1
DYNAMIC_UPDATE_SLICE: float32, int32 > float32; version 1
GELU: int8 > int8; uint8 > uint8; version 2
= ----wwwwwwRRRRRRR
CONV_2D: int16, int8, int32 > int16; int16, int8/channel, int32 > int16
TRANSPOSE_CONV: int32, int8, int16, int32 > int16; int32, int8/channel, int16, int32 > int16
= ---RRRRRRRRRRRRRR
CAST: float32 > int8; int16 > int8; int32 > int8; int8 > float32; int8 > int16; int8 > int32; version 3
GELU: float32 > float32; version 1
QUANTIZE: int32 > int8
TILE: int8, int32 > int8; version 3
WHERE: version 2
= --RRRRRRRRRRRRRRR
CAST: version 2
QUANTIZE: version 3
REDUCE_PROD: version 2
= -RRRRRRRRRRRRRRRR
ABS: version 4
ADD: int64 > int64; version 4
ASSIGN_VARIABLE: resource, float32 > nothing; version 1
CALL_ONCE: nothing > nothing; version 1
MUL: int64 > int64; version 5
PAD: version 4
PADV2: version 4
READ_VARIABLE: resource > float32; version 1
REDUCE_ALL: bool, int32 > bool; version 1
STRIDED_SLICE: version 6
VAR_HANDLE: nothing > resource; version 1
= R-RRRRRRRRRRRRRRR
file: several signatures
= RRRRRRRRRRRR--RRR
TANH: uint8 > uint8
= RRRRRRRRRRRRRRRRR
ABS: float32 > float32; int16 > int16; int8 > int8; version 1; version 2; version 3
ADD: float32 > float32; int16 > int16; int32 > int32; int8 > int8; uint8 > uint8; version 1; version 2; version 3
ADD_N: float32 > float32; int32 > int32; version 1
ARG_MAX: float32, int32 > int32; float32, int32 > int64; int32 > int32; int8, int32 > int32; uint8, int32 > int32
ARG_MAX: version 1; version 2
ARG_MIN: float32, int32 > int32; int32 > int32; int8, int32 > int32; uint8, int32 > int32; version 1; version 2
AVERAGE_POOL_2D: float32 > float32; int16 > int16; int8 > int8; uint8 > uint8; version 1; version 2; version 3
BATCH_MATMUL: float32 > float32; float32, int8 > float32; int16 > int16; int8 > int8; version 1; version 2; version 3
BATCH_MATMUL: version 4
BATCH_TO_SPACE_ND: float32, int32 > float32; int32 > int32; int64, int32 > int64; int8, int32 > int8
BATCH_TO_SPACE_ND: uint8, int32 > uint8; version 1; version 2; version 3
BROADCAST_TO: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
BROADCAST_TO: uint8, int32 > uint8; version 2; version 3
CAST: bool > float32; bool > int32; float32 > int32; float32 > int64; float32 > uint8; int32 > float32; int32 > int64
CAST: int64 > float32; int64 > int32; uint8 > float32; version 1
CEIL: float32 > float32; version 1
CONCATENATION: bool > bool; float32 > float32; int16 > int16; int32 > int32; int64 > int64; int8 > int8; uint8 > uint8
CONCATENATION: version 1; version 2; version 3
CONV_2D: float32 > float32; float32, int8, float32 > float32; float32, int8/channel, float32 > float32
CONV_2D: int16, int8, int64 > int16; int16, int8/channel, int64 > int16; int8, int32 > int8
CONV_2D: int8, int8/channel, int32 > int8; version 1; version 2; version 3; version 4; version 5
CONV_3D: float32 > float32; version 1
COS: float32 > float32; version 1
CUMSUM: float32, int32 > float32; int32 > int32; version 1
DEPTHWISE_CONV_2D: float32 > float32; float32, int8/channel, float32 > float32; int16, int8, int64 > int16
DEPTHWISE_CONV_2D: int16, int8/channel, int64 > int16; int8, int32 > int8; int8, int8/channel, int32 > int8; version 1
DEPTHWISE_CONV_2D: version 2; version 3; version 4; version 5; version 6
DEPTH_TO_SPACE: float32 > float32; int32 > int32; int64 > int64; int8 > int8; uint8 > uint8; version 1; version 2
DEQUANTIZE: float16 > float32; int16 > float32; int8 > float32; uint8 > float32
DIV: float32 > float32; int32 > int32; uint8 > uint8; version 1; version 2
ELU: float32 > float32; int8 > int8; version 1
EMBEDDING_LOOKUP: int32, float32 > float32; int32, int8 > float32; version 1; version 2; version 3
EQUAL: bool > bool; int32 > bool; int64 > bool; int8 > bool; uint8 > bool; version 1; version 2; version 3
EXP: float32 > float32; version 1
EXPAND_DIMS: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
EXPAND_DIMS: uint8, int32 > uint8; version 1
FAKE_QUANT: float32 > float32; version 1; version 2
FILL: int32 > int32; int32, bool > bool; int32, float32 > float32; int32, int16 > int16; int32, int64 > int64
FILL: int32, int8 > int8; version 1; version 2; version 3
FLOOR: float32 > float32; version 1
FLOOR_DIV: float32 > float32; int32 > int32; version 1; version 2
FLOOR_MOD: float32 > float32; int32 > int32; int64 > int64; version 1
FULLY_CONNECTED: float32 > float32; float32, int8 > float32; float32, int8, float32 > float32; int16, int8 > int16
FULLY_CONNECTED: int16, int8, int64 > int16; int8 > int8; int8, int32 > int8; version 1; version 2; version 3; version 4
FULLY_CONNECTED: version 5; version 6; version 7; version 8; version 9
GATHER: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
GATHER: uint8, int32 > uint8; version 1; version 2; version 3; version 4; version 5
GATHER_ND: float32, int32 > float32; version 1; version 2; version 3
GREATER: float32 > bool; int32 > bool; int64 > bool; int8 > bool; uint8 > bool; version 1; version 2
GREATER_EQUAL: float32 > bool; int32 > bool; int64 > bool; int8 > bool; uint8 > bool; version 1; version 2
HARD_SWISH: float32 > float32; int8 > int8; uint8 > uint8; version 1
IF: bool, float32 > float32; version 1
L2_NORMALIZATION: float32 > float32; int8 > int8; uint8 > uint8; version 1; version 2
L2_POOL_2D: float32 > float32; version 1
LEAKY_RELU: float32 > float32; int16 > int16; int8 > int8; uint8 > uint8; version 1; version 2
LESS: float32 > bool; int32 > bool; int64 > bool; int8 > bool; uint8 > bool; version 1; version 2
LESS_EQUAL: float32 > bool; int32 > bool; int64 > bool; int8 > bool; uint8 > bool; version 1; version 2
LOCAL_RESPONSE_NORMALIZATION: float32 > float32; version 1
LOG: float32 > float32; version 1
LOGICAL_AND: bool > bool; version 1
LOGICAL_NOT: bool > bool; version 1
LOGICAL_OR: bool > bool; version 1
LOGISTIC: float32 > float32; int16 > int16; int8 > int8; uint8 > uint8; version 1; version 2; version 3
LOG_SOFTMAX: float32 > float32; int8 > int8; uint8 > uint8; version 1; version 2
MATRIX_DIAG: float32 > float32; version 1
MATRIX_SET_DIAG: float32 > float32; version 1
MAXIMUM: float32 > float32; int16 > int16; int32 > int32; int64 > int64; int8 > int8; uint8 > uint8; version 1
MAXIMUM: version 2; version 3; version 4
MAX_POOL_2D: float32 > float32; int16 > int16; int8 > int8; uint8 > uint8; version 1; version 2; version 3
MEAN: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
MEAN: uint8, int32 > uint8; version 1; version 2; version 3
MINIMUM: float32 > float32; int16 > int16; int32 > int32; int64 > int64; int8 > int8; uint8 > uint8; version 1
MINIMUM: version 2; version 3; version 4
MIRROR_PAD: float32, int32 > float32; int32 > int32; int64, int32 > int64; int8, int32 > int8; uint8, int32 > uint8
MIRROR_PAD: version 1; version 2
MUL: float32 > float32; int16 > int16; int32 > int32; int8 > int8; uint8 > uint8; version 1; version 2; version 3
MUL: version 4
NEG: float32 > float32; int32 > int32; int64 > int64; version 1
NOT_EQUAL: bool > bool; int32 > bool; int64 > bool; int8 > bool; uint8 > bool; version 1; version 2; version 3
ONE_HOT: int32 > int32; int32, float32 > float32; version 1
PACK: float32 > float32; int16 > int16; int32 > int32; int64 > int64; int8 > int8; uint8 > uint8; version 1; version 2
PACK: version 3
PAD: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
PAD: uint8, int32 > uint8; version 1; version 2; version 3
PADV2: float32, int32, float32 > float32; int32 > int32; int8, int32, int8 > int8; uint8, int32, uint8 > uint8
PADV2: version 1; version 2; version 3
POW: float32 > float32; int32 > int32; version 1
PRELU: float32 > float32; int8 > int8; uint8 > uint8; version 1
QUANTIZE: float32 > int16; float32 > int8; float32 > uint8; int16 > int16; int16 > int32; int16 > int8; int8 > int8
QUANTIZE: int8 > uint8; uint8 > int8; version 1; version 2
RANK: float32 > int32; version 1
REDUCE_ANY: bool, int32 > bool; version 1
REDUCE_MAX: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
REDUCE_MAX: uint8, int32 > uint8; version 1; version 2; version 3
REDUCE_MIN: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
REDUCE_MIN: uint8, int32 > uint8; version 1; version 2; version 3
REDUCE_PROD: float32, int32 > float32; int64, int32 > int64; version 1
RELU: float32 > float32; int16 > int16; int8 > int8; uint8 > uint8; version 1; version 2; version 3
RELU6: float32 > float32; int16 > int16; int8 > int8; uint8 > uint8; version 1; version 2; version 3
RELU_N1_TO_1: float32 > float32; int8 > int8; uint8 > uint8; version 1
RESHAPE: bool, int32 > bool; float32 > float32; float32, int32 > float32; int16, int32 > int16; int32 > int32
RESHAPE: int64, int32 > int64; int8, int32 > int8; uint8, int32 > uint8; version 1
RESIZE_BILINEAR: float32, int32 > float32; int16, int32 > int16; int8, int32 > int8; uint8, int32 > uint8; version 1
RESIZE_BILINEAR: version 2; version 3; version 4
RESIZE_NEAREST_NEIGHBOR: float32, int32 > float32; int16, int32 > int16; int8, int32 > int8; uint8, int32 > uint8
RESIZE_NEAREST_NEIGHBOR: version 1; version 2; version 3; version 4
REVERSE_SEQUENCE: float32, int32 > float32; version 1
REVERSE_V2: float32, int32 > float32; int16, int32 > int16; int8, int32 > int8; uint8, int32 > uint8; version 1
REVERSE_V2: version 2; version 3
ROUND: float32 > float32; version 1
RSQRT: float32 > float32; int8 > int8; version 1; version 2
SCATTER_ND: int32 > int32; int32, float32, int32 > float32; int32, int64, int32 > int64; int32, int8, int32 > int8
SCATTER_ND: int32, uint8, int32 > uint8; version 1
SEGMENT_SUM: float32, int32 > float32; version 1
SELECT: bool, float32 > float32; bool, int16 > int16; bool, int32 > int32; bool, int64 > int64; bool, int8 > int8
SELECT: bool, uint8 > uint8; version 1; version 2
SELECT_V2: bool, float32 > float32; bool, int32 > int32; bool, int64 > int64; bool, int8 > int8; bool, uint8 > uint8
SELECT_V2: version 1
SHAPE: float32 > int32; version 1
SIN: float32 > float32; version 1
SLICE: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
SLICE: uint8, int32 > uint8; version 1; version 2; version 3; version 4; version 5
SOFTMAX: float32 > float32; int16 > int16; int8 > int8; uint8 > uint8; version 1; version 2; version 3
SPACE_TO_BATCH_ND: float32, int32 > float32; int32 > int32; int64, int32 > int64; int8, int32 > int8
SPACE_TO_BATCH_ND: uint8, int32 > uint8; version 1; version 2; version 3
SPACE_TO_DEPTH: float32 > float32; int32 > int32; int64 > int64; int8 > int8; uint8 > uint8; version 1; version 2
SPLIT: int32 > int32; int32, float32 > float32; int32, int16 > int16; int32, int8 > int8; int32, uint8 > uint8
SPLIT: version 1; version 2; version 3; version 4
SPLIT_V: float32, int32 > float32; int16, int32 > int16; int32 > int32; int8, int32 > int8; version 1; version 2
SQRT: float32 > float32; version 1
SQUARE: float32 > float32; version 1
SQUARED_DIFFERENCE: float32 > float32; int32 > int32; int8 > int8; version 1; version 2
SQUEEZE: float32 > float32; int16 > int16; int32 > int32; int64 > int64; int8 > int8; uint8 > uint8; version 1
SQUEEZE: version 2
STRIDED_SLICE: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
STRIDED_SLICE: uint8, int32 > uint8; version 1; version 2; version 3; version 4; version 5
SUB: float32 > float32; int16 > int16; int32 > int32; int64 > int64; int8 > int8; uint8 > uint8; version 1; version 2
SUB: version 3; version 4; version 5
SUM: float32, int32 > float32; int32 > int32; int64, int32 > int64; version 1; version 2
TANH: float32 > float32; int16 > int16; int8 > int8; version 1; version 2; version 3
TILE: float32, int32 > float32; int32 > int32; int64, int32 > int64; uint8, int32 > uint8; version 1; version 2
TOPK_V2: float32, int32 > float32, int32; int32 > int32; int64, int32 > int64, int32; int8, int32 > int8, int32
TOPK_V2: uint8, int32 > uint8, int32; version 1; version 2
TRANSPOSE: float32, int32 > float32; int16, int32 > int16; int32 > int32; int64, int32 > int64; int8, int32 > int8
TRANSPOSE: uint8, int32 > uint8; version 1; version 2; version 3; version 4; version 5
TRANSPOSE_CONV: int32, float32 > float32; int32, int8 > int8; int32, int8, int16 > int16
TRANSPOSE_CONV: int32, int8, int16, int64 > int16; int32, int8, int32 > int8; int32, int8/channel, int16 > int16
TRANSPOSE_CONV: int32, int8/channel, int16, int64 > int16; int32, int8/channel, int8 > int8
TRANSPOSE_CONV: int32, int8/channel, int8, int32 > int8
UNIDIRECTIONAL_SEQUENCE_LSTM: float32 > float32; version 1
UNPACK: float32 > float32; int16 > int16; int32 > int32; int8 > int8; uint8 > uint8; version 1; version 2; version 3
UNPACK: version 4
WHERE: bool > int64; version 1
WHILE: int32, float32 > int32, float32; version 1
ZEROS_LIKE: float32 > float32; int32 > int32; int64 > int64; version 1
file: free sizes
= wwRRRRRRRRRRRRRRR
DEQUANTIZE: int8/channel > float32
REDUCE_PROD: int16, int32 > int16; int8, int32 > int8
= wwwwRRRRRRRRRRRRR
FULLY_CONNECTED: int16, int8, int32 > int16
= wwwwwRRRRRRRRRRRR
FULLY_CONNECTED: int16, int8/channel > int16; int16, int8/channel, int32 > int16; int16, int8/channel, int64 > int16
FULLY_CONNECTED: int8, int8/channel > int8; int8, int8/channel, int32 > int8
= wwwwwwwwwRRRRRRRR
SUM: int8, int32 > int8; uint8, int32 > uint8
= wwwwwwwwwwwRRRRRR
FULLY_CONNECTED: float32, int8/channel > float32; float32, int8/channel, float32 > float32
= wwwwwwwwwwwwRRRRR
BATCH_MATMUL: float32, int8/channel > float32
= wwwwwwwwwwwwwRRRR
EMBEDDING_LOOKUP: int32, int8/channel > float32
= wwwwwwwwwwwwwwwRR
SUM: int16, int32 > int16
"""
