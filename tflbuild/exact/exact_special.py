"""Error functions and gamma functions in float64, with the same bits on every CPU.

Formulas are numbered as in the NIST Digital Library of Mathematical Functions (DLMF), chapters 5, 7 and 25.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import factorial

import numpy as np

from tflbuild.exact.exact_arithmetic import Array, evaluate_polynomial, multiply_exactly
from tflbuild.exact.exact_constants import (
    BITS,
    PI,
    compute_euler,
    compute_log,
    compute_zeta_less_one,
    list_bernoulli,
    split_number,
    take_root,
)
from tflbuild.exact.exact_math import exp, log, log1p
from tflbuild.exact.exact_trigonometry import rotate

TWO_PER_ROOT_PI = 2 / take_root(PI)
PER_ROOT_PI = float(TWO_PER_ROOT_PI / 2)
ROOT_2 = float(take_root(Fraction(2)))
# (erf(x) / x - 2 / sqrt(pi)) / x^2 for |x| <= 1/2 (DLMF 7.6.1)
ERF_HEAD = split_number(TWO_PER_ROOT_PI)
ERF_SERIES = tuple(float(TWO_PER_ROOT_PI * Fraction((-1) ** k, factorial(k) * (2 * k + 1))) for k in range(1, 16))
# The continued fraction is used for this argument and greater ones.
SCALED_ERFC_LAST = 6.0
SCALED_ERFC_TERMS = 18
STIRLING_FIRST = 10.0


def _compute_log_pi() -> Fraction:
    """Return log(pi) by Newton's method on the exponential series, to about 100 bits."""
    guess = Fraction(log(np.array([float(PI)]))[0].item())
    for _ in range(2):
        guess = guess.limit_denominator(1 << 160)
        series = sum((guess**k / factorial(k) for k in range(60)), Fraction(0))
        guess += PI / series - 1
    return guess


LOG_PI = _compute_log_pi()
LOG_ROOT_2_PI = float((compute_log(2) + LOG_PI) / 2)


@cache
def list_scaled_erfc() -> Array:
    """Return Taylor coefficients of e^(x^2) erfc(x) around 1/4, 3/4, 5/4, ... up to `SCALED_ERFC_LAST`.

    From y' = 2 x y - 2 / sqrt(pi) (DLMF 7.10.1) follows (n + 1) a(n + 1) = 2 c a(n) + 2 a(n - 1). The last term
    is -2 / sqrt(pi) for n = 0. Integers of 320 bits have enough digits for the cancellation in this recurrence.
    """
    unit = 1 << BITS
    table = []
    for step in range(int(SCALED_ERFC_LAST * 4)):
        centre = Fraction(2 * step + 1, 8)
        square, term, total, k = centre * centre, Fraction(1), Fraction(0), 0
        # e^(x^2) erf(x), DLMF 7.6.2
        while term > Fraction(1, unit):
            total += term
            k += 1
            term = Fraction(round(term * 2 * square / (2 * k + 1) * unit), unit)
        power, exponential, k = Fraction(1), Fraction(0), 0
        while power > Fraction(1, unit):
            exponential += power
            k += 1
            power = Fraction(round(power * square / k * unit), unit)
        values = [exponential - TWO_PER_ROOT_PI * centre * total]
        for n in range(SCALED_ERFC_TERMS):
            last = 2 * values[n - 1] if n else -TWO_PER_ROOT_PI
            values.append((2 * centre * values[n] + last) / (n + 1))
        table.append([float(value) for value in values])
    return np.array(table).T.copy()


def _scaled_erfc(x: Array) -> Array:
    """Return e^(x^2) erfc(x) for x >= 0: Taylor series below 6, then the continued fraction of DLMF 7.9.3."""
    table = list_scaled_erfc()
    near = np.where(x < SCALED_ERFC_LAST, x, 0.0)
    index = np.floor(near * 4.0).astype(np.int64)
    h = near - (index * 0.25 + 0.125)
    result = table[-1][index]
    for coefficients in table[-2::-1]:
        result = result * h + coefficients[index]
    far = np.where(x < SCALED_ERFC_LAST, SCALED_ERFC_LAST, x)
    tail = far
    for k in range(12, 0, -1):
        tail = far + (0.5 * k) / tail
    return np.where(x < SCALED_ERFC_LAST, result, PER_ROOT_PI / tail)


def _decline(x: Array) -> Array:
    """Return e^(-x^2)."""
    inside = np.where(np.abs(x) < 40, x, 40.0)
    square, error = multiply_exactly(inside, inside)
    return np.where(np.isnan(x), np.nan, exp(-square, -error))


