"""What TensorFlow Lite Micro takes: the operators that its resolver can register, and the types of their kernels.

From running a set of one-operator models with the package `tflite-micro`, whose resolver has them all. There is
nothing to leave an operator to: one without a kernel, and the model does not run.
"""

from __future__ import annotations

from tflbuild.targets.rules import Row, Rule, Table, View, activations, constant, rank, row, rows, type_of

FLOAT = "float32"
INT8_FIX = "quantization=int8"
FLOAT_FIX = "keep it in floats: quantization.rules, or quantization=none"
REAL = (FLOAT, "int8", "int16")
REAL_32 = (*REAL, "int32")


def tried(*types: str) -> Rule:
    """Of other types nothing is known."""

    def holds(view: View) -> bool | None:
        return True if all(one.type in types for one in view.moving) else None

    return Rule(f"activations are {' or '.join(types)}", holds)


def _untried(view: View) -> bool | None:
    return None


def _alike(view: View) -> bool:
    """Weights quantized where activations are, and only there."""
    image, kernel = view.input(0), view.input(1)
    return image is None or kernel is None or (image.type == FLOAT) == (kernel.type == FLOAT)


def _images(view: View) -> bool:
    """The last input of a transposed convolution is its image."""
    image, kernel = view.input(2), view.input(1)
    return image is None or kernel is None or (image.type == FLOAT) == (kernel.type == FLOAT)


def _same_scales(view: View) -> bool:
    tensors = [one for one in (*view.inputs, *view.outputs) if one is not None and one.type == "int8"]
    return len({(one.scales, one.zero_points) for one in tensors}) <= 1


def _arithmetic(view: View) -> bool:
    """8-bit and 16-bit sums need scales."""
    return all(one.scales for one in view.moving if one.type in ("int8", "int16"))


def _quantizes(view: View) -> bool:
    given, made = view.input(0), view.outputs[0]
    if given is None or given.type != FLOAT:
        return True
    return made.type in ("int8", "int16")


def _slopes(view: View) -> bool:
    image, slopes = view.input(0), view.input(1)
    if image is None or slopes is None:
        return True
    return slopes.type == FLOAT if image.type == FLOAT else slopes.type == "int8"


def _chosen(view: View) -> bool:
    """A selection's values, not its condition."""
    return all(one.type in REAL for one in view.outputs)


