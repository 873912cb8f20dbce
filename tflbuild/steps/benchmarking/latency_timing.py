"""Measurement of latency: warm up until calls are steady, then run until the median is known to a given precision.

All times are in milliseconds. The function and the clock are arguments.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tflbuild.core.digest import Json

CONFIDENCE = 0.95
# The number of runs up to which ranks are computed from the binomial distribution.
EXACT = 1000
# The quantile of the normal distribution at (1 + CONFIDENCE) / 2.
QUANTILE = 1.959963984540054
# The number of calls whose median is compared with that of the calls before them.
WINDOW = 10
# The fraction of the total time for warming up.
WARM_SHARE = 0.25
# This is enough for a call of less than a microsecond.
MOST_RUNS = 100_000
# The difference between the halves of the runs from which on it is reported.
DRIFTED = 0.05
# The precision is computed again after this many times as many runs, because computing it disturbs the runs.
GROWTH = 1.25
# The shortest time of all runs. Changes of the clock, and other processes, are not visible in a shorter one.
LEAST_SECONDS = 0.5
NS_PER_MS = 1e6
NS_PER_S = 1e9


@dataclass(frozen=True, kw_only=True)
class TimingEffort:
    """The effort of a measurement.

    Attributes:
        runs: The smallest number of timed calls.
        warmup: The smallest number of calls before.
        precision: The largest distance of the ends of the median's interval from the median, as a fraction of it.
        most_seconds: The longest time for all calls, although two are always timed. Runs take at least half a second,
            unless there are 100,000.
    """

    runs: int
    warmup: int
    precision: float
    most_seconds: float


@dataclass(frozen=True)
class Timing:
    """The result of a measurement.

    Attributes:
        times: The time of every run, in order.
        warmups: The number of calls before.
        steady: Whether the calls had become steady.
        precision: The requested precision.
    """

    times: tuple[float, ...]
    warmups: int
    steady: bool
    precision: float

    @property
    def median(self) -> float:
        return quantile(sorted(self.times), 0.5)

    @property
    def reached(self) -> bool:
        """Return whether the median is known to the requested precision."""
        return half_width(self.times) <= self.precision

    def as_json(self) -> dict[str, Json]:
        """Return the figures of the benchmark's report."""
        ordered = sorted(self.times)
        median, width = quantile(ordered, 0.5), half_width(self.times)
        return {
            "runs": len(ordered),
            "warmups": self.warmups,
            "steady": self.steady,
            "p10_ms": quantile(ordered, 0.1),
            "p50_ms": median,
            "p90_ms": quantile(ordered, 0.9),
            "least_ms": ordered[0],
            "most_ms": ordered[-1],
            "mad_ms": quantile(sorted(abs(one - median) for one in ordered), 0.5),
            "iqr_ms": quantile(ordered, 0.75) - quantile(ordered, 0.25),
            "confidence": CONFIDENCE,
            "interval_ms": list(interval_of_median(self.times)),
            "precision": self.precision,
            "reached_precision": width if math.isfinite(width) else None,
            "reached": self.reached,
            "drift": drift(self.times),
            "serial_correlation": serial_correlation(self.times),
        }

    def notes(self) -> list[str]:
        """Return notes for the user on the reliability of the figures."""
        found = []
        if not self.steady:
            found.append(f"calls had not become steady after {self.warmups} of warm-up")
        if not self.reached:
            width = half_width(self.times)
            known = f"known to ±{width:.1%} only, not to" if math.isfinite(width) else "not known to"
            found.append(f"the median is {known} ±{self.precision:.1%}: no more than {len(self.times)} runs fitted in")
        moved = drift(self.times)
        if abs(moved) > DRIFTED:
            pace, why = ("slower", "throttled") if moved > 0 else ("faster", "raised")
            found.append(
                f"the second half of the runs was {abs(moved):.1%} {pace} than the first: the clock was {why}, or"
                " something else ran"
            )
        return found


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, interpolated between the two nearest ones.

    Raises:
        ValueError: There are no values.
    """
    if not ordered:
        raise ValueError("no values")
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def rank_of_interval(count: int) -> int:
    """Return the rank, from 1, of the value at which the median's confidence interval begins.

    The interval ends at the same rank from the end. The rank is 0 if there are too few values (below 6) for an interval
    of this confidence. Whatever the distribution of the values, the probability that the median is below the k-th
    smallest of n values is that of fewer than k heads in n throws of a fair coin.
    """
    tail = (1 - CONFIDENCE) / 2
    if count > EXACT:
        return math.floor(count / 2 - QUANTILE * math.sqrt(count) / 2)
    below, rank = 0.0, 0
    while rank <= count:
        below += math.comb(count, rank) / 2**count
        if below > tail:
            break
        rank += 1
    return rank


def effective_count(times: Sequence[float]) -> int:
    """Return the number of independent runs with the same information: fewer if slow runs are next to each other.

    For a series in which each value depends on the one before it is n (1 - r) / (1 + r), where r is their correlation.
    A short series underestimates r by about (1 + 3 r) / n.
    """
    count, shown = len(times), serial_correlation(times)
    remembered = min(1.0, max(0.0, shown + (1 + 3 * shown) / count))
    return math.floor(count * (1 - remembered) / (1 + remembered))


def interval_of_median(times: Sequence[float]) -> tuple[float, float]:
    """Return the confidence interval of the median of runs in order, by order statistics.

    For too few runs it contains all of them.
    """
    ordered, count = sorted(times), max(1, effective_count(times))
    rank = max(1, math.floor(rank_of_interval(count) * len(times) / count))
    return ordered[rank - 1], ordered[-rank]


def half_width(times: Sequence[float]) -> float:
    """Return the distance from the median to the farther end of its interval, relative to the median.

    It is infinite for too few runs.
    """
    median = quantile(sorted(times), 0.5)
    if rank_of_interval(effective_count(times)) < 1 or median <= 0:
        return math.inf
    low, high = interval_of_median(times)
    return max(high - median, median - low) / median


def drift(times: Sequence[float]) -> float:
    """Return by how much the last half of the runs was slower than the first, by medians, relative to the first."""
    half = len(times) // 2
    if half < 1:
        return 0.0
    first = quantile(sorted(times[:half]), 0.5)
    return quantile(sorted(times[-half:]), 0.5) / first - 1 if first > 0 else 0.0


def serial_correlation(times: Sequence[float]) -> float:
    """Return the correlation of a run's rank with that of the next run.

    It is 0 for independent runs, and 1 if slow runs follow slow runs.
    """
    ranks = centred_ranks(times)
    total = sum(rank * rank for rank in ranks)
    return sum(one * other for one, other in pairwise(ranks)) / total if total else 0.0


def centred_ranks(values: Sequence[float]) -> list[float]:
    """Return each value's rank relative to the middle. Equal values, which a coarse clock causes, share their rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    first = 0
    for _, equal in groupby(order, key=values.__getitem__):
        places = list(equal)
        shared = first + (len(places) - len(values)) / 2
        for place in places:
            ranks[place] = shared
        first += len(places)
    return ranks


