"""Mathematical constants with more digits than a float64, computed with integers.

All numbers in this module are fractions or fixed-point integers of `BITS` bits, so they are the same on every machine.
Formulas: Machin's for pi, atanh series for logarithms, Euler-Maclaurin summation for zeta and Euler's constant
(NIST Digital Library of Mathematical Functions, 4.6, 4.24, 24.2, 25.2, 5.2).
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import comb, factorial, isqrt

BITS = 320


def sum_atan(numerator: int, denominator: int, bits: int = BITS, sign: int = -1) -> int:
    """Return atan (or atanh if `sign` is 1) of a fraction below 1 as a fixed-point integer, from its power series."""
    power = (numerator << (bits + 16)) // denominator
    total, order = 0, 1
    while power:
        total += power // order
        power = sign * power * numerator * numerator // (denominator * denominator)
        order += 2
        if abs(power) <= 1:
            break
    return total >> 16


@cache
def compute_pi(bits: int = BITS) -> int:
    """Return pi as a fixed-point integer: 16 atan(1/5) - 4 atan(1/239)."""
    return (16 * sum_atan(1, 5, bits + 16) - 4 * sum_atan(1, 239, bits + 16)) >> 16


@cache
def compute_log(number: int) -> Fraction:
    """Return the natural logarithm of a positive integer.

    With number = 2^k m and m in [2/3, 4/3], it is k log(2) + 2 atanh((m - 1) / (m + 1)).
    """
    exponent = number.bit_length() - 1
    if 3 * number > 4 << exponent:
        exponent += 1
    ratio = Fraction(number - (1 << exponent), number + (1 << exponent))
    series = 2 * sum_atan(abs(ratio.numerator), ratio.denominator, sign=1) * (1 if ratio >= 0 else -1)
    doubling = 2 * sum_atan(1, 3, sign=1) if exponent else 0
    return Fraction(series + exponent * doubling, 1 << BITS)


PI = Fraction(compute_pi(), 1 << BITS)
LOG_2 = compute_log(2)


def take_root(number: Fraction) -> Fraction:
    """Return the square root of a positive fraction to `BITS` bits."""
    return Fraction(isqrt((number.numerator << (2 * BITS)) // number.denominator), 1 << BITS)


def split_number(number: Fraction, *widths: int) -> list[float]:
    """Return float64 numbers whose sum is `number`: numbers with `widths` bits, then two with 53 bits."""
    parts = []
    for width in (*widths, 53, 53):
        head = float(number)
        if width < 53 and head:
            scale = Fraction(2) ** (width - len(bin(int(abs(number) * 2**400))) + 2 + 400)
            head = float(Fraction(round(number * scale)) / scale)
        parts.append(head)
        number -= Fraction(head)
    return parts


@cache
def list_bernoulli(count: int) -> tuple[Fraction, ...]:
    """Return the Bernoulli numbers B(2), B(4), ... B(2 count)."""
    numbers = [Fraction(1)]
    for order in range(1, 2 * count + 1):
        numbers.append(-sum((comb(order + 1, k) * numbers[k] for k in range(order)), Fraction(0)) / (order + 1))
    return tuple(numbers[2::2])


@cache
def compute_zeta_less_one(order: int) -> Fraction:
    """Return zeta(order) - 1 to about 100 bits. `order` is an integer of at least 2."""
    last, terms = 20, 16
    total = sum((Fraction(1, k**order) for k in range(2, last)), Fraction(0))
    total += Fraction(1, (order - 1) * last ** (order - 1)) + Fraction(1, 2 * last**order)
    for k, bernoulli in enumerate(list_bernoulli(terms), 1):
        rising = factorial(order + 2 * k - 2) // factorial(order - 1)
        total += bernoulli * rising / (factorial(2 * k) * Fraction(last) ** (order + 2 * k - 1))
    return total


@cache
def compute_euler() -> Fraction:
    """Return Euler's constant to about 100 bits."""
    last, terms = 32, 16
    total = sum((Fraction(1, k) for k in range(1, last + 1)), Fraction(0)) - compute_log(last) - Fraction(1, 2 * last)
    for k, bernoulli in enumerate(list_bernoulli(terms), 1):
        total += bernoulli / (2 * k * Fraction(last) ** (2 * k))
    return total
