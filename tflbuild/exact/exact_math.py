"""Exponentials, logarithms, powers and hyperbolic functions in float64, with the same bits on every CPU.

Arguments and results are float64 arrays. The methods are those of textbooks (Muller, Elementary Functions, 2016): the
argument is reduced with a constant that is split into two parts, and a power series follows whose coefficients are
fractions that are rounded once. `exact_arithmetic` explains why the bits cannot differ. Error bounds are relative, and
were measured against 100-bit arithmetic by tests/unit/test_exact_math.py.
"""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import numpy as np

from tflbuild.exact.exact_arithmetic import (
    Array,
    add_exactly,
    evaluate_polynomial,
    multiply_exactly,
    power_of_two,
    scale,
)
from tflbuild.exact.exact_constants import LOG_2, split_number, take_root

# log(2) in two parts. The first part has 40 bits, so its products with exponents below 2^13 are exact.
LOG_2_HIGH, LOG_2_LOW = split_number(LOG_2, 40)[:2]
PER_LOG_2 = float(1 / LOG_2)
ROOT_2 = float(take_root(Fraction(2)))
# (e^r - 1 - r) / r^2 for |r| <= log(2) / 2. The first term that is omitted is below 2^-60.
EXP_SERIES = tuple(float(Fraction(1, factorial(k))) for k in range(2, 17))
# (log((1 + s) / (1 - s)) / s - 2) / s^2 in s^2 for |s| <= 3 - 2 sqrt(2). The first term that is omitted is below 2^-60.
LOG_SERIES = tuple(float(Fraction(2, 2 * k + 1)) for k in range(1, 13))


def _reduce_exp(x: Array, tail: Array | float) -> tuple[Array, Array]:
    """Return k and r with x + tail = k log(2) + r, for arguments between -760 and 720."""
    k = np.rint(x * PER_LOG_2)
    k = np.where(np.isnan(k), 0.0, k)
    return k.astype(np.int64), (x - k * LOG_2_HIGH) - (k * LOG_2_LOW - tail)


def exp(x: Array, tail: Array | float = 0.0) -> Array:
    """Return e^(x + tail) for a tail that is small against x. Error below 2^-51.8."""
    k, r = _reduce_exp(np.where(x > 720, 720.0, np.where(x < -760, -760.0, x)), tail)
    return scale(1.0 + (r + r * r * evaluate_polynomial(EXP_SERIES, r)), k)


def expm1(x: Array) -> Array:
    """Return e^x - 1. Error below 2^-50.5."""
    inside = np.where(x > 709, 709.0, np.where(x < -60, -60.0, x))
    k, r = _reduce_exp(inside, 0.0)
    small = r + r * r * evaluate_polynomial(EXP_SERIES, r)
    half = power_of_two(k - 1)
    large = ((half * small) + (half - 0.5)) * 2.0
    large = np.where(x > 709, exp(x), large)
    return np.where(x == 0, x, np.where(k == 0, small, large))


def split_exponent(x: Array) -> tuple[Array, Array]:
    """Return k (int64) and m in [sqrt(1/2), sqrt(2)] with x = 2^k m, for positive finite x."""
    subnormal = x < 2.0**-1022
    bits = np.where(subnormal, x * 2.0**54, x).view(np.int64)
    k = (bits >> 52) - 1023 - np.where(subnormal, 54, 0)
    m = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(np.float64)
    large = m > ROOT_2
    return k + large, np.where(large, m * 0.5, m)


def _finish_log(f: Array, k: Array) -> Array:
    """Return k log(2) + log(1 + f). With s = f / (2 + f), log(1 + f) = f - (f^2/2 - s (f^2/2 + s^2 P(s^2)))."""
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    inner = s * (half + z * evaluate_polynomial(LOG_SERIES, z))
    return k * LOG_2_HIGH - ((half - (inner + k * LOG_2_LOW)) - f)


def _set_edges(x: Array, result: Array) -> Array:
    """Set the logarithms of zero, of infinity, and of arguments that have no logarithm."""
    result = np.where(x == 0, -np.inf, np.where(x == np.inf, np.inf, result))
    return np.where((x < 0) | np.isnan(x), np.nan, result)


def _keep_positive(x: Array) -> Array:
    return np.where((x > 0) & (x < np.inf), x, 1.0)


def log(x: Array) -> Array:
    """Return the natural logarithm. Error below 2^-52."""
    k, m = split_exponent(_keep_positive(x))
    return _set_edges(x, _finish_log(m - 1.0, k.astype(np.float64)))


def log1p(x: Array) -> Array:
    """Return log(1 + x). Error below 2^-51."""
    near = (x > -0.29) & (x < 0.41)
    total, error = add_exactly(np.ones_like(x), np.where(near | (x == np.inf), 1.0, x))
    far = log(total) + np.where(total > 0, error / np.where(total > 0, total, 1.0), 0.0)
    close = _finish_log(np.where(near, x, 0.0), np.zeros_like(x))
    return np.where(x == 0, x, np.where(near, close, np.where(x == np.inf, np.inf, far)))


def _log_in_two_parts(x: Array) -> tuple[Array, Array]:
    """Return the logarithm of positive finite values as a sum of two float64 numbers. Error below 2^-58."""
    k, m = split_exponent(x)
    f, whole = m - 1.0, k.astype(np.float64)
    total, rest = add_exactly(np.full_like(m, 1.0), m)
    s = f / total
    product, error = multiply_exactly(s, total)
    s_low = (((f - product) - error) - s * rest) / total
    z = s * s
    series = s * z * evaluate_polynomial(LOG_SERIES, z)
    high, low = add_exactly(whole * LOG_2_HIGH, 2.0 * s)
    low = low + (whole * LOG_2_LOW + (2.0 * s_low + series))
    return add_exactly(high, low)


