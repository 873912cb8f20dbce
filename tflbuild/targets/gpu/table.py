"""The operators that LiteRT's GPU delegate runs correctly, as measured with the real delegate, one operator at a time.

Models of one operator (tests/one_op_cases.py, one_op_edges.py) were compiled and run, and the results were compared
with those of the CPU. What was neither measured nor published has no row. The delegate accepts some operators that it
then computes wrongly, or that end the app's process. These count as not supported, and their rules say so.
"""

from __future__ import annotations

from tflbuild.targets.common.rules import (
    OperatorSupport,
    SupportRule,
    SupportTable,
    constant,
    option,
    row,
    rows,
    type_of,
)
from tflbuild.targets.gpu.option_rules import (
    BEGIN,
    BLOCK,
    COMPUTED,
    FRONT,
    INDICES,
    PIECES,
    RESCALED,
    SAME_TYPES,
    SEVERAL,
    TURNED,
)
from tflbuild.targets.gpu.rules import (
    ALL,
    ALPHA,
    AXES,
    BIAS,
    CRASH,
    FLOAT,
    FLOAT_FIX,
    FOURS,
    FUSED,
    GROUPS,
    ONE_IMAGE,
    PADDED,
    QUANTIZED,
    RANK,
    ROWS,
    SCALARS,
    SCALE,
    STATELESS,
    UNPACKED,
    UNPACKING,
    WIDE,
    WRONG,
    binary,
    castable,
    computed,
    dequantizable,
    each_dimension,
    fixed,
    flag_off,
    forward,
    is_stored,
    not_first_axis,
    one_dimension,
    output,
    ranked,
    same_batches,
    shallow,
)

