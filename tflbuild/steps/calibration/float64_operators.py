"""Operators of a float .tflite model in float64, with the same bits on every CPU (`exact_algebra`, `exact_math`).

Each takes the operator and the arrays of its inputs (None for one that is left out), and returns the arrays of its
outputs. Real values are float64, everything else has the type that the file states. What is missing here, or an option
that is, raises `NotImplementedError`: nothing is guessed.
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

Array = Any  # np.ndarray, whose element type is known while running alone
OperatorFunction = Callable[[Operator, Sequence[Array]], list[Array]]

SAME = 0  # tflite.Padding
REFLECT = 0  # tflite.MirrorPadMode
SQRT_HALF = math.sqrt(0.5)
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
FUSED: dict[str, Callable[[Array], Array]] = {
    "": lambda x: x,
    "RELU": lambda x: np.maximum(x, 0.0),
    "RELU6": lambda x: np.clip(x, 0.0, 6.0),
    "RELU_N1_TO_1": lambda x: np.clip(x, -1.0, 1.0),
}


def pad_and_slide(op: Operator, x: Array, size: tuple[int, int], fill: float) -> Array:
    """Return the windows of a convolution or pooling: [batch, height, width, channels, *size]."""
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
    """CONV_2D, of one group."""
    x, weights = inputs[0], inputs[1]
    if x.shape[-1] != weights.shape[-1]:
        raise NotImplementedError("a convolution in groups")
    windows = pad_and_slide(op, x, weights.shape[1:3], 0.0)
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, weights[0].size)
    made = multiply_matrices(columns, weights.reshape(len(weights), -1).T)
    return finish(op, made.reshape(*windows.shape[:3], len(weights)), inputs)


def convolve_depthwise(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """DEPTHWISE_CONV_2D: one output after another of each channel, added up tap by tap."""
    x, weights = inputs[0], inputs[1][0]
    multiplier = weights.shape[-1] // x.shape[-1]
    windows = pad_and_slide(op, x, weights.shape[:2], 0.0)
    made = np.zeros((*windows.shape[:3], weights.shape[-1]))
    for row, column in np.ndindex(weights.shape[:2]):
        made += np.repeat(windows[..., row, column], multiplier, axis=-1) * weights[row, column]
    return finish(op, made, inputs)


def connect(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """FULLY_CONNECTED, with weights that are stored or computed."""
    x, weights = inputs[0], inputs[1]
    if op.options.get("weightsFormat"):
        raise NotImplementedError("shuffled weights")
    made = multiply_matrices(x.reshape(-1, weights.shape[-1]), weights.T)
    shape = (*x.shape[:-1], len(weights)) if op.options.get("keepNumDims") else made.shape
    return finish(op, made.reshape(shape), inputs)


def finish(op: Operator, made: Array, inputs: Sequence[Array]) -> list[Array]:
    """Add the bias, if any, and apply the fused activation."""
    bias = inputs[2] if len(inputs) > 2 else None
    return [FUSED[op.activation](made if bias is None else made + bias)]


def average_pool(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """AVERAGE_POOL_2D: padding is not counted."""
    size = (op.options["filterHeight"], op.options["filterWidth"])
    windows = pad_and_slide(op, inputs[0], size, np.nan)
    counts = (~np.isnan(windows)).sum(axis=(-2, -1))
    sums = add_up(np.nan_to_num(windows, nan=0.0), (-2, -1))
    return [FUSED[op.activation](sums / counts)]


def max_pool(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """MAX_POOL_2D."""
    size = (op.options["filterHeight"], op.options["filterWidth"])
    return [FUSED[op.activation](pad_and_slide(op, inputs[0], size, -np.inf).max(axis=(-2, -1)))]


def batch_matmul(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """BATCH_MATMUL."""
    left, right = inputs
    left = np.swapaxes(left, -1, -2) if op.options.get("adjX") else left
    right = np.swapaxes(right, -1, -2) if op.options.get("adjY") else right
    return [multiply_matrices(left, right)]


def softmax(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """SOFTMAX over the last axis."""
    return [exact_softmax(inputs[0] * op.options["beta"])]


def log_softmax(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """LOG_SOFTMAX over the last axis."""
    return [exact_log_softmax(inputs[0])]


def l2_normalize(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """L2_NORMALIZATION over the last axis."""
    norms = np.sqrt(add_up(inputs[0] * inputs[0], -1, True))
    return [inputs[0] / np.maximum(norms, 1e-6)]


def gelu(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """GELU, by the error function or by tanh."""
    x = inputs[0]
    if op.options.get("approximate"):
        return [0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))]
    return [0.5 * x * (1.0 + erf(x * SQRT_HALF))]


def reshape(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """RESHAPE, by its second input or its option."""
    shape = inputs[1] if len(inputs) > 1 and inputs[1] is not None else op.options.get("newShape")
    if shape is None:
        raise NotImplementedError("a shape that nothing states")
    return [inputs[0].reshape([int(size) for size in np.ravel(shape)])]


def squeeze(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """SQUEEZE."""
    axes = tuple(int(axis) for axis in op.options.get("squeezeDims") or ())
    return [np.squeeze(inputs[0], axes or None)]


def strided_slice(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """STRIDED_SLICE without ellipsis and new axes."""
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
    """SLICE."""
    x, begin, size = inputs
    ends = [length if count < 0 else first + count for first, count, length in zip(begin, size, x.shape, strict=True)]
    return [x[tuple(slice(int(first), int(end)) for first, end in zip(begin, ends, strict=True))]]


def split(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """SPLIT into equal parts."""
    axis, x = inputs
    return list(np.split(x, op.options["numSplits"], int(np.ravel(axis)[0])))


def split_by_sizes(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """SPLIT_V."""
    x, sizes, axis = inputs
    if (sizes < 0).any():
        raise NotImplementedError("a size that is not stated")
    return list(np.split(x, np.cumsum(sizes)[:-1], int(np.ravel(axis)[0])))


def gather(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """GATHER."""
    if op.options.get("batchDims"):
        raise NotImplementedError("batches of indices")
    return [np.take(inputs[0], inputs[1], op.options.get("axis") or 0)]


def mirror_pad(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """MIRROR_PAD."""
    return [np.pad(inputs[0], inputs[1], "reflect" if op.options.get("mode") == REFLECT else "symmetric")]


def reduce(function: Callable[..., Array], of_integers: Callable[..., Array] | None = None) -> OperatorFunction:
    """Return an operator that reduces the axes of its second input."""

    def apply(op: Operator, inputs: Sequence[Array]) -> list[Array]:
        values, keep = inputs[0], bool(op.options.get("keepDims"))
        axes = tuple(int(axis) for axis in np.ravel(inputs[1]))
        if values.dtype == np.float64:
            return [function(values, axes, keep)]
        if of_integers is None:
            raise NotImplementedError("a reduction of integers")
        return [of_integers(values, axis=axes, keepdims=keep, dtype=values.dtype)]

    return apply


def each(function: Callable[..., Array]) -> OperatorFunction:
    """Return an operator of one result, element by element, with the fused activation."""
    return lambda op, inputs: [FUSED[op.activation](function(*inputs))]


def hard_swish(x: Array) -> Array:
    """Return x * relu6(x + 3) / 6."""
    return x * np.clip(x + 3.0, 0.0, 6.0) / 6.0


def widen(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """DEQUANTIZE of float16."""
    if inputs[0].dtype != np.float64:
        raise NotImplementedError("integers")
    return [inputs[0]]


def leaky_relu(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """LEAKY_RELU."""
    return [np.where(inputs[0] > 0, inputs[0], inputs[0] * op.options["alpha"])]


def transpose_convolve(op: Operator, inputs: Sequence[Array]) -> list[Array]:
    """TRANSPOSE_CONV: every input value adds its window of weights to the output."""
    shape, weights, x = (inputs[0].tolist(), inputs[1], inputs[2])
    high, wide = weights.shape[1:3]
    steps = (op.options["strideH"], op.options["strideW"])
    whole = [(length - 1) * step + size for length, step, size in zip(x.shape[1:3], steps, (high, wide), strict=True)]
    made = np.zeros((shape[0], *(max(w, s) for w, s in zip(whole, shape[1:3], strict=True)), len(weights)))
    for row, column in np.ndindex(high, wide):
        part = multiply_matrices(x.reshape(-1, x.shape[-1]), weights[:, row, column, :].T)
        rows = slice(row, row + (x.shape[1] - 1) * steps[0] + 1, steps[0])
        columns = slice(column, column + (x.shape[2] - 1) * steps[1] + 1, steps[1])
        made[:, rows, columns] += part.reshape(*x.shape[:3], -1)
    skipped = [
        max(w - s, 0) // 2 if op.options["padding"] == SAME else 0 for w, s in zip(whole, shape[1:3], strict=True)
    ]
    made = made[:, skipped[0] : skipped[0] + shape[1], skipped[1] : skipped[1] + shape[2]]
    bias = inputs[3] if len(inputs) > 3 else None
    return [FUSED[op.activation](made if bias is None else made + bias)]


OPERATORS: dict[str, OperatorFunction] = {
    "CONV_2D": convolve,
    "DEPTHWISE_CONV_2D": convolve_depthwise,
    "TRANSPOSE_CONV": transpose_convolve,
    "FULLY_CONNECTED": connect,
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
    "MEAN": reduce(average),
    "SUM": reduce(add_up, np.sum),
    "REDUCE_PROD": reduce(multiply_up, np.prod),
    "REDUCE_MAX": reduce(find_largest),
    "REDUCE_MIN": reduce(find_smallest),
    "ADD": each(np.add),
    "SUB": each(np.subtract),
    "MUL": each(np.multiply),
    "DIV": each(np.divide),
    "MAXIMUM": each(np.maximum),
    "MINIMUM": each(np.minimum),
    "POW": each(power),
    "SQUARED_DIFFERENCE": each(lambda x, y: np.square(x - y)),
    "NEG": each(np.negative),
    "ABS": each(np.abs),
    "SQUARE": each(np.square),
    "SQRT": each(np.sqrt),
    "RSQRT": each(lambda x: 1.0 / np.sqrt(x)),
    "EXP": each(exp),
    "LOG": each(log),
    "SIN": each(sin),
    "COS": each(cos),
    "TANH": each(tanh),
    "LOGISTIC": each(sigmoid),
    "HARD_SWISH": each(hard_swish),
    "ELU": each(elu),
    "RELU": each(FUSED["RELU"]),
    "RELU6": each(FUSED["RELU6"]),
    "RELU_N1_TO_1": each(FUSED["RELU_N1_TO_1"]),
    "PRELU": each(lambda x, slope: np.where(x > 0, x, x * slope)),
    "SELECT": each(np.where),
    "SELECT_V2": each(np.where),
    "DEQUANTIZE": widen,
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