def _raise_by_products(x: Array, y: Array) -> Array:
    """Return x^y for integers |y| <= 64, by squaring in two parts. It is exact if the power is a float64 number."""
    count = np.abs(y).astype(np.int64)
    high, low = np.ones_like(x), np.zeros_like(x)
    base, base_low = x, np.zeros_like(x)
    for bit in range(7):
        used = (count >> bit) & 1 == 1
        product, error = multiply_exactly(high, base)
        product, error = add_exactly(product, error + (high * base_low + low * base))
        high, low = np.where(used, product, high), np.where(used, error, low)
        square, error = multiply_exactly(base, base)
        base, base_low = add_exactly(square, error + 2.0 * base * base_low)
    inverse = 1.0 / high
    product, error = multiply_exactly(inverse, high)
    inverse = inverse + inverse * (((1.0 - product) - error) - inverse * low)
    return np.where(y < 0, inverse, high)


def power(x: Array, y: Array) -> Array:
    """Return x^y. Error below 2^-50 for |y log(x)| <= 104 (all of float32), else 2^-48.

    Powers with integer exponents are exact if they are float64 numbers. The results for zeros, infinities and negative
    bases are those of IEEE 754-2019, 9.2.1.
    """
    size = np.abs(x)
    inside = (size > 0) & (size < np.inf) & (np.abs(y) < 1e300)
    base, exponent = np.where(inside, size, 1.0), np.where(inside, y, 1.0)
    high, low = _log_in_two_parts(base)
    near = np.where(np.abs(exponent) < 1e19, exponent, 1.0)
    product, error = multiply_exactly(near, high)
    product = np.where(near == exponent, product, exponent * high)
    result = exp(product, np.where(near == exponent, error + near * low, 0.0))
    whole = (np.rint(y) == y) & (np.abs(y) <= 64)
    tame = whole & (np.abs(np.where(whole, product, 0.0)) < 300)
    result = np.where(tame, _raise_by_products(np.where(tame, base, 1.0), np.where(tame, y, 1.0)), result)
    result = np.where(y == 0.5, np.sqrt(base), result)
    limits = np.where((size > 1) == (y > 0), np.inf, 0.0)
    limits = np.where(size == 1, 1.0, limits)
    result = np.where(inside, result, np.where(np.isnan(x) | np.isnan(y), np.nan, limits))
    odd = (np.rint(y) == y) & (np.abs(y) < 2.0**53) & (np.rint(y * 0.5) != y * 0.5)
    negative = np.signbit(x) & odd
    result = np.where(negative, -result, result)
    result = np.where((x < 0) & (x > -np.inf) & (np.rint(y) != y), np.nan, result)
    return np.where((y == 0) | (x == 1), 1.0, result)


def sinh(x: Array) -> Array:
    """Return the hyperbolic sine. Error below 2^-50."""
    a = np.abs(x)
    e = expm1(np.where(a < 20, a, 0.0))
    half = exp(0.5 * a)
    return np.copysign(np.where(a < 20, 0.5 * (e + e / (e + 1.0)), 0.5 * half * half), x)


def cosh(x: Array) -> Array:
    """Return the hyperbolic cosine. Error below 2^-50."""
    a = np.abs(x)
    e = exp(np.where(a < 20, a, 0.0))
    half = exp(0.5 * a)
    return np.where(a < 20, 0.5 * e + 0.5 / e, 0.5 * half * half)


def tanh(x: Array) -> Array:
    """Return the hyperbolic tangent. Error below 2^-50."""
    a = np.abs(x)
    e = expm1(np.where(a < 25, 2.0 * a, 50.0))
    return np.where(np.isnan(x), np.nan, np.copysign(np.where(a < 1, e / (e + 2.0), 1.0 - 2.0 / (e + 2.0)), x))


def asinh(x: Array) -> Array:
    """Return the inverse hyperbolic sine. Error below 2^-50."""
    a = np.abs(x)
    b = np.where(a < 1e8, a, 0.0)
    near = log1p(b + b * b / (1.0 + np.sqrt(b * b + 1.0)))
    return np.copysign(np.where(a < 1e8, near, log(a) + (LOG_2_HIGH + LOG_2_LOW)), x)


def acosh(x: Array) -> Array:
    """Return the inverse hyperbolic cosine; NaN below 1. Error below 2^-50."""
    t = np.where((x >= 1) & (x < 1e8), x - 1.0, 0.0)
    near = log1p(t + np.sqrt(2.0 * t + t * t))
    result = np.where(x < 1e8, near, log(x) + (LOG_2_HIGH + LOG_2_LOW))
    return np.where(x >= 1, result, np.nan)


def atanh(x: Array) -> Array:
    """Return the inverse hyperbolic tangent; NaN outside [-1, 1]. Error below 2^-50."""
    a = np.abs(x)
    b = np.where(a < 1, a, 0.0)
    result = np.where(a == 1, np.inf, 0.5 * log1p(2.0 * b + 2.0 * b * b / (1.0 - b)))
    return np.where(a <= 1, np.copysign(result, x), np.nan)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x). Error below 2^-51."""
    e = exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def softplus(x: Array) -> Array:
    """Return log(1 + e^x). Error below 2^-50."""
    return np.where(x > 0, x, 0.0) + np.where(np.isnan(x), np.nan, log1p(exp(-np.abs(x))))


def elu(x: Array) -> Array:
    """Return x if it is positive, else e^x - 1."""
    return np.where(x > 0, x, expm1(np.where(x > 0, 0.0, x)))
