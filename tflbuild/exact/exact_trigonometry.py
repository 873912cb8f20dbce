"""Trigonometric functions and their inverses in float64, with the same bits on every CPU.

Arguments are reduced modulo pi/2: up to 10^5 with a constant of 152 bits (Cody and Waite 1980), and above with pi as an
integer of 1,200 bits. Then power series are used. Error bounds are relative, and were measured like those in
`exact_math`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import factorial, frexp

import numpy as np

from tflbuild.exact.exact_arithmetic import Array, add_exactly, evaluate_polynomial, multiply_exactly
from tflbuild.exact.exact_constants import BITS, PI, compute_pi, split_number, sum_atan

# pi/2 in three parts of 33 bits and a rest. The products of the parts with integers below 2^20 are exact.
QUARTER_1, QUARTER_2, QUARTER_3, QUARTER_4 = split_number(PI / 2, 33, 33, 33)[:4]
PER_QUARTER = float(2 / PI)
HALF_PI, HALF_PI_LOW = split_number(PI / 2)
LARGEST_SPLIT = 1e5
# 1,024 bits for the largest exponent, 53 for the significand, and enough others for a result near zero.
WIDE_BITS = 1200
# (sin(r) / r - 1) / r^2 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2 for |r| <= pi/4. The first terms that are omitted are
# below 2^-60.
SIN_SERIES = tuple(float(Fraction((-1) ** k, factorial(2 * k + 1))) for k in range(1, 11))
COS_SERIES = tuple(float(Fraction((-1) ** k, factorial(2 * k))) for k in range(2, 12))
# (atan(t) / t - 1) / t^2 in t^2 for |t| <= 1/16. The first term that is omitted is below 2^-60.
ATAN_SERIES = tuple(float(Fraction((-1) ** k, 2 * k + 1)) for k in range(1, 9))


@cache
def list_atans() -> tuple[Array, Array]:
    """Return atan(k/8) for k from 0 to 8 in two parts."""
    exact = [Fraction(sum_atan(k, 8), 1 << BITS) for k in range(8)] + [PI / 4]
    heads, tails = zip(*(split_number(each) for each in exact), strict=True)
    return np.array(heads), np.array(tails)


def _reduce_large(x: float) -> tuple[float, float, int]:
    """Return x modulo pi/2 in two parts, and the number of quarter turns modulo 4, computed with integers."""
    fraction, exponent = frexp(x)
    quarter = compute_pi(WIDE_BITS + 53) >> 1
    shift = WIDE_BITS + 53 + exponent - 53
    turns, rest = divmod((int(fraction * 2.0**53) << shift) + (quarter >> 1), quarter)
    high, low = split_number(Fraction(rest - (quarter >> 1), 1 << (WIDE_BITS + 53)))
    return high, low, turns & 3


def reduce_angle(x: Array) -> tuple[Array, Array, Array]:
    """Return r in two parts, and n modulo 4, with x = n pi/2 + r and |r| <= pi/4; zeros for infinities and NaNs."""
    near = np.where(np.abs(x) <= LARGEST_SPLIT, x, 0.0)
    n = np.rint(near * PER_QUARTER)
    high, low = add_exactly(near - n * QUARTER_1, -(n * QUARTER_2))
    high, error = add_exactly(high, -(n * QUARTER_3))
    high, low = add_exactly(high, (low + error) - n * QUARTER_4)
    turns = n.astype(np.int64) & 3
    for at in np.flatnonzero((np.abs(x) > LARGEST_SPLIT) & (np.abs(x) < np.inf)):
        high[at], low[at], turns[at] = _reduce_large(float(x[at]))
    return high, low, turns


def _sum_sin(r: Array, low: Array) -> Array:
    z = r * r
    result: Array = r + (low + r * z * evaluate_polynomial(SIN_SERIES, z))
    return result


def _sum_cos(r: Array, low: Array) -> Array:
    z = r * r
    half = 0.5 * z
    head = 1.0 - half
    result: Array = head + (((1.0 - head) - half) + (z * z * evaluate_polynomial(COS_SERIES, z) - r * low))
    return result


def _turn(high: Array, low: Array, turns: Array) -> tuple[Array, Array]:
    """Return the sine and the cosine of an angle that consists of quarter turns and a rest in two parts."""
    sine, cosine = _sum_sin(high, low), _sum_cos(high, low)
    odd = turns & 1 == 1
    sine, cosine = np.where(odd, cosine, sine), np.where(odd, sine, cosine)
    return np.where(turns >= 2, -sine, sine), np.where((turns == 1) | (turns == 2), -cosine, cosine)


def sin(x: Array) -> Array:
    """Return the sine. Error below 2^-51."""
    return np.where(x == 0, x, np.where(np.abs(x) < np.inf, _turn(*reduce_angle(x))[0], np.nan))


def cos(x: Array) -> Array:
    """Return the cosine. Error below 2^-51."""
    return np.where(np.abs(x) < np.inf, _turn(*reduce_angle(x))[1], np.nan)


def tan(x: Array) -> Array:
    """Return the tangent. Error below 2^-50."""
    sine, cosine = _turn(*reduce_angle(x))
    return np.where(x == 0, x, np.where(np.abs(x) < np.inf, sine / cosine, np.nan))


def _split_turns(x: Array) -> tuple[Array, Array, Array]:
    """Return pi x modulo pi/2 in two parts, and the number of quarter turns modulo 4, for finite x below 2^52."""
    n = np.rint(2.0 * x)
    rest = x - 0.5 * n
    high, low = multiply_exactly(rest, np.full_like(rest, 2.0 * HALF_PI))
    return high, low + rest * (2.0 * HALF_PI_LOW), (n - 4.0 * np.floor(n * 0.25)).astype(np.int64)


def rotate(x: Array) -> tuple[Array, Array]:
    """Return sin(pi x) and cos(pi x) for finite x below 2^52. Error below 2^-51."""
    return _turn(*_split_turns(x))


def atan(x: Array) -> Array:
    """Return the inverse tangent. Error below 2^-51."""
    a = np.abs(x)
    above = a > 1
    t = np.where(above, 1.0 / np.where(above, a, 1.0), a)
    step = np.rint(np.where(np.isnan(t), 0.0, t) * 8.0)
    centre = step * 0.125
    t = (t - centre) / (1.0 + t * centre)
    z = t * t
    heads, tails = list_atans()
    index = step.astype(np.int64)
    rest = tails[index] + t * z * evaluate_polynomial(ATAN_SERIES, z)
    head, error = add_exactly(heads[index], t)
    near = head + (error + rest)
    far = HALF_PI - (head - ((HALF_PI_LOW - rest) - error))
    return np.copysign(np.where(above, far, near), x)


def atan2(y: Array, x: Array) -> Array:
    """Return the angle of the point (x, y), with the signs and limits of IEEE 754-2019, 9.2.1. Error below 2^-50."""
    a, b = np.abs(y), np.abs(x)
    steep = a > b
    below = np.where(steep, a, b)
    ratio = np.where(steep, b, a) / np.where(below > 0, below, 1.0)
    ratio = np.where((a == np.inf) & (b == np.inf), 1.0, ratio)
    angle = atan(ratio)
    left = np.signbit(x)
    turned = np.where(left, HALF_PI + (angle + HALF_PI_LOW), HALF_PI - (angle - HALF_PI_LOW))
    angle = np.where(left, 2.0 * HALF_PI - (angle - 2.0 * HALF_PI_LOW), angle)
    angle = np.where(steep, turned, angle)
    return np.where(np.isnan(x) | np.isnan(y), np.nan, np.copysign(angle, y))


def asin(x: Array) -> Array:
    """Return the inverse sine; NaN outside [-1, 1]. Error below 2^-50."""
    a = np.where(np.abs(x) <= 1, np.abs(x), 0.0)
    result = atan(a / np.sqrt((1.0 - a) * (1.0 + a)))
    return np.where(np.abs(x) <= 1, np.copysign(result, x), np.nan)


def acos(x: Array) -> Array:
    """Return the inverse cosine; NaN outside [-1, 1]. Error below 2^-50."""
    a = np.where(np.abs(x) <= 1, x, 0.0)
    return np.where(np.abs(x) <= 1, 2.0 * atan(np.sqrt((1.0 - a) / (1.0 + a))), np.nan)
