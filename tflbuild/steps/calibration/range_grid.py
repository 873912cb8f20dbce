"""The grid that calibrated ranges are rounded to, so that the last digits of float kernels decide nothing.

A range is rounded outward to lines that lie 1/256 to 1/512 of its span apart. Kernels of different CPUs give values
that differ by about a millionth of the span, so both give the same lines, unless a value lies that close to the place
where the rounding changes. These places lie `OVERSHOOT` of a step beyond the lines: values that models reach exactly
(0, 1, 6, -0.375) are on lines, and keep away from them. Up to `OVERSHOOT` of a step is cut off, 1/16 of a step of int8.
"""

from __future__ import annotations

import math
from itertools import product

BITS = 8
OVERSHOOT = 1 / 16
GREATEST = (2.0 - 2.0**-23) * 2.0**127  # of float32

Bounds = tuple[float, float]


def round_range(low: float, high: float) -> Bounds:
    """Return a range with both bounds rounded outward to the grid of its span, which always holds zero."""
    span = find_span(low, high)
    if span == 0.0:
        return low, high
    return _round_by(low, high, _exponent(span))


def round_noisy(low: float, high: float, noise: Bounds) -> tuple[Bounds, tuple[bool, bool]]:
    """Return the rounded range, and which of its bounds are the same for all bounds within `noise` of these.

    The test is complete: for each grid that a span within the noise has, rounding is monotonic in each bound, so that
    the ends of the bound's interval give the extremes.
    """
    rounded = round_range(low, high)
    span, doubt = find_span(low, high), sum(noise)
    if doubt == 0.0 or span == 0.0:
        return rounded, (True, True)
    if not doubt < span:
        return rounded, (False, False)
    exponents = range(_exponent(span - doubt), _exponent(span + doubt) + 1)
    lows, highs = (low - noise[0], low + noise[0]), (high - noise[1], high + noise[1])
    every = [_round_by(least, most, exponent) for least, most, exponent in product(lows, highs, exponents)]
    return rounded, (all(each[0] == rounded[0] for each in every), all(each[1] == rounded[1] for each in every))


def find_span(low: float, high: float) -> float:
    """Return the width of a range, extended to hold zero as quantized ranges are."""
    return max(high, 0.0) - min(low, 0.0)


def _exponent(span: float) -> int:
    return math.frexp(span)[1]


def _round_by(low: float, high: float, exponent: int) -> Bounds:
    step = math.ldexp(1.0, exponent - 1 - BITS)
    bounds = math.floor(low / step + OVERSHOOT) * step, math.ceil(high / step - OVERSHOOT) * step
    # `+ 0.0` makes a negative zero positive
    least, most = (min(max(bound, -GREATEST), GREATEST) + 0.0 for bound in bounds)
    return least, most
