"""The operators of a float .tflite model in float64, with equal bits on every CPU (`exact_algebra`, `exact_math`).

Each function has an operator and the arrays of its inputs (None for an omitted one) as arguments, and returns the
arrays of its outputs. Real values are float64, and all other values have the type that the file states. Operators,
options and shapes that are not implemented raise `NotImplementedError`: nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tflbuild.exact.exact_algebra import add_up, average, find_largest, find_smallest, multiply_matrices, multiply_up
from tflbuild.exact.exact_algebra import log_softmax as exact_log_softmax
from tflbuild.exact.exact_algebra import softmax as exact_softmax
from tflbuild.exact.exact_math import elu, exp, log, power, sigmoid, tanh
from tflbuild.exact.exact_special import erf
from tflbuild.exact.exact_trigonometry import cos, sin
from tflbuild.tflite.tflite_model import Operator

# np.ndarray. Its element type is only known at run time.
Array = Any
OperatorFunction = Callable[[Operator, Sequence[Array]], list[Array]]

# The value SAME of tflite.Padding.
SAME = 0
# The value REFLECT of tflite.MirrorPadMode.
REFLECT = 0
SQRT_HALF = math.sqrt(0.5)
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
FUSED: dict[str, Callable[[Array], Array]] = {
    "": lambda x: x,
    "RELU": lambda x: np.maximum(x, 0.0),
    "RELU6": lambda x: np.clip(x, 0.0, 6.0),
    "RELU_N1_TO_1": lambda x: np.clip(x, -1.0, 1.0),
}


def pad_and_slide(op: Operator, x: Array, size: tuple[int, int], fill: float) -> Array:
    """Return the windows of a convolution or pooling.

    Args:
        op: The operator, with strides, dilations and padding in its options.
        x: [batch, height, width, channels].
        size: Height and width of a window.
        fill: The value of padding.

    Returns:
        [batch, output height, output width, channels, *size], a view of the padded input.
    """
    options = op.options
    strides = (options["strideH"], options["strideW"])
    dilations = (options.get("dilationHFactor") or 1, options.get("dilationWFactor") or 1)
    reach = [(length - 1) * dilation + 1 for length, dilation in zip(size, dilations, strict=True)]
    if options["padding"] == SAME:
        pads = [(0, 0)]
        for length, stride, width in zip(x.shape[1:3], strides, reach, strict=True):
            total = max((-(-length // stride) - 1) * stride + width - length, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    windows = sliding_window_view(x, reach, axis=(1, 2))
    return windows[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]


def convolve(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute CONV_2D with one group."""
    x, weights = inputs[0], inputs[1]
    if x.shape[-1] != weights.shape[-1]:
        raise NotImplementedError("a convolution in groups")
    windows = pad_and_slide(op, x, weights.shape[1:3], 0.0)
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, weights[0].size)
    result = multiply_matrices(columns, weights.reshape(len(weights), -1).T)
    return add_bias(op, result.reshape(*windows.shape[:3], len(weights)), inputs)