TYPES = type_of(0, *QUANTIZED, fix=FLOAT_FIX)
CLAMPS = ("RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "ELU", "GELU")
CURVES = ("LOGISTIC", "TANH", "EXP", "LOG", "SQRT", "RSQRT")

ELEMENTWISE: dict[str, OperatorSupport] = {
    **rows((*CLAMPS, *CURVES), TYPES, SAME_TYPES),
    **rows(("SIN", "COS", "FLOOR", "CEIL", "ROUND", "SQUARE"), type_of(0, *FLOAT)),
    **rows(("ABS", "NEG"), type_of(0, *ALL)),
    "SIGN": row(type_of(0, "float32", "int32")),
    "LEAKY_RELU": row(
        TYPES, SupportRule(f"the slope is at most 1 ({WRONG})", shallow, "write it with MAXIMUM and MINIMUM")
    ),
    "PRELU": row(TYPES, SupportRule("alpha is constant", lambda view: is_stored(view, 1)), ALPHA),
}
BINARY: dict[str, OperatorSupport] = {
    **{name: binary(*ALL) for name in ("ADD", "SUB", "MAXIMUM", "MINIMUM")},
    **{name: binary(*WIDE) for name in ("MUL", "DIV", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")},
    **{name: binary(*WIDE, "bool") for name in ("EQUAL", "NOT_EQUAL")},
    **{name: binary("float32") for name in ("POW", "ATAN2")},
    "SQUARED_DIFFERENCE": binary(*QUANTIZED),
    "FLOOR_DIV": binary("float32", "int32", "int16"),
    "FLOOR_MOD": binary("float32", "int8", "int32", "int16"),
    "RIGHT_SHIFT": binary("int32"),
    "ADD_N": row(
        type_of(0, "float32"), SupportRule("it has two inputs", lambda view: len(view.inputs) == 2, "ADDs of two")
    ),
    **rows(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"), type_of(0, "bool"), SCALARS, COMPUTED),
}
WEIGHTED: dict[str, OperatorSupport] = {
    "CONV_2D": row(TYPES, GROUPS, FUSED, BIAS),
    "DEPTHWISE_CONV_2D": row(TYPES, FUSED, BIAS),
    "TRANSPOSE_CONV": row(
        constant(0, "the output's shape"),
        type_of(2, *QUANTIZED, fix=FLOAT_FIX),
        FUSED,
        SupportRule(
            "its version is at most 3", lambda view: view.op.version <= 3, "keep its activation from being fused"
        ),
    ),
    "FULLY_CONNECTED": row(TYPES, ROWS, UNPACKED, FUSED, BIAS),
    "BATCH_MATMUL": row(
        type_of(0, "float32", "int8", fix=FLOAT_FIX),
        computed(0, "the first input is", "swap and transpose"),
        SupportRule(f"both inputs have the same batches ({WRONG})", same_batches, "repeat the smaller one: TILE"),
    ),
    "EMBEDDING_LOOKUP": row(
        computed(0, "the indices are", else_=CRASH), type_of(1, "float32", fix=f"leave the table float ({WRONG})")
    ),
}
REDUCTIONS: dict[str, OperatorSupport] = {
    "MEAN": row(TYPES, AXES),
    **rows(("SUM", "REDUCE_MAX", "REDUCE_MIN"), type_of(0, *ALL), AXES),
    "REDUCE_PROD": row(type_of(0, "float32", "int32", fix=f"leave it float ({WRONG} where it overflows)"), AXES),
    **rows(("REDUCE_ANY", "REDUCE_ALL"), type_of(0, "bool"), AXES),
    "ARG_MAX": row(TYPES, AXES, FOURS, output("int32", fix="output_type=tf.int32")),
    "CUMSUM": row(
        type_of(0, "float32"),
        AXES,
        FRONT,
        SupportRule(f"the axis is not the first ({WRONG})", not_first_axis, "put a dimension of 1 before it"),
        flag_off("exclusive", f"it is not exclusive ({WRONG})", "subtract the input after it"),
        flag_off("reverse", f"it is not reverse ({WRONG})", "reverse before and after it"),
    ),
    "SOFTMAX": row(
        TYPES,
        option("beta", "beta", 1, 1, "multiply by it before"),
        ranked(2, 4, f"the input has at least 2 dimensions ({WRONG})", "reshape to [1, n] before it"),
    ),
    "TOPK_V2": row(type_of(0, *QUANTIZED), FOURS),
    **rows(("AVERAGE_POOL_2D", "MAX_POOL_2D"), TYPES, FUSED, RESCALED),
}
SHAPES: dict[str, OperatorSupport] = {
    "RESHAPE": row(type_of(0, *ALL, "bool")),
    "CONCATENATION": row(type_of(0, *ALL, "bool"), SEVERAL),
    **rows(("PACK", "TILE"), type_of(0, *ALL)),
    "TRANSPOSE": row(type_of(0, *ALL), TURNED),
    "REVERSE_V2": row(type_of(0, *ALL), FOURS),
    "SPLIT": row(type_of(1, *QUANTIZED), PIECES),
    **rows(("SPLIT_V", "UNPACK"), type_of(0, *QUANTIZED)),
    "PAD": row(type_of(0, *QUANTIZED, fix=f"pad in float ({WRONG}: its shader does not compile)"), *PADDED),
    "PADV2": row(type_of(0, *QUANTIZED, fix=f"pad in float ({CRASH})"), *PADDED),
    "MIRROR_PAD": row(
        type_of(0, *QUANTIZED),
        *PADDED[:2],
        SupportRule("its mode is REFLECT", lambda view: view.option("mode") == 0, "mode REFLECT"),
    ),
    "STRIDED_SLICE": row(
        type_of(0, *ALL),
        *(fixed(place, what) for place, what in ((1, "the begin"), (2, "the end"), (3, "the step"))),
        flag_off("shrinkAxisMask", "no axis is dropped", "x[:, 0:1] and a reshape, instead of x[:, 0]"),
        flag_off("newAxisMask", "no axis is added", "reshape instead"),
        flag_off("ellipsisMask", "there is no ellipsis", "write every dimension"),
        SupportRule("every dimension is written", each_dimension, "write every dimension"),
        SupportRule("steps go forward", forward, "use a reverse"),
    ),
    "SLICE": row(type_of(0, *ALL), constant(1, "the begin"), constant(2, "the size"), BEGIN),
    "GATHER": row(
        type_of(0, *ALL),
        SupportRule("the indices have one dimension", one_dimension, "flatten them, and reshape after it"),
        INDICES,
    ),
    **rows(("SPACE_TO_DEPTH", "DEPTH_TO_SPACE"), type_of(0, *QUANTIZED), BLOCK, ONE_IMAGE),
    **rows(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), type_of(0, *QUANTIZED), fixed(1, "the size")),
    **rows(("SELECT", "SELECT_V2"), type_of(1, *WIDE)),
    "ONE_HOT": row(output("float32", fix="dtype=tf.float32, and a cast after it")),
    "DYNAMIC_UPDATE_SLICE": row(
        type_of(0, "float32"),
        computed(2, "the start is", "join slices instead"),
        ranked(3, 4, f"the input has 3 or 4 dimensions ({WRONG})", "put a dimension of 1 before it"),
    ),
    "CAST": row(SupportRule("types are float32, float16, int8, uint8, int32 or bool", castable, "use int32 for int64")),
    "BITCAST": row(type_of(0, "float32"), output("int32")),
    "QUANTIZE": row(type_of(0, *QUANTIZED), output("int8", "uint8", fix="quantization=int8")),
    "DEQUANTIZE": row(SupportRule("the input is int8 or uint8, or stored float16", dequantizable), UNPACKING),
}
ABSENT = {
    "ARG_MIN": "ARG_MAX of the negated input",
    "BATCH_TO_SPACE_ND": "a convolution's own dilations: this is left where the converter could not fold them",
    "BITWISE_XOR": "",
    "BROADCAST_TO": "multiply by ones: elementwise operators broadcast by themselves",
    "CONV_3D": "2D convolutions over the depth, added",
    "CONV_3D_TRANSPOSE": "",
    "EXPAND_DIMS": "reshape instead: with fixed sizes (signature.batch) tf.reshape stays a RESHAPE",
    "FAKE_QUANT": "quantize the model: quantization=int8",
    "FILL": "a constant",
    "GATHER_ND": "GATHER along one axis",
    "L2_NORMALIZATION": "x * rsqrt(reduce_sum(x * x) + 1e-12): the converter does not fuse that",
    "L2_POOL_2D": "square, AVERAGE_POOL_2D, square root",
    "LOCAL_RESPONSE_NORMALIZATION": "",
    "LOG_SOFTMAX": "log(softmax(x)), or leave it to the app",
    "MATRIX_DIAG": "",
    "MATRIX_SET_DIAG": "",
    "RANK": "fixed sizes make it a constant: signature.batch=1",
    "RELU_0_TO_1": "RELU and MINIMUM",
    "REVERSE_SEQUENCE": "REVERSE_V2 where all sequences are as long",
    "SCATTER_ND": "",
    "SEGMENT_SUM": "a matrix product with a constant of 0 and 1",
    "SHAPE": "fixed sizes make it a constant: signature.batch=1",
    "SPACE_TO_BATCH_ND": "a convolution's own dilations: this is left where the converter could not fold them",
    "SQUEEZE": "reshape instead: with fixed sizes (signature.batch) tf.reshape stays a RESHAPE",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "unroll=True in Keras: LiteRT loads no file with state for the GPU",
    "WHERE": "its result has no fixed size: SELECT_V2, or leave it to the app",
    "WHILE": "unroll the loop (unroll=True in Keras)",
    "ZEROS_LIKE": "multiply by 0",
}

TABLE = SupportTable(
    name="gpu",
    title="LiteRT's GPU delegate",
    source="measured on ai-edge-litert 2.3.0's own delegate (WebGPU), model of one operator by model",
    rows={**ELEMENTWISE, **BINARY, **WEIGHTED, **REDUCTIONS, **SHAPES},
    everywhere=(RANK, SCALE, STATELESS),
    complete=False,
    absent=tuple(ABSENT),
    most=1,
    checked="ai-edge-litert 2.3.0's own delegate on a software Vulkan device (SwiftShader), results against the CPU's",
    fixes={name: fix for name, fix in ABSENT.items() if fix},
)
