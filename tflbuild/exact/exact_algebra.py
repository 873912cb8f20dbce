"""Sums, products and linear algebra in float64 in a fixed order, with the same bits on every CPU.

NumPy's own `sum`, `dot` and `linalg` choose blocks and instructions by CPU. Here every sum is a tree of elementwise
additions whose form depends only on the shapes of the arrays, and a matrix product adds one product after another.
`exact_arithmetic` explains why the bits of elementwise operations cannot differ. All functions accept arrays of any
float type and return float64. Matrices are the last two axes, and the axes before them are broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tflbuild.exact.exact_arithmetic import Array
from tflbuild.exact.exact_math import exp, log

# The elements of a result that are computed together. They fit into the level-2 cache.
TILE = 1 << 15
# The columns of a factorization between two updates of the rest of the matrix.
BLOCK = 48

Axes = int | Sequence[int] | None


def _as_float(values: Array) -> Array:
    return np.asarray(values, np.float64)


def list_axes(axes: Axes, rank: int) -> tuple[int, ...]:
    """Return axes as numbers from 0 in ascending order. None means all axes."""
    if axes is None:
        return tuple(range(rank))
    listed = (axes,) if isinstance(axes, int | np.integer) else tuple(axes)
    return tuple(sorted({int(axis) % rank for axis in listed}))


def _combine(values: Array, axes: Axes, keep: bool, function: Callable[..., Array], empty: float) -> Array:
    """Combine values over axes: the second half is combined with the first one until a single slice remains.

    Args:
        values: Any shape.
        axes: The axes to combine; None for all.
        keep: Whether the result has axes of size 1 instead of the combined axes.
        function: A ufunc with the argument `out`, or a function of two arrays.
        empty: The result for no values.
    """
    combined_axes = list_axes(axes, values.ndim)
    other_axes = [axis for axis in range(values.ndim) if axis not in combined_axes]
    shape = tuple(1 if axis in combined_axes else size for axis, size in enumerate(values.shape))
    count = int(np.prod([values.shape[axis] for axis in combined_axes], dtype=np.int64))
    other_sizes = tuple(values.shape[axis] for axis in other_axes)
    folded = np.transpose(values, (*combined_axes, *other_axes)).reshape((count, *other_sizes)).copy()
    while count > 1:
        half = count // 2
        folded[:half] = function(folded[:half], folded[count - half : count])
        count -= half
    result = folded[0] if count else np.full(other_sizes, empty, values.dtype)
    return result.reshape(shape) if keep else result


def add_up(values: Array, axes: Axes = None, keep: bool = False) -> Array:
    """Return sums over axes. The rounding error grows with the logarithm of the number of values."""
    return _combine(_as_float(values), axes, keep, np.add, 0.0)


def average(values: Array, axes: Axes = None, keep: bool = False) -> Array:
    """Return means over axes; NaN for no values."""
    values = _as_float(values)
    count = np.prod([values.shape[axis] for axis in list_axes(axes, values.ndim)], dtype=np.float64)
    return add_up(values, axes, keep) / count


def multiply_up(values: Array, axes: Axes = None, keep: bool = False) -> Array:
    """Return products over axes."""
    return _combine(_as_float(values), axes, keep, np.multiply, 1.0)


def choose_larger(a: Array, b: Array) -> Array:
    """Return the larger of two values elementwise: the first of equal values, and NaN if one of them is NaN."""
    return np.where(np.isnan(a) | np.isnan(b), np.nan, np.where(b > a, b, a))


def choose_smaller(a: Array, b: Array) -> Array:
    """Return the smaller of two values elementwise: the first of equal values, and NaN if one of them is NaN."""
    return np.where(np.isnan(a) | np.isnan(b), np.nan, np.where(b < a, b, a))


def find_largest(values: Array, axes: Axes = None, keep: bool = False) -> Array:
    """Return maxima over axes; NaN if a value is NaN."""
    return _combine(_as_float(values), axes, keep, choose_larger, -np.inf)


def find_smallest(values: Array, axes: Axes = None, keep: bool = False) -> Array:
    """Return minima over axes; NaN if a value is NaN."""
    return _combine(_as_float(values), axes, keep, choose_smaller, np.inf)


def accumulate(
    values: Array, axis: int, function: Callable[..., Array] = np.add, exclusive: bool = False, reverse: bool = False
) -> Array:
    """Return running sums (or other combinations) along an axis, computed one value after another.

    Args:
        values: Any shape.
        axis: The axis along which the values are combined.
        function: `np.add`, `np.multiply`, or a function of two arrays.
        exclusive: Whether to omit the value itself. The first result is then 0 for `np.add`, 1 for `np.multiply`, and
            -inf for other functions.
        reverse: Whether to start at the end.

    Returns:
        float64 of the same shape.
    """
    slices = np.moveaxis(_as_float(values), axis, 0)
    slices = slices[::-1] if reverse else slices
    result = np.empty(slices.shape)
    start = 0.0 if function is np.add else 1.0 if function is np.multiply else -np.inf
    total = np.full(slices.shape[1:], start)
    for index in range(len(slices)):
        if exclusive:
            result[index] = total
        total = function(total, slices[index]) if index or function not in (np.add, np.multiply) else slices[0]
        if not exclusive:
            result[index] = total
    return np.moveaxis(result[::-1] if reverse else result, 0, axis)


def measure_moments(values: Array, axes: Axes = None, keep: bool = False) -> tuple[Array, Array]:
    """Return means and variances (divided by the number of values) over axes."""
    means = average(values, axes, keep=True)
    deviations = _as_float(values) - means
    variances = average(deviations * deviations, axes, keep)
    return means.reshape(variances.shape), variances


def softmax(values: Array, axis: int = -1) -> Array:
    """Return e^x over the sum of e^x along an axis."""
    values = _as_float(values)
    powers = exp(values - find_largest(values, axis, keep=True))
    return powers / add_up(powers, axis, keep=True)


def log_softmax(values: Array, axis: int = -1) -> Array:
    """Return x minus the logarithm of the sum of e^x along an axis."""
    values = _as_float(values)
    shifted = values - find_largest(values, axis, keep=True)
    return shifted - log(add_up(exp(shifted), axis, keep=True))


def multiply_matrices(a: Array, b: Array) -> Array:
    """Return matrix products. For each element, the products are added one after another, from the first to the last.

    Args:
        a: Shape (..., m, k).
        b: Shape (..., k, n). The axes before the last two are broadcast against those of `a`.

    Returns:
        float64 of shape (..., m, n).
    """
    a, b = _as_float(a), _as_float(b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    # NumPy's loops are fast along the last axis, so that the longer side is last. The products and their order are
    # the same.
    if a.shape[-2] > b.shape[-1]:
        return np.swapaxes(multiply_matrices(np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2)), -1, -2)
    rows, columns, terms = a.shape[-2], b.shape[-1], a.shape[-1]
    result = np.zeros((*batch, rows, columns))
    if not result.size or not terms:
        return result
    left = np.broadcast_to(a, (*batch, rows, terms)).reshape(-1, rows, terms)
    right = np.broadcast_to(b, (*batch, terms, columns)).reshape(-1, terms, columns)
    target = result.reshape(-1, rows, columns)
    wide = min(columns, 1024)
    high = max(1, min(rows, TILE // wide))
    deep = max(1, TILE // (high * wide))
    for at in range(0, len(target), deep):
        for top in range(0, rows, high):
            part = np.ascontiguousarray(np.moveaxis(left[at : at + deep, top : top + high], -1, 0))[..., None]
            for start in range(0, columns, wide):
                tile = np.s_[at : at + deep, top : top + high, start : start + wide]
                _add_products(part, right[at : at + deep, :, start : start + wide], target[tile])
    return result


def _add_products(left: Array, right: Array, target: Array) -> None:
    """Write the sums of products of one tile to `target`: left (k, batch, rows, 1), right (batch, k, columns)."""
    total, product = np.zeros(target.shape), np.empty(target.shape)
    for term in range(len(left)):
        np.multiply(left[term], right[:, term : term + 1], out=product)
        np.add(total, product, out=total)
    target[...] = total


def factor_cholesky(a: Array) -> Array:
    """Return the lower triangular L with L L^T = a. Only the lower triangle of `a` is read.

    Raises:
        ValueError: A matrix is not positive definite.
    """
    work = np.tril(_as_float(a)).copy()
    size = work.shape[-1]
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        for column in range(start, end):
            pivot = work[..., column, column]
            if not (pivot > 0).all():
                raise ValueError(f"the matrix is not positive definite (column {column})")
            root = np.sqrt(pivot)[..., None]
            work[..., column, column] = root[..., 0]
            work[..., column + 1 :, column] /= root
            below = work[..., column + 1 :, column]
            update = below[..., :, None] * below[..., None, : end - column - 1]
            work[..., column + 1 :, column + 1 : end] -= update
        for first in range(end, size, 4 * BLOCK):
            last = min(first + 4 * BLOCK, size)
            panel = work[..., first:, start:end]
            right = np.swapaxes(work[..., first:last, start:end], -1, -2)
            work[..., first:, first:last] -= multiply_matrices(panel, right)
    return np.tril(work)


def solve_triangular(triangle: Array, b: Array, lower: bool = True) -> Array:
    """Return x with triangle x = b for a lower (or upper) triangular matrix. The other triangle is not read."""
    triangle, b = _as_float(triangle), _as_float(b)
    if not lower:
        return solve_triangular(triangle[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]
    batch = np.broadcast_shapes(triangle.shape[:-2], b.shape[:-2])
    x = np.broadcast_to(b, (*batch, *b.shape[-2:])).copy()
    size = triangle.shape[-1]
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        for row in range(start, end):
            x[..., row, :] /= triangle[..., row, row, None]
            x[..., row + 1 : end, :] -= triangle[..., row + 1 : end, row, None] * x[..., row : row + 1, :]
        if end < size:
            x[..., end:, :] -= multiply_matrices(triangle[..., end:, start:end], x[..., start:end, :])
    return x


def _factor(a: Array) -> tuple[Array, Array, float]:
    """Return L and U in one matrix, the order of its rows, and the sign of that order, for a single square matrix."""
    work, size = a.copy(), len(a)
    order, sign = np.arange(size), 1.0
    for column in range(size):
        pivot = column + int(np.argmax(np.abs(work[column:, column])))
        if pivot != column:
            work[[column, pivot]], order[[column, pivot]] = work[[pivot, column]], order[[pivot, column]]
            sign = -sign
        if work[column, column] != 0:
            work[column + 1 :, column] /= work[column, column]
            work[column + 1 :, column + 1 :] -= work[column + 1 :, column, None] * work[None, column, column + 1 :]
    return work, order, sign


def solve(a: Array, b: Array) -> Array:
    """Return x with a x = b, computed by elimination with row exchanges.

    Raises:
        ValueError: A matrix is singular.
    """
    a, b = _as_float(a), _as_float(b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    left = np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(-1, *a.shape[-2:])
    right = np.broadcast_to(b, (*batch, *b.shape[-2:])).reshape(-1, *b.shape[-2:])
    result = np.empty(right.shape)
    for index, matrix in enumerate(left):
        factors, order, _ = _factor(matrix)
        if not (np.diagonal(factors) != 0).all():
            raise ValueError("the matrix is singular")
        unit = np.tril(factors, -1) + np.eye(len(factors))
        result[index] = solve_triangular(factors, solve_triangular(unit, right[index][order]), lower=False)
    return result.reshape(*batch, *b.shape[-2:])


def invert(a: Array) -> Array:
    """Return the inverses of square matrices, computed by elimination. Raise ValueError for a singular matrix."""
    return solve(a, np.eye(np.shape(a)[-1]))


def invert_positive(a: Array) -> Array:
    """Return the inverses of symmetric positive definite matrices, from their Cholesky factors. They are symmetric."""
    factor = factor_cholesky(a)
    inverse = solve_triangular(factor, np.eye(factor.shape[-1]))
    result = np.tril(multiply_matrices(np.swapaxes(inverse, -1, -2), inverse))
    return result + np.swapaxes(np.tril(result, -1), -1, -2)


def find_determinants(a: Array) -> Array:
    """Return the determinants of square matrices, which are the products of the pivots of elimination."""
    a = _as_float(a)
    result = np.empty(a.shape[:-2])
    for index in np.ndindex(result.shape):
        factors, _, sign = _factor(a[index])
        result[index] = sign * multiply_up(np.diagonal(factors))
    return result
