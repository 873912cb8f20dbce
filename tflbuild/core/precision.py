"""How many digits of a figure hold on every CPU.

Float kernels round differently from CPU to CPU, so the outputs of a source and of an artifact do, and every figure that
compares them. An error that is far above that noise holds to many digits, one that is near it to few. Figures are
rounded once, where they are measured; whatever compares or prints them uses the rounded ones (docs/adr/0018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

NOISE_DB = 120.0  # power of outputs over that of their difference between CPUs, less a margin: docs/adr/0018
IDENTICAL_DB = 200.0  # what stands for equal outputs, whose ratio is infinite
MOST_DIGITS = 4
LEAST_STEP_DB, MOST_STEP_DB = 0.01, 10.0
ERRORS = ("max_abs_error", "rmse")
DECIBELS = 20.0 / math.log(10.0)  # of a relative change of an amplitude by 1


def count_digits(snr_db: float) -> int:
    """Return how many significant digits of an error hold, given its ratio in dB; 0 for its power of ten alone."""
    if not math.isfinite(snr_db):
        return 1
    if snr_db > NOISE_DB:
        return 0
    return max(1, min(MOST_DIGITS, math.floor((NOISE_DB - snr_db) / 20.0)))


def ratio_step(snr_db: float) -> float:
    """Return the step in dB to which a signal-to-noise ratio holds: a power of ten."""
    uncertain = DECIBELS * 10.0 ** ((snr_db - NOISE_DB) / 20.0)
    step = LEAST_STEP_DB
    while step < min(uncertain, MOST_STEP_DB):
        step *= 10.0
    return step


def round_digits(value: float, digits: int) -> float:
    """Return a value rounded to significant digits, with 0 to a power of ten; what is no finite number as it is."""
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
        lost_db: how much weaker the channel is than its tensor, whose noise it has.
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
    """Return a user's metric to the digits that are taken to hold; a whole number stays as it is."""
    return value if value.is_integer() else round_digits(value, MOST_DIGITS)


def round_interval(interval: Mapping[str, float], snr_db: float) -> dict[str, float]:
    """Return the interval of a ratio with bounds rounded as the ratio is."""
    return {**interval, **{end: round_ratio(interval[end], snr_db) for end in ("low", "high")}}


def resolution(name: str, value: float, figures: Mapping[str, float]) -> float:
    """Return the step to which a figure holds on every CPU, 0 for what does not depend on it.

    `figures` are all of the artifact's, named as in `core.gates`: the ratio of an output decides how precise its others
    are.
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
    """Return what one unit of the last of so many significant digits is worth."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1) if value else 0.0


def is_close(name: str, value: float, limit: float, figures: Mapping[str, float]) -> bool:
    """Whether a figure is so near a limit that another CPU may find it on the other side."""
    return abs(value - limit) <= resolution(name, value, figures) > 0.0
