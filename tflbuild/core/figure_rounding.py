"""Round figures to the digits that are the same on every CPU.

Float kernels round differently from CPU to CPU. So the outputs of a source and of an artifact differ in their last
digits, and so does every figure that compares them. Many digits of an error are the same where it is far above that
noise, few where it is near it. Figures are rounded once, where they are measured. What compares or prints them uses the
rounded ones (docs/adr/0018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

# The power of outputs over the power of their difference between CPUs, with a margin of 15 dB: docs/adr/0018
NOISE_DB = 120.0
IDENTICAL_DB = 200.0  # the ratio that is written for equal outputs, in place of infinity
MOST_DIGITS = 4
LEAST_STEP_DB, MOST_STEP_DB = 0.01, 10.0
ERRORS = ("max_abs_error", "rmse")
DECIBELS = 20.0 / math.log(10.0)  # small relative changes of an amplitude, times this, are changes in dB


def count_digits(snr_db: float) -> int:
    """Return how many significant digits of an error are the same on every CPU; 0 if only its power of ten is.

    Args:
        snr_db: The signal-to-noise ratio that belongs to the error, in dB.
    """
    if not math.isfinite(snr_db):
        return 1
    if snr_db > NOISE_DB:
        return 0
    return max(1, min(MOST_DIGITS, math.floor((NOISE_DB - snr_db) / 20.0)))


def ratio_step(snr_db: float) -> float:
    """Return the step in dB to which a signal-to-noise ratio is rounded: a power of ten."""
    uncertain = DECIBELS * 10.0 ** ((snr_db - NOISE_DB) / 20.0)
    step = LEAST_STEP_DB
    while step < min(uncertain, MOST_STEP_DB):
        step *= 10.0
    return step


def round_digits(value: float, digits: int) -> float:
    """Return a value rounded to significant digits, or to a power of ten for 0 digits.

    Zero, infinities and NaN are returned unchanged.
    """
    if not value or not math.isfinite(value):
        return value
    if digits == 0:
        return math.copysign(10.0 ** round(math.log10(abs(value))), value)
    return float(f"{value:.{digits - 1}e}")


def round_ratio(value_db: float, near_db: float | None = None) -> float:
    """Return a ratio in dB rounded to the digits that hold; `near_db` is the ratio that decides how many."""
    if not abs(value_db) < IDENTICAL_DB:  # NaN included
        return value_db
    step = ratio_step(value_db if near_db is None else near_db)
    return round(value_db, -round(math.log10(step)))


def show_ratio(value_db: float) -> str:
    """Return a ratio with the digits that hold, one decimal at most; the unit dB is left to the caller."""
    return f"{value_db:.{0 if ratio_step(value_db) > 0.1 and abs(value_db) < IDENTICAL_DB else 1}f}"


def round_cosine(value: float, snr_db: float) -> float:
    """Return a cosine whose distance from 1 is rounded to the digits that hold."""
    distance = 1.0 - value
    if not distance or not math.isfinite(distance):
        return value
    decimals = count_digits(snr_db) - 1 - math.floor(math.log10(abs(distance)))
    return round(value, decimals)


def round_parity(figures: Mapping[str, float], lost_db: float = 0.0) -> dict[str, float]:
    """Return the figures of one output or channel to the digits that hold.

    Args:
        figures: `snr_db`, and any of `cosine`, `max_abs_error`, `rmse`; others are returned as they are.
        lost_db: how much weaker than its tensor a channel is, in dB. Its noise is that of the tensor.
    """
    snr_db = figures["snr_db"]
    near = snr_db + lost_db
    rounded = dict(figures)
    rounded["snr_db"] = round_ratio(snr_db, near)
    rounded |= {name: round_digits(figures[name], count_digits(near)) for name in ERRORS if name in figures}
    if "cosine" in figures:
        rounded["cosine"] = round_cosine(figures["cosine"], near)
    return rounded


def round_metric(value: float) -> float:
    """Return a user's metric rounded to `MOST_DIGITS` digits; a whole number stays unchanged."""
    return value if value.is_integer() else round_digits(value, MOST_DIGITS)


def round_interval(interval: Mapping[str, float], snr_db: float) -> dict[str, float]:
    """Return the confidence interval of a ratio with its bounds rounded to the same step as the ratio."""
    return {**interval, **{end: round_ratio(interval[end], snr_db) for end in ("low", "high")}}


def resolution(name: str, value: float, figures: Mapping[str, float]) -> float:
    """Return the step to which a figure is rounded, 0.0 for a figure that does not depend on the CPU.

    Args:
        name: The figure's name, as in `core.gates`.
        value: The figure.
        figures: All figures of the artifact by name. The signal-to-noise ratio of an output decides how many digits of
            its other figures are the same on every CPU.
    """
    prefix, _, own = name.rpartition(".")
    snr_db = figures.get(f"{prefix}.snr_db" if prefix else "snr_db", 0.0)
    if own == "snr_db":
        return ratio_step(value) if abs(value) < IDENTICAL_DB else 0.0
    if name.startswith("metrics."):
        return 0.0 if value.is_integer() else last_digit(value, MOST_DIGITS)
    if own in ERRORS:
        return last_digit(value, count_digits(snr_db))
    return last_digit(1.0 - value, count_digits(snr_db)) if own == "cosine" else 0.0


def last_digit(value: float, digits: int) -> float:
    """Return the value of one unit in the last of `digits` significant digits."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1) if value else 0.0


def is_close(name: str, value: float, limit: float, figures: Mapping[str, float]) -> bool:
    """Return whether a figure is so near a limit that it may be on the other side of it on another CPU."""
    return abs(value - limit) <= resolution(name, value, figures) > 0.0
