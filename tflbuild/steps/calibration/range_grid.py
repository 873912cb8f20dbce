"""The grid to which calibrated ranges are rounded, so that the last digits of float kernels do not change them.

A range is rounded outward to grid lines that are 1/256 to 1/512 of its span apart. Kernels of different CPUs return
values that differ by about a millionth of the span, so they result in the same lines, unless a value is that close to a
point where the rounding changes. These points are `OVERSHOOT` of a step beyond the lines: values that models reach
exactly (0, 1, 6, -0.375) are on lines, and therefore far from these points. At most `OVERSHOOT` of a step is cut off,
which is 1/16 of a step of int8.
"""

from __future__ import annotations

import math
from itertools import product

BITS = 8
OVERSHOOT = 1 / 16
# The largest finite float32 value.
LARGEST_FLOAT32 = (2.0 - 2.0**-23) * 2.0**127

Bounds = tuple[float, float]


def round_range(low: float, high: float) -> Bounds:
    """Round both bounds of a range outward to the grid of its span, which always contains zero."""
    span = find_span(low, high)
    if span == 0.0:
        return low, high
    return _round_by(low, high, _exponent(span))


def round_noisy(low: float, high: float, noise: Bounds) -> tuple[Bounds, tuple[bool, bool]]:
    """Round a range, and report which rounded bounds stay the same for every change of the bounds within `noise`.

    The test is complete: on each grid that a span within the noise may have, rounding is monotonic in each bound. So
    the ends of a bound's interval yield the extremes.

    Args:
        low: The lower bound.
        high: The upper bound.
        noise: The largest absolute error of each bound.

    Returns:
        The rounded range, and for each bound whether noise cannot change it.
    """
    rounded = round_range(low, high)
    span, total_noise = find_span(low, high), sum(noise)
    if total_noise == 0.0 or span == 0.0:
        return rounded, (True, True)
    if not total_noise < span:
        return rounded, (False, False)
    exponents = range(_exponent(span - total_noise), _exponent(span + total_noise) + 1)
    lows, highs = (low - noise[0], low + noise[0]), (high - noise[1], high + noise[1])
    candidates = [_round_by(lower, upper, exponent) for lower, upper, exponent in product(lows, highs, exponents)]
    return rounded, (
        all(candidate[0] == rounded[0] for candidate in candidates),
        all(candidate[1] == rounded[1] for candidate in candidates),
    )


def find_span(low: float, high: float) -> float:
    """Return the width of a range after it is extended to contain zero, as quantized ranges are."""
    return max(high, 0.0) - min(low, 0.0)


def _exponent(span: float) -> int:
    """Return the exponent e of a span: 2^(e-1) <= span < 2^e."""
    return math.frexp(span)[1]


def _round_by(low: float, high: float, exponent: int) -> Bounds:
    """Round bounds outward to multiples of 2^(exponent - 1 - BITS)."""
    step = math.ldexp(1.0, exponent - 1 - BITS)
    bounds = math.floor(low / step + OVERSHOOT) * step, math.ceil(high / step - OVERSHOOT) * step
    # Adding 0.0 turns a negative zero into a positive one.
    lower, upper = (min(max(bound, -LARGEST_FLOAT32), LARGEST_FLOAT32) + 0.0 for bound in bounds)
    return lower, upper