def erf(x: Array) -> Array:
    """Return the error function. Error below 2^-50."""
    a = np.abs(x)
    b = np.where(a < 0.5, x, 0.0)
    z = b * b
    near = b * ERF_HEAD[0] + b * (ERF_HEAD[1] + z * evaluate_polynomial(ERF_SERIES, z))
    far = 1.0 - _decline(a) * _scaled_erfc(np.where(np.isnan(a), 0.0, a))
    return np.where(a < 0.5, near, np.copysign(far, x))


def erfc(x: Array) -> Array:
    """Return 1 - erf(x). Error below 2^-50."""
    a = np.where(np.isnan(x), 0.0, np.abs(x))
    far = _decline(x) * _scaled_erfc(a)
    return np.where(np.abs(x) < 0.5, 1.0 - erf(np.where(np.abs(x) < 0.5, x, 0.0)), np.where(x < 0, 2.0 - far, far))


def _guess_inverse_erf(log_complement: Array) -> Array:
    """Return an estimate of |erfinv(x)| from log(1 - x^2), to about 0.2 % (Winitzki 2008)."""
    a = 0.147
    part = 4.3307467508 + 0.5 * log_complement
    return np.sqrt(np.sqrt(part * part - log_complement / a) - part)


def _invert_erfc(q: Array) -> Array:
    """Return t with erfc(t) = q for 0 < q <= 1/2, by Halley's method: f''/f' = -2 t."""
    t = _guess_inverse_erf(log(q) + log1p(1.0 - q))
    for _ in range(4):
        u = (q - erfc(t)) / (_decline(t) * float(TWO_PER_ROOT_PI))
        t = t - u / (1.0 + t * u)
    return t


def _invert_erf(x: Array) -> Array:
    """Return t with erf(t) = x for |x| <= 1/2, by Halley's method."""
    t = np.where(np.abs(x) < 1e-3, x / float(TWO_PER_ROOT_PI), np.copysign(_guess_inverse_erf(log1p(-x * x)), x))
    for _ in range(4):
        u = (erf(t) - x) / (_decline(t) * float(TWO_PER_ROOT_PI))
        t = t - u / (1.0 + t * u)
    return t


def erfinv(x: Array) -> Array:
    """Return the inverse of erf; NaN outside [-1, 1]. Error below 2^-48."""
    a = np.abs(x)
    near = _invert_erf(np.where(a <= 0.5, x, 0.0))
    far = _invert_erfc(np.where((a > 0.5) & (a < 1), 1.0 - a, 0.5))
    far = np.where(a < 1, far, np.where(a == 1, np.inf, np.nan))
    return np.where(a <= 0.5, np.where(x == 0, x, near), np.copysign(far, x))


def ndtri(p: Array) -> Array:
    """Return the quantile of the standard normal distribution; NaN outside [0, 1].

    Error below 2^-48 of the larger of the result and 1.
    """
    low = (p > 0) & (p < 0.25)
    high = (p > 0.75) & (p < 1)
    tail = _invert_erfc(np.where(low, 2.0 * p, np.where(high, 2.0 * (1.0 - p), 0.5)))
    middle = _invert_erf(np.where((p >= 0.25) & (p <= 0.75), 2.0 * p - 1.0, 0.0))
    result = ROOT_2 * np.where(low, -tail, np.where(high, tail, middle))
    result = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, result))
    return np.where((p >= 0) & (p <= 1), result, np.nan)