def measure(
    call: Callable[[], object], effort: TimingEffort, clock: Callable[[], int] = time.perf_counter_ns
) -> Timing:
    """Warm up, then time calls one by one.

    Args:
        call: The function to time.
        effort: The effort.
        clock: Returns nanoseconds.
    """
    started = clock()
    ends = started + effort.most_seconds * NS_PER_S
    warmups, steady = warm_up(call, effort, clock, started + WARM_SHARE * effort.most_seconds * NS_PER_S)
    times: list[float] = []
    judged_at = max(2, effort.runs)
    least = clock() + LEAST_SECONDS * NS_PER_S
    while True:
        began = clock()
        call()
        now = clock()
        times.append((now - began) / NS_PER_MS)
        if (now >= ends and len(times) >= 2) or len(times) >= max(effort.runs, MOST_RUNS):
            break
        if len(times) >= judged_at and now >= least:
            if half_width(times) <= effort.precision:
                break
            judged_at = math.ceil(len(times) * GROWTH)
    return Timing(tuple(times), warmups, steady, effort.precision)


def warm_up(
    call: Callable[[], object], effort: TimingEffort, clock: Callable[[], int], ends: float
) -> tuple[int, bool]:
    """Call until the median of a window differs from that of the window before by at most `precision`.

    At least `warmup` calls are made, and none after the time `ends`.

    Returns:
        The number of calls, and whether they became steady.
    """
    calls, before = 0, math.inf
    while True:
        window = []
        for _ in range(WINDOW):
            began = clock()
            call()
            now = clock()
            window.append((now - began) / NS_PER_MS)
            calls += 1
            if now >= ends:
                return calls, False
        median = quantile(sorted(window), 0.5)
        if calls >= effort.warmup and math.isfinite(before) and abs(median - before) <= effort.precision * before:
            return calls, True
        before = median