def convolve_depthwise(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute DEPTHWISE_CONV_2D by adding up the products of one filter position after another."""
    x, weights = inputs[0], inputs[1][0]
    multiplier = weights.shape[-1] // x.shape[-1]
    windows = pad_and_slide(op, x, weights.shape[:2], 0.0)
    result = np.zeros((*windows.shape[:3], weights.shape[-1]))
    for row, column in np.ndindex(weights.shape[:2]):
        result += np.repeat(windows[..., row, column], multiplier, axis=-1) * weights[row, column]
    return add_bias(op, result, inputs)


def multiply_by_weights(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute FULLY_CONNECTED with constant or computed weights."""
    x, weights = inputs[0], inputs[1]
    if op.options.get("weightsFormat"):
        raise NotImplementedError("shuffled weights")
    result = multiply_matrices(x.reshape(-1, weights.shape[-1]), weights.T)
    shape = (*x.shape[:-1], len(weights)) if op.options.get("keepNumDims") else result.shape
    return add_bias(op, result.reshape(shape), inputs)


def add_bias(op: Operator, result: Array, inputs: Sequence[Array]) -> list[Array]:
    """Add the bias, if any, to a result, and apply the fused activation."""
    bias = inputs[2] if len(inputs) > 2 else None
    return [FUSED[op.activation](result if bias is None else result + bias)]


def average_pool(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute AVERAGE_POOL_2D. Padding does not count."""
    size = (op.options["filterHeight"], op.options["filterWidth"])
    windows = pad_and_slide(op, inputs[0], size, np.nan)
    counts = (~np.isnan(windows)).sum(axis=(-2, -1))
    sums = add_up(np.nan_to_num(windows, nan=0.0), (-2, -1))
    return [FUSED[op.activation](sums / counts)]


def max_pool(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute MAX_POOL_2D."""
    size = (op.options["filterHeight"], op.options["filterWidth"])
    return [FUSED[op.activation](pad_and_slide(op, inputs[0], size, -np.inf).max(axis=(-2, -1)))]


def batch_matmul(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute BATCH_MATMUL."""
    left, right = inputs
    left = np.swapaxes(left, -1, -2) if op.options.get("adjX") else left
    right = np.swapaxes(right, -1, -2) if op.options.get("adjY") else right
    return [multiply_matrices(left, right)]


def softmax(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute SOFTMAX over the last axis."""
    return [exact_softmax(inputs[0] * op.options["beta"])]


def log_softmax(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute LOG_SOFTMAX over the last axis."""
    return [exact_log_softmax(inputs[0])]


def l2_normalize(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute L2_NORMALIZATION over the last axis."""
    norms = np.sqrt(add_up(inputs[0] * inputs[0], -1, True))
    return [inputs[0] / np.maximum(norms, 1e-6)]


def gelu(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute GELU with the error function, or with tanh if the option `approximate` is set."""
    x = inputs[0]
    if op.options.get("approximate"):
        return [0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))]
    return [0.5 * x * (1.0 + erf(x * SQRT_HALF))]


def reshape(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute RESHAPE. The shape is the second input or an option."""
    shape = inputs[1] if len(inputs) > 1 and inputs[1] is not None else op.options.get("newShape")
    if shape is None:
        raise NotImplementedError("a shape that nothing states")
    return [inputs[0].reshape([int(size) for size in np.ravel(shape)])]


def squeeze(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute SQUEEZE."""
    axes = tuple(int(axis) for axis in op.options.get("squeezeDims") or ())
    return [np.squeeze(inputs[0], axes or None)]


def strided_slice(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute STRIDED_SLICE without ellipsis and new axes."""
    options = op.options
    if options.get("ellipsisMask") or options.get("newAxisMask") or options.get("offset"):
        raise NotImplementedError("an ellipsis, a new axis or an offset")
    x, begin, end, strides = inputs
    index: list[Any] = []
    for axis, (first, last, stride) in enumerate(zip(begin.tolist(), end.tolist(), strides.tolist(), strict=True)):
        bit = 1 << axis
        if options.get("shrinkAxisMask", 0) & bit:
            index.append(first)
            continue
        start = None if options.get("beginMask", 0) & bit else first
        index.append(slice(start, None if options.get("endMask", 0) & bit else last, stride))
    return [x[tuple(index)]]


def slice_(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute SLICE."""
    x, begin, size = inputs
    ends = [length if count < 0 else first + count for first, count, length in zip(begin, size, x.shape, strict=True)]
    return [x[tuple(slice(int(first), int(end)) for first, end in zip(begin, ends, strict=True))]]


def split(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute SPLIT into equal parts."""
    axis, x = inputs
    return list(np.split(x, op.options["numSplits"], int(np.ravel(axis)[0])))


def split_by_sizes(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute SPLIT_V."""
    x, sizes, axis = inputs
    if (sizes < 0).any():
        raise NotImplementedError("a size that is not stated")
    return list(np.split(x, np.cumsum(sizes)[:-1], int(np.ravel(axis)[0])))


def gather(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute GATHER."""
    if op.options.get("batchDims"):
        raise NotImplementedError("batches of indices")
    return [np.take(inputs[0], inputs[1], op.options.get("axis") or 0)]


def mirror_pad(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute MIRROR_PAD."""
    return [np.pad(inputs[0], inputs[1], "reflect" if op.options.get("mode") == REFLECT else "symmetric")]


def make_reduction(function: Callable[..., Array], of_integers: Callable[..., Array] | None = None) -> OperatorFunction:
    """Return an operator that reduces the axes of its second input.

    Args:
        function: Reduces float64 values.
        of_integers: Reduces integers, with the arguments of `np.sum`. None if integers are not supported.
    """

    def apply(op: Operator, inputs: Sequence[Array]) -> list[Array]:
        values, keep = inputs[0], bool(op.options.get("keepDims"))
        axes = tuple(int(axis) for axis in np.ravel(inputs[1]))
        if values.dtype == np.float64:
            return [function(values, axes, keep)]
        if of_integers is None:
            raise NotImplementedError("a reduction of integers")
        return [of_integers(values, axis=axes, keepdims=keep, dtype=values.dtype)]

    return apply


def make_elementwise(function: Callable[..., Array]) -> OperatorFunction:
    """Return an element-wise operator with one result and the fused activation."""
    return lambda op, inputs: [FUSED[op.activation](function(*inputs))]


def hard_swish(x: Array) -> Array:
    """Return x * relu6(x + 3) / 6."""
    return x * np.clip(x + 3.0, 0.0, 6.0) / 6.0


def dequantize(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute DEQUANTIZE of float16, whose values are float64 already."""
    if inputs[0].dtype != np.float64:
        raise NotImplementedError("integers")
    return [inputs[0]]


def leaky_relu(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute LEAKY_RELU."""
    return [np.where(inputs[0] > 0, inputs[0], inputs[0] * op.options["alpha"])]


def transpose_convolve(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """Compute TRANSPOSE_CONV: every input value adds its window of weights to the output."""
    shape, weights, x = (inputs[0].tolist(), inputs[1], inputs[2])
    high, wide = weights.shape[1:3]
    steps = (op.options["strideH"], op.options["strideW"])
    whole = [(length - 1) * step + size for length, step, size in zip(x.shape[1:3], steps, (high, wide), strict=True)]
    result = np.zeros((shape[0], *(max(w, s) for w, s in zip(whole, shape[1:3], strict=True)), len(weights)))
    for row, column in np.ndindex(high, wide):
        part = multiply_matrices(x.reshape(-1, x.shape[-1]), weights[:, row, column, :].T)
        rows = slice(row, row + (x.shape[1] - 1) * steps[0] + 1, steps[0])
        columns = slice(column, column + (x.shape[2] - 1) * steps[1] + 1, steps[1])
        result[:, rows, columns] += part.reshape(*x.shape[:3], -1)
    skipped = [
        max(w - s, 0) // 2 if op.options["padding"] == SAME else 0 for w, s in zip(whole, shape[1:3], strict=True)
    ]
    result = result[:, skipped[0] : skipped[0] + shape[1], skipped[1] : skipped[1] + shape[2]]
    bias = inputs[3] if len(inputs) > 3 else None
    return [FUSED[op.activation](result if bias is None else result + bias)]


OPERATORS: dict[str, OperatorFunction] = {
    "CONV_2D": convolve,
    "DEPTHWISE_CONV_2D": convolve_depthwise,
    "TRANSPOSE_CONV": transpose_convolve,
    "FULLY_CONNECTED": multiply_by_weights,
    "BATCH_MATMUL": batch_matmul,
    "AVERAGE_POOL_2D": average_pool,
    "MAX_POOL_2D": max_pool,
    "SOFTMAX": softmax,
    "LOG_SOFTMAX": log_softmax,
    "L2_NORMALIZATION": l2_normalize,
    "GELU": gelu,
    "LEAKY_RELU": leaky_relu,
    "RESHAPE": reshape,
    "SQUEEZE": squeeze,
    "STRIDED_SLICE": strided_slice,
    "SLICE": slice_,
    "SPLIT": split,
    "SPLIT_V": split_by_sizes,
    "GATHER": gather,
    "MIRROR_PAD": mirror_pad,
    "MEAN": make_reduction(average),
    "SUM": make_reduction(add_up, np.sum),
    "REDUCE_PROD": make_reduction(multiply_up, np.prod),
    "REDUCE_MAX": make_reduction(find_largest),
    "REDUCE_MIN": make_reduction(find_smallest),
    "ADD": make_elementwise(np.add),
    "SUB": make_elementwise(np.subtract),
    "MUL": make_elementwise(np.multiply),
    "DIV": make_elementwise(np.divide),
    "MAXIMUM": make_elementwise(np.maximum),
    "MINIMUM": make_elementwise(np.minimum),
    "POW": make_elementwise(power),
    "SQUARED_DIFFERENCE": make_elementwise(lambda x, y: np.square(x - y)),
    "NEG": make_elementwise(np.negative),
    "ABS": make_elementwise(np.abs),
    "SQUARE": make_elementwise(np.square),
    "SQRT": make_elementwise(np.sqrt),
    "RSQRT": make_elementwise(lambda x: 1.0 / np.sqrt(x)),
    "EXP": make_elementwise(exp),
    "LOG": make_elementwise(log),
    "SIN": make_elementwise(sin),
    "COS": make_elementwise(cos),
    "TANH": make_elementwise(tanh),
    "LOGISTIC": make_elementwise(sigmoid),
    "HARD_SWISH": make_elementwise(hard_swish),
    "ELU": make_elementwise(elu),
    "RELU": make_elementwise(FUSED["RELU"]),
    "RELU6": make_elementwise(FUSED["RELU6"]),
    "RELU_N1_TO_1": make_elementwise(FUSED["RELU_N1_TO_1"]),
    "PRELU": make_elementwise(lambda x, slope: np.where(x > 0, x, x * slope)),
    "SELECT": make_elementwise(np.where),
    "SELECT_V2": make_elementwise(np.where),
    "DEQUANTIZE": dequantize,
    "FILL": lambda op, inputs: [np.full(np.ravel(inputs[0]), inputs[1])],
    "SHAPE": lambda op, inputs: [np.array(inputs[0].shape, np.int32)],
    "TRANSPOSE": lambda op, inputs: [np.transpose(inputs[0], inputs[1])],
    "EXPAND_DIMS": lambda op, inputs: [np.expand_dims(inputs[0], int(np.ravel(inputs[1])[0]))],
    "CONCATENATION": lambda op, inputs: [FUSED[op.activation](np.concatenate(inputs, op.options["axis"]))],
    "PACK": lambda op, inputs: [np.stack(inputs, op.options["axis"])],
    "UNPACK": lambda op, inputs: [
        np.squeeze(part, op.options["axis"]) for part in np.split(inputs[0], op.options["num"], op.options["axis"])
    ],
    "PAD": lambda op, inputs: [np.pad(inputs[0], inputs[1])],
    "PADV2": lambda op, inputs: [np.pad(inputs[0], inputs[1], constant_values=np.ravel(inputs[2])[0])],
    "TILE": lambda op, inputs: [np.tile(inputs[0], inputs[1])],
    "BROADCAST_TO": lambda op, inputs: [np.broadcast_to(inputs[0], inputs[1])],
    "REVERSE_V2": lambda op, inputs: [np.flip(inputs[0], tuple(int(axis) for axis in inputs[1]))],
    "ADD_N": lambda op, inputs: [sum(inputs[1:], inputs[0])],
    "EMBEDDING_LOOKUP": lambda op, inputs: [inputs[1][inputs[0]]],
}