@cache
def _list_gamma_series() -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return the coefficients of three series.

    They are lgamma(2 + z) / z (DLMF 5.7.3), and Stirling's series of lgamma and digamma (DLMF 5.11.1, 5.11.2).
    """
    near = [1 - compute_euler(), *(Fraction((-1) ** k, k) * compute_zeta_less_one(k) for k in range(2, 30))]
    numbers = list_bernoulli(12)
    far = [number / (2 * k * (2 * k - 1)) for k, number in enumerate(numbers, 1)]
    slope = [number / (2 * k) for k, number in enumerate(numbers, 1)]
    return tuple(map(float, near)), tuple(map(float, far)), tuple(map(float, slope))


def _lgamma_positive(x: Array) -> Array:
    """Return log(gamma(x)) for x > 0."""
    near, far, _ = _list_gamma_series()
    large = np.where(x >= STIRLING_FIRST, x, STIRLING_FIRST)
    inverse = 1.0 / large
    series = inverse * evaluate_polynomial(far, inverse * inverse)
    result = ((large - 0.5) * (log(large) - 1.0) - 0.5) + (LOG_ROOT_2_PI + series)
    small = np.where(x < STIRLING_FIRST, x, 2.0)
    # small = 2 + steps + z, |z| <= 1/2
    steps = np.floor(small + 0.5) - 2.0
    z = small - (2.0 + steps)
    value = z * evaluate_polynomial(near, z)
    value = np.where(steps == -1, value - log1p(np.where(steps == -1, z, 0.0)), value)
    tiny = steps == -2
    value = np.where(tiny, value - log1p(np.where(tiny, z, 0.0)) - log(np.where(tiny & (z > 0), z, 1.0)), value)
    product = np.ones_like(x)
    for k in range(1, int(STIRLING_FIRST)):
        product = np.where(steps >= k, product * (small - k), product)
    value = np.where(steps >= 1, value + log(product), value)
    return np.where(x >= STIRLING_FIRST, np.where(x == np.inf, np.inf, result), value)


def lgamma(x: Array) -> Array:
    """Return log(|gamma(x)|). Error below 2^-49 for x > 0, else below 2^-48 of the largest term of DLMF 5.5.3."""
    negative = (x < 0.5) & (x > -(2.0**52))
    reflected = _lgamma_positive(np.where(negative & (x <= 0), 1.0 - x, np.where(x > 0, x, 1.0)))
    sine = np.abs(rotate(np.where(negative, x, 0.5))[0])
    below = (float(LOG_PI) - log(np.where(sine > 0, sine, 1.0))) - reflected
    pole = (x <= 0) & (np.floor(x) == x) | (np.abs(x) == np.inf)
    result = np.where(x > 0, reflected, below)
    return np.where(np.isnan(x), np.nan, np.where(pole, np.inf, result))


def digamma(x: Array) -> Array:
    """Return the derivative of lgamma. Error below 2^-48 of the larger of the result and 1; NaN at the poles."""
    slope = _list_gamma_series()[2]
    negative = (x <= 0) & (x > -(2.0**52))
    at = np.where(negative, 1.0 - x, np.where(x > 0, x, 1.0))
    total = np.zeros_like(x)
    for _ in range(int(STIRLING_FIRST)):
        small = at < STIRLING_FIRST
        total = np.where(small, total - 1.0 / at, total)
        at = np.where(small, at + 1.0, at)
    inverse = 1.0 / at
    square = inverse * inverse
    result = total + ((log(at) - 0.5 * inverse) - square * evaluate_polynomial(slope, square))
    sine, cosine = rotate(np.where(negative, x, 0.5))
    result = np.where(negative, result - float(PI) * cosine / np.where(sine == 0, np.nan, sine), result)
    return np.where((x > 0) | negative, result, np.nan)


# The asymptotic series is used for this argument and greater ones.
BESSEL_FIRST = 20.0


@cache
def _list_bessel_series(order: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the coefficients of DLMF 10.25.2 in (x/2)^2, and of DLMF 10.40.1 in 1/x, for I0 or I1."""
    near = [Fraction(1, factorial(k) * factorial(k + order)) for k in range(52)]
    far = [Fraction(1)]
    for k in range(1, 31):
        far.append(-far[-1] * (4 * order * order - (2 * k - 1) ** 2) / (8 * k))
    return tuple(map(float, near)), tuple(map(float, far))


def _bessel_i(x: Array, order: int, scaled: bool) -> Array:
    """Return the modified Bessel function I0 or I1 of |x|, times e^-|x| if `scaled`. Error below 2^-49."""
    near, far = _list_bessel_series(order)
    a = np.abs(x)
    small = np.where(a < BESSEL_FIRST, a, 0.0)
    half = 0.5 * small
    series = evaluate_polynomial(near, half * half) * (half if order else 1.0)
    large = np.where(a < BESSEL_FIRST, BESSEL_FIRST, a)
    tail = evaluate_polynomial(far, 1.0 / large) / np.sqrt(large * float(2 * PI))
    if scaled:
        return np.where(a < BESSEL_FIRST, series * exp(-small), tail)
    power = exp(0.5 * large)
    return np.where(a < BESSEL_FIRST, series, tail * power * power)


def bessel_i0(x: Array) -> Array:
    """Return the modified Bessel function I0. Error below 2^-49."""
    return _bessel_i(x, 0, scaled=False)


def bessel_i0e(x: Array) -> Array:
    """Return I0(x) e^-|x|. Error below 2^-49."""
    return _bessel_i(x, 0, scaled=True)


def bessel_i1(x: Array) -> Array:
    """Return the modified Bessel function I1. Error below 2^-49."""
    return np.copysign(_bessel_i(x, 1, scaled=False), x)


def bessel_i1e(x: Array) -> Array:
    """Return I1(x) e^-|x|. Error below 2^-49."""
    return np.copysign(_bessel_i(x, 1, scaled=True), x)
