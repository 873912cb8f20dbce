"""What LiteRT's GPU delegate takes and computes rightly: measured, one operator at a time, on the real delegate.

Each rule was found by compiling and running models of one operator (tests/one_op_cases.py, one_op_edges.py) and holding
the results against the CPU's; what was neither measured nor is published has no row. The delegate takes some operators
that it then computes wrongly, or ends the app's process over: those count as not taken, and their rules say so.
"""

from __future__ import annotations

from math import prod

from tflbuild.core.model import Tensor
from tflbuild.targets.rules import Row, Rule, Table, View, constant, option, row, rows, type_of

FLOAT, QUANTIZED = ("float32",), ("float32", "int8", "uint8")
WIDE = (*QUANTIZED, "int32")
ALL = (*WIDE, "int16")
WRONG = "the delegate takes others too, with wrong results and no message"
CRASH = "others end the app's process"
FLOAT_FIX = "leave the operator float, or quantize it to 8 bits"
RANK_FIX = "reshape to 4 dimensions or fewer before it and back after"


def _few_dimensions(view: View) -> bool:
    return all(len(one.shape) <= 4 for one in view.moving)


def _one_scale(view: View) -> bool:
    return len({one.scales for one in view.moving if one.type == "int16" and one.scales}) <= 1


EVERYWHERE = (
    Rule("activations have at most 4 dimensions", _few_dimensions, RANK_FIX),
    Rule(
        f"16-bit activations share one scale ({WRONG})", _one_scale, "quantize to 8 bits for the GPU: quantization=int8"
    ),
)


def _fused(view: View) -> bool:
    return view.op.activation in ("", "RELU", "RELU6", "RELU_N1_TO_1")


FUSED = Rule(
    f"fused activation is none, RELU, RELU6 or RELU_N1_TO_1 ({WRONG})",
    _fused,
    "write the activation so that it is not fused: an identity the converter keeps, or another activation",
)


def _no_moving_scalar(view: View) -> bool:
    return all(one is None or one.constant or len(one.shape) > 0 for one in view.inputs)


def _no_stored_vector(view: View) -> bool:
    stored = [one for one in view.inputs if one is not None and one.constant and one.type == "int32"]
    return all(len(one.shape) != 1 or one.elements == 1 for one in stored)


SCALARS = Rule(
    "no input is a scalar that is computed while the model runs", _no_moving_scalar, "give it a shape of [1]"
)
VECTORS = Rule(
    f"no stored int32 input is a vector ({WRONG}: its shader does not compile)",
    _no_stored_vector,
    "store it in the full shape, or compute in float",
)


