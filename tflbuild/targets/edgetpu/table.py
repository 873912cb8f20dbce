"""The operators that Coral's Edge TPU supports, according to the documentation of the last compiler release, 16.0."""

from __future__ import annotations

from tflbuild.targets.common.common_rules import (
    EIGHT_BIT_FIX,
    QUANT8,
    axes_of,
    each,
    equals,
    made,
    padded_axes,
    size_of,
)
from tflbuild.targets.common.rules import (
    OperatorSupport,
    OperatorView,
    SupportRule,
    SupportTable,
    constant,
    fused,
    row,
    rows,
    static,
)
from tflbuild.tflite.tflite_model import Tensor

SOFTMAX_MOST = 16_000  # elements
RESHAPE_SMALL = 4096  # elements; "large" has no published number, and this is not
BATCH = "move the batch into the caller: one sample a call"


def _moving(view: OperatorView) -> list[Tensor | None]:
    return [one for one in (*view.inputs, *view.outputs) if one is None or not (one.constant or one.state)]


def _flat(tensor: Tensor, dimensions: int) -> bool:
    outer = tensor.shape[:-dimensions] if dimensions else tensor.shape
    return all(size == 1 for size in outer)


EVERYWHERE = (
    made(
        "activations are int8 or uint8",
        lambda view: all(one is None or one.type in QUANT8 for one in _moving(view)),
        f"{EIGHT_BIT_FIX} with inputs and outputs of int8 or uint8",
    ),
    static(),
    each(
        lambda view: view.moving,
        "only the 3 innermost dimensions are larger than 1",
        lambda tensor: None if -1 in tensor.shape else _flat(tensor, 3),
    ),
)


def _not_batch(place: int, what: str) -> SupportRule:
    """Axis 0 of four is the batch; of fewer, nothing is published."""

    def holds(view: OperatorView) -> bool | None:
        tensor = view.input(0)
        rank = len(tensor.shape) if tensor else 0
        axes = axes_of(view, place, rank)
        if axes is None:
            return None
        return 0 not in axes if rank >= 4 else (True if 0 not in axes else None)

    return made(f"{what} is not the batch", holds, BATCH)


def _depth_by_four(view: OperatorView) -> bool | None:
    tensor = view.input(0)
    if tensor is None or not tensor.shape:
        return None
    rank = len(tensor.shape)
    axes = axes_of(view, 1, rank)
    if axes is None:
        return None
    return rank - 1 not in axes or tensor.shape[-1] % 4 == 0


def _option_axis(name: str, place: int, what: str) -> SupportRule:
    """The axis that an option names is not that of the batch."""

    def holds(view: OperatorView) -> bool | None:
        axis, tensor = view.option(name), view.input(place)
        if axis is None or tensor is None:
            return None
        rank = len(view.outputs[0].shape)
        return axis % rank != 0 if rank >= 4 else (True if axis % rank else None)

    return made(f"{what} is not the batch", holds, BATCH)


def _split_axis(view: OperatorView) -> bool | None:
    tensor = view.input(1)
    rank = len(tensor.shape) if tensor else 0
    axes = axes_of(view, 0, rank)
    if axes is None:
        return None
    return 0 not in axes if rank >= 4 else (True if 0 not in axes else None)


def _pad_axes(view: OperatorView) -> bool | None:
    axes = padded_axes(view)
    if axes is None:
        return None
    tensor = view.input(0)
    return 0 not in axes or (None if tensor is None or len(tensor.shape) < 4 else False)


def _zero_padding(view: OperatorView) -> bool | None:
    stored = [one for one in view.inputs if one is not None and one.constant]
    if not stored:
        return True
    return None if len(view.inputs) == 2 else False  # whether it is zeros is in the weights


def _same_dilation(view: OperatorView) -> bool | None:
    across, down = view.option("dilationWFactor"), view.option("dilationHFactor")
    return None if across is None or down is None else across == down


def _softmax(view: OperatorView) -> bool | None:
    tensor = view.input(0)
    if tensor is None or -1 in tensor.shape:
        return None
    return _flat(tensor, 1) and tensor.elements <= SOFTMAX_MOST


def _small(view: OperatorView) -> bool | None:
    sizes = [size_of(one.shape) for one in view.outputs]
    return True if all(size is not None and size <= RESHAPE_SMALL for size in sizes) else None


