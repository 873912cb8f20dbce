"""How long a call takes: warmed up until it is steady, then run until the median is known to a stated precision.

All times are milliseconds. Nothing here knows what is called, nor how the clock goes: both are given.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tflbuild.core.digest import Json

CONFIDENCE = 0.95
EXACT = 1000  # runs up to which ranks come from the binomial distribution itself
QUANTILE = 1.959963984540054  # of the normal distribution, at (1 + CONFIDENCE) / 2
WINDOW = 10  # calls whose median is held against that of the calls before them
WARM_SHARE = 0.25  # of all the time there is, for warming up
MOST_RUNS = 100_000  # enough for a call of less than a microsecond
DRIFTED = 0.05  # from this difference between the halves on it is told
GROWTH = 1.25  # runs are judged after so many times as many: judging between them disturbs them
LEAST_SECONDS = 0.5  # of runs: a clock that changes, and a neighbour that comes and goes, are not seen in less
NS_PER_MS = 1e6
NS_PER_S = 1e9


@dataclass(frozen=True, kw_only=True)
class TimingEffort:
    """How much is done for a figure.

    `precision`: how far the ends of the median's interval may lie from it, as a share of it. At least `runs` and
    `warmup` calls, and half a second of runs (of very short ones, 100,000); at most `most_seconds` for all of them,
    though two are always timed.
    """

    runs: int
    warmup: int
    precision: float
    most_seconds: float


@dataclass(frozen=True)
class Timing:
    """What was timed: every run in order, how many calls came before, and whether they had become steady."""

    times: tuple[float, ...]
    warmups: int
    steady: bool
    precision: float

    @property
    def median(self) -> float:
        return quantile(sorted(self.times), 0.5)

    @property
    def reached(self) -> bool:
        """Whether the median is known to the precision that was asked for."""
        return half_width(self.times) <= self.precision

    def as_json(self) -> dict[str, Json]:
        """Figures as the benchmark's report has them."""
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
        """What a person has to know of these figures, in words."""
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
    """Of sorted values, between the two nearest in proportion. Raises ValueError for none."""
    if not ordered:
        raise ValueError("no values")
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def rank_of_interval(count: int) -> int:
    """The rank, from 1, of the value at which the median's interval begins; it ends at the same from the other end.

    0 where so few values (below 6) allow no interval of this confidence. Whatever the values' distribution, the
    median lies below the k-th smallest of n with the probability that fewer than k of n fair coins show heads.
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
    """How many independent runs would tell as much: fewer where slow runs come together.

    As for a series in which each value remembers the one before: n (1 - r) / (1 + r), r being their correlation, which
    a short series shows too small by about (1 + 3 r) / n.
    """
    count, shown = len(times), serial_correlation(times)
    remembered = min(1.0, max(0.0, shown + (1 + 3 * shown) / count))
    return math.floor(count * (1 - remembered) / (1 + remembered))


def interval_of_median(times: Sequence[float]) -> tuple[float, float]:
    """The confidence interval of the median of runs in order, by order statistics; of too few, all of them."""
    ordered, count = sorted(times), max(1, effective_count(times))
    rank = max(1, math.floor(rank_of_interval(count) * len(times) / count))
    return ordered[rank - 1], ordered[-rank]


def half_width(times: Sequence[float]) -> float:
    """How far the farther end of the interval lies from the median, as a share of it; infinite for too few runs."""
    median = quantile(sorted(times), 0.5)
    if rank_of_interval(effective_count(times)) < 1 or median <= 0:
        return math.inf
    low, high = interval_of_median(times)
    return max(high - median, median - low) / median


def drift(times: Sequence[float]) -> float:
    """How much slower the last half of the runs was than the first, by their medians, as a share of the first."""
    half = len(times) // 2
    if half < 1:
        return 0.0
    first = quantile(sorted(times[:half]), 0.5)
    return quantile(sorted(times[-half:]), 0.5) / first - 1 if first > 0 else 0.0


def serial_correlation(times: Sequence[float]) -> float:
    """How a run's rank goes with that of the next one: 0 for independent runs, 1 where slow ones follow slow ones."""
    ranks = centred_ranks(times)
    total = sum(rank * rank for rank in ranks)
    return sum(one * other for one, other in pairwise(ranks)) / total if total else 0.0


def centred_ranks(values: Sequence[float]) -> list[float]:
    """Each value's rank, 0 for the middle one. Equal values, which a coarse clock gives, share theirs."""
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
    """Warm up, then time calls one by one. `clock` gives nanoseconds."""
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
    """(calls made, whether they became steady): until a window's median is that of the one before, within `precision`.

    At least `warmup` calls; no more once the time is over.
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