WEIGHTS = Rule("weights are quantized as activations are", _alike, INT8_FIX)
BIAS = Rule("a bias is there, or none is named: the runtime crashes else", lambda view: view.inputs[-1] is not None)
SCALED = Rule("8-bit and 16-bit tensors have scales", _arithmetic)
UNTRIED = Rule("its kernel takes it: it was not tried", _untried)
COMPARED = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
FLOAT_ONLY = (
    *("NEG", "EXP", "LOG", "SQRT", "SIN", "COS", "FLOOR", "CEIL", "ROUND", "SQUARE", "L2_POOL_2D"),
    *("FLOOR_DIV", "FLOOR_MOD"),
)
FLOAT_AND_BYTES = (
    *("HARD_SWISH", "ELU", "REDUCE_MAX", "REDUCE_MIN", "CUMSUM", "MIRROR_PAD", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE"),
    *("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "RESIZE_BILINEAR", "LOG_SOFTMAX"),
    "L2_NORMALIZATION",
)
REALS = (
    *("ABS", "RELU", "RELU6", "LOGISTIC", "TANH", "RSQRT", "LEAKY_RELU", "AVERAGE_POOL_2D", "MAX_POOL_2D"),
    *("MEAN", "SUM", "TRANSPOSE", "EXPAND_DIMS", "SOFTMAX", "BATCH_MATMUL", "RESIZE_NEAREST_NEIGHBOR"),
)
ANY_TYPE = ("RESHAPE", "SQUEEZE", "REVERSE_V2")
NEVER_TRIED = (
    *("SVDF", "IF", "WHILE", "CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE"),
    *("ASSIGN_VARIABLE", "BROADCAST_ARGS", "DYNAMIC_UPDATE_SLICE"),
    *("TFLite_Detection_PostProcess", "CIRCULAR_BUFFER"),
)


def _rows() -> dict[str, Row]:
    return {
        **rows(FLOAT_ONLY, activations(FLOAT, fix=FLOAT_FIX)),
        **rows(FLOAT_AND_BYTES, activations(FLOAT, "int8", fix=INT8_FIX)),
        **rows(REALS, activations(*REAL, fix=INT8_FIX)),
        **rows(("ADD", "SUB", "MUL"), activations(*REAL_32, fix=INT8_FIX), SCALED),
        "SQUARED_DIFFERENCE": row(activations(*REAL_32, fix=INT8_FIX)),
        **rows(("MAXIMUM", "MINIMUM"), activations(*REAL_32, "int64", fix=INT8_FIX)),
        "DIV": row(activations(FLOAT, "int8", "int32", fix=INT8_FIX)),
        **rows(COMPARED[:2], activations(FLOAT, "int8", "int32", "int64", "bool", fix=INT8_FIX)),
        **rows(COMPARED[2:], type_of(0, FLOAT, "int8", "int32", "int64", fix=INT8_FIX)),
        **rows(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"), activations("bool")),
        **rows(("CONV_2D", "FULLY_CONNECTED"), activations(*REAL_32, fix=INT8_FIX), WEIGHTS),
        "DEPTHWISE_CONV_2D": row(activations(*REAL_32, fix=INT8_FIX), WEIGHTS, BIAS),
        "TRANSPOSE_CONV": row(
            activations(*REAL_32, fix=INT8_FIX), Rule("weights are quantized as activations are", _images, INT8_FIX)
        ),
        **rows(("ARG_MAX", "ARG_MIN"), type_of(0, FLOAT, "int8", fix=INT8_FIX)),
        "GATHER": row(type_of(0, FLOAT, "int8", fix=INT8_FIX)),
        "CONCATENATION": row(
            activations(*REAL_32, "int64", fix=INT8_FIX), Rule("INT8 tensors have the same scale", _same_scales)
        ),
        "STRIDED_SLICE": row(
            activations(*REAL_32, fix=INT8_FIX),
            rank(4),
            *(constant(place, "what tells the slice") for place in (1, 2, 3)),
        ),
        **rows(("PAD", "PADV2", "SLICE", "SPLIT", "SPLIT_V"), activations(*REAL_32, fix=INT8_FIX)),
        "UNPACK": row(activations(*REAL_32, fix=INT8_FIX)),
        "PACK": row(activations(*REAL_32, "int64", fix=INT8_FIX)),
        **rows(ANY_TYPE),
        "QUANTIZE": row(Rule("of floats it makes INT8 or INT16", _quantizes, INT8_FIX)),
        "DEQUANTIZE": row(type_of(0, "int8", "uint8", "int16")),
        "CAST": row(
            type_of(0, FLOAT, "int8", "int16", "int32", "bool"),
            Rule("the output is not INT64", lambda view: view.outputs[0].type != "int64"),
        ),
        "PRELU": row(
            activations(*REAL, fix=INT8_FIX), Rule("slopes are FLOAT32 with floats, else INT8", _slopes, INT8_FIX)
        ),
        # floats with quantized weights run, and give what is not a number
        "UNIDIRECTIONAL_SEQUENCE_LSTM": row(WEIGHTS, UNTRIED),
        "SELECT_V2": row(Rule("values are FLOAT32, INT8 or INT16", _chosen, INT8_FIX)),
        "ADD_N": row(activations(FLOAT, "int8", fix=INT8_FIX)),
        "ZEROS_LIKE": row(activations(FLOAT, "int8", "int32", "int64")),
        "FILL": row(type_of(1, FLOAT, "int8", "int32")),
        "SHAPE": row(),
        "REDUCE_ALL": row(tried("bool")),
        "BROADCAST_TO": row(),
        **rows(("GATHER_ND", "EMBEDDING_LOOKUP"), tried(FLOAT, "int32")),
        **rows(NEVER_TRIED, UNTRIED),
    }


FIXES = {
    "RELU_N1_TO_1": "use ReLU or ReLU6",
    "RELU_0_TO_1": "use ReLU or ReLU6",
    "GELU": "use ReLU or HardSwish",
    "TILE": "repeat with a concatenation",
}
# one-operator models on which the table and the runtime disagree, and why; docs/ tells them, a test holds them
DISAGREEMENTS: dict[str, str] = {}

TABLE = Table(
    name="tflm",
    title="TensorFlow Lite Micro",
    source="one-operator models run with the package tflite-micro",
    rows=_rows(),
    checked="one-operator models, run by tflite-micro 0.dev20261023182759",
    fixes=FIXES,
    sheds=False,
)