def _unit_strides(view: OperatorView) -> bool | None:
    tensor = view.input(3)
    if tensor is None or len(tensor.values) != tensor.elements:
        return None
    return all(stride == 1 for stride in tensor.values)


def _flat_alpha(view: OperatorView) -> bool | None:
    alpha = view.input(1)
    return None if alpha is None else _flat(alpha, 1)


_WEIGHTS = (constant(1, "the kernel"), constant(2, "the bias"))
_DILATION = made("dilation is the same across and down", _same_dilation)
_RESIZE = made(
    "its sizes lose no precision (Coral publishes no limit: the compiler decides)",
    lambda view: None,
    "resize outside the model, or see what edgetpu_compiler maps",
)
_NO_ACTIVATION = fused(fix="make the activation an operator of its own")

ROWS: dict[str, OperatorSupport] = {
    **rows(("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")),
    **rows(("LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "RSQRT", "L2_NORMALIZATION", "QUANTIZE")),
    **rows(("EXPAND_DIMS", "SQUEEZE", "SPACE_TO_DEPTH")),
    "SLICE": row(constant(1, "begin"), constant(2, "size")),
    **rows(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _NO_ACTIVATION),
    "CONCATENATION": row(
        _NO_ACTIVATION, made("a constant input is one of two, and all zeros", _zero_padding, "pad instead")
    ),
    **rows(("CONV_2D", "DEPTHWISE_CONV_2D"), *_WEIGHTS, _DILATION),
    "TRANSPOSE_CONV": row(constant(0, "output shape"), constant(1, "the kernel"), constant(3, "the bias")),
    "FULLY_CONNECTED": row(
        *_WEIGHTS,
        equals("weightsFormat", "weights are of the default format", 0),
        made("output has one dimension larger than 1", lambda view: _flat(view.outputs[0], 1), BATCH),
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": row(),
    "MEAN": row(
        constant(1, "axis"),
        _not_batch(1, "the axis"),
        made("depth is a multiple of 4 where it is reduced", _depth_by_four, "a number of channels divisible by 4"),
    ),
    **rows(("SUM", "REDUCE_MAX", "REDUCE_MIN"), constant(1, "axis"), _not_batch(1, "the axis")),
    "PACK": row(_option_axis("axis", 0, "the axis")),
    "PAD": row(constant(1, "padding"), made("the batch is not padded", _pad_axes)),
    "PRELU": row(
        constant(1, "alpha"),
        made("alpha differs along the innermost dimension only", _flat_alpha, "Keras: PReLU(shared_axes=[1, 2])"),
    ),
    "RESHAPE": row(
        made(f"output is not large (no number is published; up to {RESHAPE_SMALL} elements are not)", _small)
    ),
    **rows(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), constant(1, "size"), _RESIZE),
    "SOFTMAX": row(
        made(f"input is one-dimensional, of at most {SOFTMAX_MOST} elements", _softmax, "softmax after the model")
    ),
    "SPLIT": row(constant(0, "axis"), made("the axis is not the batch", _split_axis, BATCH)),
    "STRIDED_SLICE": row(
        made("every stride is 1", _unit_strides, "a convolution or pooling of that stride"),
        equals("ellipsisMask", "ellipsis mask is 0", 0),
        equals("newAxisMask", "new-axis mask is 0", 0),
    ),
    "TRANSPOSE": row(
        constant(1, "permutation"),
        made("the permutation is one that the compiler maps (Coral publishes no limit)", lambda view: None),
    ),
}

TABLE = SupportTable(
    name="edgetpu",
    title="Edge TPU",
    source="Coral, TensorFlow models on the Edge TPU: model requirements and supported operations (compiler 16.0)",
    rows=ROWS,
    everywhere=EVERYWHERE,
    fixes={
        "HARD_SWISH": "relu6",
        "ELU": "relu",
        "GELU": "relu",
        "LEAKY_RELU": "relu or PReLU",
        "DEQUANTIZE": "quantization.output_type=int8",
        "ARG_MAX": "take the maximum after the model",
    },
    one_partition=True,
    passes=("QUANTIZE",),
    notes=(
        "its last release, 16.0, is of 2021: it refuses versions of operators that came later, which no table lists",
    ),
)
