"""Elementary float64 arithmetic with the same bits on every CPU, and rounding to the type of a tensor.

All functions consist of operations that IEEE 754 defines to the last bit (+ - * / sqrt, rounding to an integer,
comparisons) and of integer operations. Each operation is a separate NumPy ufunc, and a compiler cannot fuse a
multiplication and an addition in different ufuncs. Therefore the results have the same bits on every CPU. NaNs are the
exception: they are negative on x86, and positive on Arm. `round_to` replaces each NaN by the positive quiet NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
# The elements of a chunk. A float64 chunk and its temporary values fit into the level-2 cache.
CHUNK = 1 << 15

# Type -> (bits of the significand, exponent of the smallest normal number)
FORMATS = {"float16": (11, -14), "bfloat16": (8, -126), "float32": (24, -126), "float64": (53, -1022)}
REAL_PARTS = {"complex64": "float32", "complex128": "float64"}


def is_float(dtype: np.dtype[Any]) -> bool:
    """Return whether `dtype` is one of the real floating-point types that are computed here."""
    return dtype.name in FORMATS


def is_complex(dtype: np.dtype[Any]) -> bool:
    """Return whether `dtype` is a complex type."""
    return dtype.name in REAL_PARTS


def find_largest_number(dtype: np.dtype[Any]) -> float:
    """Return the largest finite value of a real floating-point type."""
    bits, min_exponent = FORMATS[dtype.name]
    return float((2.0 - 2.0 ** (1 - bits)) * 2.0 ** (1 - min_exponent))


def widen(values: Any) -> Array:
    """Convert values to float64 (complex values to complex128). No value changes."""
    array = np.asarray(values)
    return array.astype(np.complex128 if is_complex(array.dtype) else np.float64)


def power_of_two(exponents: Array) -> Array:
    """Return 2^e in float64 for int64 exponents from -1022 to 1023."""
    return ((exponents + 1023) << 52).view(np.float64)


def scale(values: Array, exponents: Array) -> Array:
    """Return values * 2^e for int64 exponents from -2044 to 2046, rounded once."""
    first = exponents >> 1
    return values * power_of_two(first) * power_of_two(exponents - first)


def read_exponents(values: Array) -> Array:
    """Return floor(log2(|x|)) of normal float64 values as int64: the exponent field of their bits."""
    return ((values.copy(order="C").view(np.int64) >> 52) & 0x7FF) - 1023


def round_to(values: Array, dtype: np.dtype[Any]) -> Array:
    """Round float64 (complex128) values once to the type of a tensor, to nearest, ties to even.

    Subnormal results stay subnormal, and each NaN becomes the positive quiet NaN.
    """
    if is_complex(dtype):
        result = np.empty(values.shape, dtype)
        part = np.dtype(REAL_PARTS[dtype.name])
        result.real, result.imag = round_to(values.real, part), round_to(values.imag, part)
        return result
    with np.errstate(all="ignore"):
        if dtype.name in ("float16", "bfloat16"):
            bits, min_exponent = FORMATS[dtype.name]
            unit = power_of_two(np.maximum(read_exponents(values), min_exponent) - (bits - 1))
            values = np.where(np.isfinite(values), np.rint(values / unit) * unit, values)
            values = values.astype(np.float32)
        result = values.astype(dtype)
    missing = np.isnan(values)
    if missing.any():
        result = np.where(missing, np.array(np.nan, dtype), result)
    return result


def add_exactly(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the rounded sum and its rounding error (Knuth, The Art of Computer Programming 2, 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def multiply_exactly(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the rounded product and its rounding error (Dekker 1971), for |a| and |b| below 2^970."""
    product = a * b
    a_high, a_low = _halve(a)
    b_high, b_low = _halve(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halve(a: Array) -> tuple[Array, Array]:
    # 2^27 + 1 splits the 53 bits of the significand into halves.
    shifted = a * 134217729.0
    high = shifted - (shifted - a)
    return high, a - high


def evaluate_polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Return c0 + c1 x + c2 x^2 + ... by Horner's rule."""
    result = np.full(x.shape, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result *= x
        result += coefficient
    return result


def apply_in_chunks(function: Callable[..., Array], inputs: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    """Apply a float64 function to broadcast arrays, chunk by chunk, and round each result once to `dtype`.

    Args:
        function: A function of one-dimensional float64 (complex128) arrays, one for each input. It returns an array of
            the same shape.
        inputs: Tensors of numbers. Their shapes are broadcast.
        dtype: The type of the result. Results are only cast if it is not a floating-point type.

    Returns:
        An array of the broadcast shape.
    """
    shape = np.broadcast_shapes(*(array.shape for array in inputs))
    result = np.empty(shape, dtype)
    if not result.size:
        return result
    if len(inputs) == 1 or all(array.shape == shape for array in inputs):
        flat = [np.ascontiguousarray(array).reshape(-1) for array in inputs]
        chunks = ([array[at : at + CHUNK] for array in flat] for at in range(0, result.size, CHUNK))
    else:
        broadcast = [np.broadcast_to(array, shape) for array in inputs]
        chunks = ([array.flat[at : at + CHUNK] for array in broadcast] for at in range(0, result.size, CHUNK))
    target, start = result.reshape(-1), 0
    with np.errstate(all="ignore"):
        for chunk in chunks:
            values = function(*(widen(array) for array in chunk))
            rounded = is_float(dtype) or is_complex(dtype)
            target[start : start + len(values)] = round_to(values, dtype) if rounded else values
            start += len(values)
    return result
