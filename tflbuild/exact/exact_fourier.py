"""Discrete Fourier transforms in float64, with the same bits on every CPU.

Lengths are split into their prime factors (Cooley and Tukey 1965). For each factor, products are added in a fixed
order. Real and imaginary parts are separate arrays, because NumPy's complex product may use fused instructions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflbuild.exact.exact_arithmetic import Array
from tflbuild.exact.exact_trigonometry import rotate

Parts = tuple[Array, Array]


def list_roots(count: int) -> Parts:
    """Return cos(2 pi k / count) and -sin(2 pi k / count) for k from 0 to count - 1."""
    sine, cosine = rotate(2.0 * np.arange(count) / count)
    return cosine, -sine


def multiply_complex(a: Parts, b: Parts) -> Parts:
    """Return the product of complex numbers whose real and imaginary parts are separate arrays."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _find_factor(size: int) -> int:
    return next((factor for factor in range(2, int(size**0.5) + 1) if size % factor == 0), size)


def _transform_last(real: Array, imaginary: Array) -> Parts:
    """Transform the last axis: first interleaved parts, then their sums with roots of unity."""
    size = real.shape[-1]
    if size <= 1:
        return real, imaginary
    factor = _find_factor(size)
    length = size // factor
    shape = (*real.shape[:-1], length, factor)
    parts = _transform_last(*(np.swapaxes(each.reshape(shape), -1, -2) for each in (real, imaginary)))
    cosine, sine = list_roots(size)
    # result[q + length * p] = sum over j of part[j][q] * root^(j (q + length p))
    turns = np.arange(size)
    total = (np.zeros((*real.shape[:-1], size)), np.zeros((*real.shape[:-1], size)))
    for index in range(factor):
        wide = tuple(np.tile(each[..., index, :], factor) for each in parts)
        at = index * turns % size
        product = multiply_complex((wide[0], wide[1]), (cosine[at], sine[at]))
        total = (total[0] + product[0], total[1] + product[1])
    return total


def transform(real: Array, imaginary: Array, axes: int = 1, inverse: bool = False) -> Parts:
    """Return the discrete Fourier transform over the last `axes` axes.

    Args:
        real: The real part, float64 of any shape.
        imaginary: The imaginary part, of the same shape.
        axes: The number of axes.
        inverse: Whether to return the inverse transform, which is divided by the number of values.
    """
    count = 1
    if inverse:
        imaginary = -imaginary
    for axis in range(1, axes + 1):
        parts = (np.moveaxis(real, -axis, -1), np.moveaxis(imaginary, -axis, -1))
        count *= real.shape[-axis]
        real, imaginary = (np.moveaxis(each, -1, -axis) for each in _transform_last(*parts))
    return (real / count, -imaginary / count) if inverse else (real, imaginary)


def fit_sizes(values: Array, sizes: Sequence[int]) -> Array:
    """Cut the last axes to `sizes`, or extend them with zeros."""
    for axis, size in enumerate(sizes, -len(sizes)):
        values = np.moveaxis(np.moveaxis(values, axis, 0)[:size], 0, axis)
        pads = [(0, 0)] * values.ndim
        pads[axis] = (0, size - values.shape[axis])
        values = np.pad(values, pads)
    return values


def transform_real(values: Array, sizes: Sequence[int]) -> Parts:
    """Return the first half of the transform of real values, over the last `len(sizes)` axes."""
    fitted = fit_sizes(values, sizes)
    real, imaginary = transform(fitted, np.zeros_like(fitted), len(sizes))
    half = sizes[-1] // 2 + 1
    return real[..., :half], imaginary[..., :half]


def invert_real(real: Array, imaginary: Array, sizes: Sequence[int]) -> Array:
    """Return the real values for the first half of their transform. The second half is its Hermitian extension."""
    outer, last = list(sizes[:-1]), sizes[-1]
    half = last // 2 + 1
    real, imaginary = (fit_sizes(each, [*outer, half]) for each in (real, imaginary))
    if outer:
        first, second = (np.moveaxis(each, -1, -len(sizes)) for each in (real, imaginary))
        first, second = transform(first, second, len(outer), True)
        real, imaginary = (np.moveaxis(each, -len(sizes), -1) for each in (first, second))
    imaginary = imaginary.copy()
    imaginary[..., 0] = 0.0
    if last % 2 == 0:
        imaginary[..., -1] = 0.0
    mirror = slice(last - half, 0, -1)
    whole = (np.concatenate([real, real[..., mirror]], -1), np.concatenate([imaginary, -imaginary[..., mirror]], -1))
    return transform(*whole, 1, True)[0]
