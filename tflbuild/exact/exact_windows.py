"""Convolutions, pooling and other sliding windows in float64, with the same bits on every CPU.

The first axis of all arrays is the batch and the last one is the channels, with any number of spatial axes between. The
contributions of the positions of a window are added one after another, in row-major order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tflbuild.exact.exact_algebra import add_up, choose_larger, multiply_matrices
from tflbuild.exact.exact_arithmetic import Array
from tflbuild.exact.exact_math import power

Pads = Sequence[tuple[int, int]]


def find_pads(
    padding: str, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the padding before and after each spatial axis for `SAME` or `VALID`, by TensorFlow's rule."""
    if padding == "VALID":
        return [(0, 0)] * len(sizes)
    pads = []
    for size, length, stride, dilation in zip(sizes, window, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (length - 1) * dilation + 1 - size)
        pads.append((total // 2, total - total // 2))
    return pads


def _list_positions(
    x: Array, window: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Yield each position in a window, and the values of padded `x` at this position of all windows.

    Raises:
        ValueError: The window is empty.
    """
    if 0 in window:
        raise ValueError("the window is empty")
    sizes = [
        (size - (length - 1) * dilation - 1) // stride + 1
        for size, length, stride, dilation in zip(x.shape[1:-1], window, strides, dilations, strict=True)
    ]
    for position in np.ndindex(*window):
        starts = [index * dilation for index, dilation in zip(position, dilations, strict=True)]
        cut = [
            slice(start, start + (size - 1) * stride + 1, stride)
            for start, size, stride in zip(starts, sizes, strides, strict=True)
        ]
        yield position, x[(slice(None), *cut)]


def _pad(x: Array, pads: Pads, value: float = 0.0) -> Array:
    return np.pad(np.asarray(x, np.float64), [(0, 0), *pads, (0, 0)], constant_values=value)


def convolve(x: Array, filters: Array, strides: Sequence[int], dilations: Sequence[int], pads: Pads) -> Array:
    """Return a convolution (a cross-correlation, as in TensorFlow).

    Args:
        x: Shape (batch, spatial axes ..., channels in).
        filters: Shape (window ..., channels in / groups, channels out). The groups follow from the shapes.
        strides: One for each spatial axis.
        dilations: One for each spatial axis.
        pads: The zeros before and after each spatial axis.

    Returns:
        float64 of shape (batch, spatial axes ..., channels out).
    """
    padded, filters = _pad(x, pads), np.asarray(filters, np.float64)
    groups = padded.shape[-1] // filters.shape[-2]
    group_inputs, group_outputs = filters.shape[-2], filters.shape[-1] // groups
    total: Array | None = None
    for position, values in _list_positions(padded, filters.shape[:-2], strides, dilations):
        rows = values.reshape(-1, groups, group_inputs).swapaxes(0, 1)
        weights = filters[position].reshape(group_inputs, groups, group_outputs).swapaxes(0, 1)
        part = multiply_matrices(rows, weights).swapaxes(0, 1).reshape(*values.shape[:-1], groups * group_outputs)
        total = part if total is None else total + part
    assert total is not None
    return total


def convolve_depthwise(x: Array, filters: Array, strides: Sequence[int], dilations: Sequence[int], pads: Pads) -> Array:
    """Return a depthwise convolution. Filters have the shape (window ..., channels in, multiplier)."""
    total: Array | None = None
    filters = np.asarray(filters, np.float64)
    for position, values in _list_positions(_pad(x, pads), filters.shape[:-2], strides, dilations):
        part = values[..., None] * filters[position]
        total = part if total is None else total + part
    assert total is not None
    return total.reshape(*total.shape[:-2], -1)


def convolve_transposed(
    x: Array, filters: Array, shape: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Pads
) -> Array:
    """Return the gradient of a convolution for its input, which is TensorFlow's transposed convolution.

    Args:
        x: Shape (batch, spatial axes ..., channels out of the forward convolution).
        filters: Shape (window ..., channels in, channels out) of the forward convolution.
        shape: The shape of the result, which is the input of the forward convolution.
        strides: Those of the forward convolution.
        dilations: Those of the forward convolution.
        pads: Those of the forward convolution.
    """
    return _spread(x, filters, shape, strides, dilations, pads, _multiply_channels)


def convolve_depthwise_transposed(
    x: Array, filters: Array, shape: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Pads
) -> Array:
    """Return the gradient of a depthwise convolution for its input. See `convolve_transposed` for the arguments."""
    return _spread(x, filters, shape, strides, dilations, pads, _multiply_each_channel)


def _multiply_channels(x: Array, weights: Array) -> Array:
    return multiply_matrices(x.reshape(-1, x.shape[-1]), weights.T)


def _multiply_each_channel(x: Array, weights: Array) -> Array:
    return add_up(x.reshape(*x.shape[:-1], *weights.shape) * weights, -1)


def _spread(
    x: Array,
    filters: Array,
    shape: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Pads,
    multiply: Callable[[Array, Array], Array],
) -> Array:
    """Add the products for each position in a window to the values that the forward convolution read there."""
    x, filters = np.asarray(x, np.float64), np.asarray(filters, np.float64)
    padded = np.zeros((shape[0], *(n + a + b for n, (a, b) in zip(shape[1:-1], pads, strict=True)), shape[-1]))
    for position, target in _list_positions(padded, filters.shape[:-2], strides, dilations):
        target += multiply(x, filters[position]).reshape(target.shape)
    inner = [slice(before, before + size) for size, (before, _) in zip(shape[1:-1], pads, strict=True)]
    return padded[(slice(None), *inner)]


def average_windows(x: Array, window: Sequence[int], strides: Sequence[int], pads: Pads) -> Array:
    """Return averages over windows. Padding does not count."""
    steps = [1] * len(window)
    sums = sum(values for _, values in _list_positions(_pad(x, pads), window, strides, steps))
    ones = _pad(np.ones((1, *np.shape(x)[1:-1], 1)), pads)
    counts = sum(values for _, values in _list_positions(ones, window, strides, steps))
    result: Array = np.asarray(sums) / np.asarray(counts)
    return result


def find_largest_in_windows(x: Array, window: Sequence[int], strides: Sequence[int], pads: Pads) -> Array:
    """Return maxima over windows. Padding is -inf."""
    total: Array | None = None
    for _, values in _list_positions(_pad(x, pads, -np.inf), window, strides, [1] * len(window)):
        total = values if total is None else choose_larger(total, values)
    assert total is not None
    return total


def normalize_over_channels(x: Array, radius: int, bias: float, alpha: float, beta: float) -> Array:
    """Return TensorFlow's local response normalization: x / (bias + alpha * sum of squares of channels)^beta.

    The sum is over the channels at a distance of at most `radius`.
    """
    x = np.asarray(x, np.float64)
    squares = np.pad(x * x, [(0, 0)] * (x.ndim - 1) + [(radius, radius)])
    channels = x.shape[-1]
    near = np.stack([squares[..., at : at + channels] for at in range(2 * radius + 1)])
    base = bias + alpha * add_up(near, 0)
    result: Array = x * power(base, np.full_like(base, -beta))
    return result


def dilate(x: Array, filters: Array, strides: Sequence[int], rates: Sequence[int], pads: Pads) -> Array:
    """Return the grayscale dilation: the maximum of the sums of values and filter in each window.

    Filters have the shape (window ..., channels). The other arguments are those of `convolve`.
    """
    total: Array | None = None
    for position, values in _list_positions(_pad(x, pads, -np.inf), filters.shape[:-1], strides, rates):
        part = values + np.asarray(filters[position], np.float64)
        total = part if total is None else choose_larger(total, part)
    assert total is not None
    return total
