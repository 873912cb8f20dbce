"""Unexpected results of LiteRT's GPU delegate with models of one operator.

`tests/integration/test_gpu_agreement.py` repeats the runs and compares these lists with the results. Names are those of
the cases in tests/one_op_cases.py and tests/one_op_edges.py.
"""

from __future__ import annotations

VALUES = "other values"
ZEROS = "a shader that does not compile: zeros"

# what the delegate takes, and gives other results for than the CPU, without a word
SILENTLY_WRONG: dict[str, str] = {
    "MUL_int16": VALUES,
    "DIV_int16": VALUES,
    "FLOOR_DIV_int8": VALUES,
    "ADD_float32_tanh": VALUES,
    "ADD_int8_tanh": VALUES,
    "MUL_float32_tanh": VALUES,
    "MUL_int8_tanh": VALUES,
    "REDUCE_PROD_int8_hw": VALUES,
    "REDUCE_PROD_int16_channels": VALUES,
    "PAD_int16": ZEROS,
    "PAD_int32": ZEROS,
    "SOFTMAX_float32_rank1": VALUES,
    "SOFTMAX_int8_rank1": VALUES,
    "LEAKY_RELU_float32_slope2": VALUES,
    "ADD_int32_stored": ZEROS,
    "MUL_int32_stored": ZEROS,
    "SUB_int32_stored": ZEROS,
    "SUM_int16_wide": VALUES,
    "MAXIMUM_int32_stored": ZEROS,
    "MINIMUM_int32_stored": ZEROS,
    "FLOOR_DIV_int32_stored": ZEROS,
    "FLOOR_MOD_int32_stored": ZEROS,
    "DIV_int32_stored": ZEROS,
    "EQUAL_int32_stored": ZEROS,
    "LESS_int32_stored": ZEROS,
    "CONV_2D_float32_groups2": ZEROS,
    "CONV_2D_float32_tanh": VALUES,
    "CONV_2D_int8_groups2": ZEROS,
    "CONV_2D_int8_tanh": VALUES,
    "FULLY_CONNECTED_rank1": VALUES,
    "FULLY_CONNECTED_rank4_flattened": VALUES,
    "BATCH_MATMUL_float32_broadcast": VALUES,
    "BATCH_MATMUL_float32_lower_rank": VALUES,
    "FULLY_CONNECTED_rank2_split": VALUES,
    "FULLY_CONNECTED_rank3_joined": VALUES,
    "FULLY_CONNECTED_rank3_wide": VALUES,
    "FULLY_CONNECTED_int8_rank4_flattened": VALUES,
    "BATCH_MATMUL_float32_stored_broadcast": VALUES,
    "BATCH_MATMUL_float32_rank4_broadcast": VALUES,
    "BATCH_MATMUL_float32_first_broadcast": VALUES,
    "AVERAGE_POOL_2D_float32_tanh": VALUES,
    "AVERAGE_POOL_2D_int8_tanh": VALUES,
    "MAX_POOL_2D_float32_tanh": VALUES,
    "MAX_POOL_2D_int8_tanh": VALUES,
    "CUMSUM_float32_exclusive": VALUES,
    "CUMSUM_float32_reverse": VALUES,
    "CUMSUM_float32_batch": VALUES,
    "PAD_batch": VALUES,
    "SPACE_TO_DEPTH_batch2": ZEROS,
    "DEPTH_TO_SPACE_batch2": ZEROS,
    "PAD_rank3_batch": VALUES,
    "PADV2_batch": VALUES,
    "DEPTHWISE_CONV_2D_float32_tanh": VALUES,
    "EMBEDDING_LOOKUP_int8": VALUES,
    "DYNAMIC_UPDATE_SLICE_moving": VALUES,
    "ADD_uint8_tanh": VALUES,
    "MUL_uint8_tanh": VALUES,
    "SOFTMAX_uint8_rank1": VALUES,
    "ADD_stored_deeper": VALUES,
    "ARG_MAX_channels6_last": VALUES,
    "ARG_MAX_channels7_last": VALUES,
    "PAD_rank3_of_2": VALUES,
    "REVERSE_V2_channels6_last": VALUES,
    "REVERSE_V2_channels7_last": VALUES,
    "TOPK_V2_of7": VALUES,
    "TOPK_V2_of10": VALUES,
}

# what ends the process, with the signal
CRASHED: dict[str, str] = {
    "CONV_2D_float32_moving_bias": "SIGABRT",
    "FULLY_CONNECTED_moving_bias": "SIGABRT",
    "PADV2_int32": "SIGSEGV",
    "DEPTHWISE_CONV_2D_float32_moving_bias": "SIGABRT",
    "EMBEDDING_LOOKUP_stored": "SIGABRT",
}

# cases that the table judges otherwise than the delegate does, and why that is let stand
DISAGREEMENTS: dict[str, str] = {
    "REDUCE_PROD_int8_channels": "the product did not overflow here; where it does, the delegate's is another",
    "REDUCE_PROD_int16_hw": "the product did not overflow here; where it does, the delegate's is another",
}