def _batch(sizes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    lead = sizes[:-2]
    return (1,) * (rank - 2 - len(lead)) + lead


def _same_batches(view: View) -> bool | None:
    first, second = view.input(0), view.input(1)
    if first is None or second is None:
        return None
    if second.constant and len(second.shape) == 2:
        return True
    most = max(len(first.shape), len(second.shape))
    return _batch(first.shape, most) == _batch(second.shape, most)


def _columns(view: View) -> bool | None:
    given, kernel = view.input(0), view.input(1)
    if given is None or kernel is None:
        return None
    return len(given.shape) >= 2 and given.shape[-1] == kernel.shape[-1]


def _no_groups(view: View) -> bool | None:
    given, kernel = view.input(0), view.input(1)
    return None if given is None or kernel is None else kernel.shape[-1] == given.shape[-1]


def _values(tensor: Tensor | None) -> tuple[int, ...] | None:
    """What a stored parameter says; None where that is not known."""
    return tuple(tensor.values) if tensor is not None and tensor.constant and tensor.values else None


def _not_first_axis(view: View) -> bool | None:
    given, axis = view.input(0), _values(view.input(1))
    return None if given is None or axis is None else axis[0] % max(1, len(given.shape)) != 0


def _batch_unpadded(view: View) -> bool | None:
    borders = _values(view.input(1))
    return None if borders is None else borders[:2] == (0, 0)


def _batch_is_one(view: View) -> bool | None:
    given = view.input(0)
    return None if given is None or not given.shape else given.shape[0] == 1


def _forward(view: View) -> bool | None:
    steps = _values(view.input(3))
    return None if steps is None else all(step > 0 for step in steps)


def _each_dimension(view: View) -> bool | None:
    given, begin = view.input(0), view.input(1)
    return None if given is None or begin is None else prod(begin.shape) == len(given.shape)


def _alpha(view: View) -> bool | None:
    given, alpha = view.input(0), view.input(1)
    if given is None or alpha is None or not given.shape:
        return None
    if not alpha.shape or alpha.shape[-1] != given.shape[-1]:
        return False
    lead = alpha.shape[:-1]
    return all(size == 1 for size in lead) or lead == given.shape[-len(alpha.shape) : -1]


def _output(*types: str, fix: str = "") -> Rule:
    text = types[0] if len(types) == 1 else f"{', '.join(types[:-1])} or {types[-1]}"
    return Rule(f"output is {text}", lambda view: all(one.type in types for one in view.outputs[:1]), fix)


def _flag_off(name: str, what: str, fix: str = "") -> Rule:
    return Rule(what, lambda view: not view.option(name), fix)


def _stored_or_float(view: View) -> bool | None:
    given = view.input(0)
    return None if given is None else given.type in ("int8", "uint8") or (given.type == "float16" and given.constant)


def _cast(view: View) -> bool:
    return all(one.type in ("float32", "float16", "int8", "uint8", "int32", "bool") for one in view.moving)


def _least(rank: int, text: str) -> Rule:
    def holds(view: View) -> bool | None:
        given = view.input(0)
        return None if given is None else len(given.shape) >= rank

    return Rule(text, holds, "reshape it to [1, n] before")


def _binary(*types: str) -> Row:
    return row(type_of(0, *types, fix=FLOAT_FIX), FUSED, SCALARS, VECTORS)


BIAS = constant(2, f"the bias ({CRASH})", "add a computed bias with an ADD of its own")
AXES = constant(1, "the axis", "make it a constant of the model")
REDUCED = (type_of(0, *ALL), AXES)
GROUPS = Rule(
    f"each filter sees every input channel: no groups ({WRONG}: zeros)",
    _no_groups,
    "split the channels and join them again",
)
RANK_PADDED = Rule(
    "the input has 3 or 4 dimensions",
    lambda view: 3 <= len(view.inputs[0].shape if view.inputs and view.inputs[0] else ()) <= 4,
    "reshape to 4 dimensions before it",
)
PADDED = (
    constant(1, "the paddings"),
    RANK_PADDED,
    Rule(f"the first dimension is not padded ({WRONG})", _batch_unpadded, "concatenate zeros along the batch"),
)
ONE_IMAGE = Rule(f"the batch is 1 ({WRONG}: its shader does not compile)", _batch_is_one, "batch 1: signature.batch=1")

ELEMENTWISE: dict[str, Row] = {
    **rows(
        (
            "RELU",
            "RELU6",
            "RELU_N1_TO_1",
            "LOGISTIC",
            "TANH",
            "HARD_SWISH",
            "ELU",
            "EXP",
            "LOG",
            "SQRT",
            "RSQRT",
            "GELU",
        ),
        type_of(0, *QUANTIZED, fix=FLOAT_FIX),
    ),
    **rows(("SIN", "COS", "FLOOR", "CEIL", "ROUND", "SQUARE"), type_of(0, *FLOAT)),
    **rows(("ABS", "NEG"), type_of(0, *ALL)),
    "SIGN": row(type_of(0, "float32", "int32")),
    "LEAKY_RELU": row(
        type_of(0, *QUANTIZED, fix=FLOAT_FIX),
        Rule(
            f"the slope is at most 1 ({WRONG})",
            lambda view: None if view.option("alpha") is None else view.option("alpha") <= 1,
            "write it as MAXIMUM and MINIMUM",
        ),
    ),
    "PRELU": row(
        type_of(0, *QUANTIZED, fix=FLOAT_FIX),
        constant(1, "alpha"),
        Rule(
            "alpha has one value a channel, or one an element",
            _alpha,
            "spread alpha over the channels: shared_axes=[1, 2]",
        ),
    ),
}
BINARY: dict[str, Row] = {
    **{name: _binary(*ALL) for name in ("ADD", "SUB", "MAXIMUM", "MINIMUM")},
    **{name: _binary(*WIDE) for name in ("MUL", "DIV")},
    "SQUARED_DIFFERENCE": _binary(*QUANTIZED),
    "POW": _binary("float32"),
    "ATAN2": _binary("float32"),
    "FLOOR_DIV": _binary("float32", "int32", "int16"),
    "FLOOR_MOD": _binary("float32", "int8", "int32", "int16"),
    "RIGHT_SHIFT": _binary("int32"),
    **{name: _binary(*WIDE, "bool") for name in ("EQUAL", "NOT_EQUAL")},
    **{name: _binary(*WIDE) for name in ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")},
    **rows(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"), type_of(0, "bool"), SCALARS),
}
WEIGHTED: dict[str, Row] = {
    "CONV_2D": row(type_of(0, *QUANTIZED, fix=FLOAT_FIX), GROUPS, FUSED, BIAS),
    "DEPTHWISE_CONV_2D": row(type_of(0, *QUANTIZED, fix=FLOAT_FIX), FUSED, BIAS),
    "TRANSPOSE_CONV": row(
        constant(0, "the output's shape"),
        type_of(2, *QUANTIZED, fix=FLOAT_FIX),
        FUSED,
        Rule("its version is at most 3", lambda view: view.op.version <= 3, "do not fuse an activation into it"),
    ),
    "FULLY_CONNECTED": row(
        type_of(0, *QUANTIZED, fix=FLOAT_FIX),
        Rule(
            f"the input's last dimension is as long as a row of weights ({WRONG})",
            _columns,
            "flatten with a Reshape of its own before the Dense",
        ),
        FUSED,
        BIAS,
    ),
    "BATCH_MATMUL": row(
        type_of(0, "float32", "int8", fix=FLOAT_FIX),
        Rule(
            "the first input is computed",
            lambda view: not (view.inputs[0] and view.inputs[0].constant),
            "swap and transpose",
        ),
        Rule(
            f"both inputs have the same batches ({WRONG})",
            _same_batches,
            "repeat the smaller one with a TILE before it",
        ),
    ),
    "EMBEDDING_LOOKUP": row(
        Rule(f"the indices are computed ({CRASH})", lambda view: not (view.inputs[0] and view.inputs[0].constant)),
        type_of(1, "float32", fix=f"leave the table float ({WRONG})"),
    ),
}
REDUCTIONS: dict[str, Row] = {
    "MEAN": row(type_of(0, *QUANTIZED, fix=FLOAT_FIX), AXES),
    **rows(("SUM", "REDUCE_MAX", "REDUCE_MIN"), *REDUCED),
    "REDUCE_PROD": row(type_of(0, "float32", "int32", fix=f"leave it float ({WRONG} where it overflows)"), AXES),
    **rows(("REDUCE_ANY", "REDUCE_ALL"), type_of(0, "bool"), AXES),
    "ARG_MAX": row(type_of(0, *QUANTIZED), AXES, _output("int32", fix="output_type=tf.int32")),
    "CUMSUM": row(
        type_of(0, "float32"),
        AXES,
        Rule(f"the axis is not the first ({WRONG})", _not_first_axis, "put a dimension of 1 before it"),
        _flag_off("exclusive", f"it is not exclusive ({WRONG})", "subtract the input after it"),
        _flag_off("reverse", f"it is not reverse ({WRONG})", "reverse before and after it"),
    ),
    "SOFTMAX": row(
        type_of(0, *QUANTIZED, fix=FLOAT_FIX),
        option("beta", "beta", 1, 1, "multiply by it before"),
        _least(2, f"the input has at least 2 dimensions ({WRONG})"),
    ),
    "TOPK_V2": row(type_of(0, *QUANTIZED)),
    **rows(("AVERAGE_POOL_2D", "MAX_POOL_2D"), type_of(0, *QUANTIZED, fix=FLOAT_FIX), FUSED),
}
SHAPES: dict[str, Row] = {
    **rows(("RESHAPE", "CONCATENATION"), type_of(0, *ALL, "bool")),
    **rows(("PACK", "TILE", "REVERSE_V2"), type_of(0, *ALL)),
    "TRANSPOSE": row(type_of(0, *ALL)),
    "SPLIT": row(type_of(1, *QUANTIZED)),
    **rows(("SPLIT_V", "UNPACK"), type_of(0, *QUANTIZED)),
    "PAD": row(type_of(0, *QUANTIZED, fix=f"pad in float ({WRONG}: its shader does not compile)"), *PADDED),
    "PADV2": row(type_of(0, *QUANTIZED, fix=f"pad in float ({CRASH})"), *PADDED),
    "MIRROR_PAD": row(
        type_of(0, *QUANTIZED),
        constant(1, "the paddings"),
        RANK_PADDED,
        Rule(
            "its mode is REFLECT", lambda view: view.option("mode") == 0, "mode REFLECT, or join slices of the border"
        ),
    ),
    "STRIDED_SLICE": row(
        type_of(0, *ALL),
        *(constant(place, what) for place, what in ((1, "the begin"), (2, "the end"), (3, "the step"))),
        _flag_off(
            "shrinkAxisMask", "no axis is dropped", "slice with begin:end and reshape after it: x[:, 0:1], not x[:, 0]"
        ),
        _flag_off("newAxisMask", "no axis is added", "reshape instead"),
        _flag_off("ellipsisMask", "there is no ellipsis", "write every dimension"),
        Rule("every dimension is written", _each_dimension, "write every dimension"),
        Rule("steps go forward", _forward, "use a reverse"),
    ),
    "SLICE": row(type_of(0, *ALL), constant(1, "the begin"), constant(2, "the size")),
    "GATHER": row(
        type_of(0, *ALL),
        Rule(
            "the indices have one dimension",
            lambda view: len(view.inputs[1].shape) == 1 if len(view.inputs) > 1 and view.inputs[1] else None,
            "flatten the indices and reshape after it",
        ),
    ),
    **rows(("SPACE_TO_DEPTH", "DEPTH_TO_SPACE"), type_of(0, *QUANTIZED), ONE_IMAGE),
    **rows(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), type_of(0, *QUANTIZED), constant(1, "the size")),
    **rows(("SELECT", "SELECT_V2"), type_of(1, *WIDE)),
    "ONE_HOT": row(_output("float32", fix="dtype=tf.float32, and a cast after it")),
    "DYNAMIC_UPDATE_SLICE": row(
        Rule(
            "the start is computed",
            lambda view: not (view.inputs[2] and view.inputs[2].constant),
            "join slices instead",
        )
    ),
    "CAST": row(Rule("types are float32, float16, int8, uint8, int32 or bool", _cast, "use int32 for int64")),
    "BITCAST": row(type_of(0, "float32"), _output("int32")),
    "QUANTIZE": row(type_of(0, *QUANTIZED), _output("int8", "uint8", fix="quantization=int8")),
    "DEQUANTIZE": row(Rule("the input is int8 or uint8, or stored float16", _stored_or_float)),
}
ABSENT = {
    "ADD_N": "write it as ADDs of two",
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
    "WHERE": "its result has no fixed size: SELECT_V2, or leave it to the app",
    "ZEROS_LIKE": "multiply by 0",
}

TABLE = Table(
    name="gpu",
    title="LiteRT's GPU delegate",
    source="ai-edge-litert 2.3.0, its WebGPU accelerator: every rule measured on models of one operator",
    rows={**ELEMENTWISE, **BINARY, **WEIGHTED, **REDUCTIONS, **SHAPES},
    everywhere=EVERYWHERE,
    complete=False,
    absent=tuple(ABSENT),
    most=1,
    checked="ai-edge-litert 2.3.0's own delegate on a software Vulkan device (SwiftShader), results against the CPU's",
    fixes={name: fix for name, fix in ABSENT.items() if fix},
)

# Cases of the one-operator models whose judgement by the table is not the delegate's, and why that is let stand.
DISAGREEMENTS: dict[str, str] = {}
