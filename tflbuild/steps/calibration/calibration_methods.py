"""The methods of calibration. Each gives every activation a range, and says whether noise could change it.

Kernels of different CPUs give values that differ in their last bits. Every method is therefore a function of the values
that changes little when they do (extremes, averages, sums over values near an edge instead of counts), followed by one
decision: a line of the grid, an edge, a share. The decision is `sure` when no noise within the limit changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.steps.calibration.activation_observer import Activation, Observer, Ranges, measure_calls, require_finite
from tflbuild.steps.calibration.range_grid import Bounds, find_span, round_noisy

BINS = 2048
LEVELS = 256
LEAST_SHARE, PARTS = 30, 100  # `mse` tries 30 to 100 hundredths of the full range
SUMMING = 1e-9  # far above what the order of a sum in float64 changes


@dataclass(frozen=True)
class RangeDecision:
    """A range, which of its bounds are sure, the values behind it, and the calls that decide it (None: all of them)."""

    range: Bounds
    sure_bounds: tuple[bool, bool]
    values: Bounds
    calls: tuple[int, ...] | None = None

    @property
    def sure(self) -> bool:
        """Return whether no noise within the limit changes the range."""
        return all(self.sure_bounds)


@dataclass(frozen=True)
class CalibrationPass:
    """What a method looks at: some calls of an observer (None: all), with a limit of noise for each activation.

    `noise` is a share of the activation's span, 0.0 for an exact one. `full` has the ranges of all values, for the
    methods that cut them. `before` has decisions whose sure bounds stand, since some calls need not hold them; these
    bounds have the noise `noise_before`.
    """

    observer: Observer
    noise: Mapping[str, float]
    calls: Sequence[int] | None = None
    full: Ranges = field(default_factory=dict)
    before: Mapping[str, RangeDecision] = field(default_factory=dict)
    noise_before: Mapping[str, float] = field(default_factory=dict)


Decisions = dict[str, RangeDecision]


def min_max(view: CalibrationPass, params: Any) -> Decisions:
    """Decide on the least and the greatest value of all samples."""
    calls = range(view.observer.count()) if view.calls is None else view.calls
    found: Decisions = {}
    for name, pairs in measure_calls(view.observer, calls).items():
        low, high = float(pairs[:, 0].min()), float(pairs[:, 1].max())
        require_finite(name, low, high)
        shares = [view.noise[name]] * 2
        if name in view.before:
            before = view.before[name]
            low, high = (
                kept if sure else seen
                for kept, sure, seen in zip(before.values, before.sure_bounds, (low, high), strict=True)
            )
            shares = [view.noise_before[name] if sure else view.noise[name] for sure in before.sure_bounds]
        span = find_span(low, high)
        decision = decide_bounds(low, high, (shares[0] * span, shares[1] * span))
        near = [pairs[:, 0] <= low + 2 * shares[0] * span, pairs[:, 1] >= high - 2 * shares[1] * span]
        wanted = np.any([side for side, sure in zip(near, decision.sure_bounds, strict=True) if not sure], axis=0)
        deciding = () if decision.sure else tuple(np.asarray(calls)[wanted].tolist())
        found[name] = replace(decision, calls=deciding)
    return found


def decide_bounds(low: float, high: float, noise: Bounds) -> RangeDecision:
    """Round a measured range to the grid; that of an exact activation stays as it is."""
    if not any(noise):
        return RangeDecision((low, high), (True, True), (low, high))
    return RangeDecision(*round_noisy(low, high, noise), (low, high))


def moving_average(view: CalibrationPass, params: Any) -> Decisions:
    """Decide per sample, kept * smoothing + new * (1 - smoothing), from the first sample's range on."""
    smoothing = params["smoothing"]
    found: Decisions = {}
    for name, pairs in measure_calls(view.observer).items():
        average = pairs[0].astype(np.float64)
        for pair in pairs[1:]:
            average = smoothing * average + (1.0 - smoothing) * pair
        low, high = float(np.float32(average[0])), float(np.float32(average[1]))
        require_finite(name, low, high)
        span = max(find_span(*map(float, pair)) for pair in pairs)
        found[name] = decide_bounds(low, high, (view.noise[name] * span, view.noise[name] * span))
    return found


def percentile(view: CalibrationPass, params: Any) -> Decisions:
    """Decide on the edges, of equal parts of the full range, beyond which at most the given share of values lies.

    A value between two edges counts as beyond the inner one by its distance from it: a count that moves little.
    """
    cut = (1.0 - params["percentile"] / 100.0) / 2.0
    found: Decisions = {}
    for name, bins in sum_over_calls(view, sort_into_parts, BINS).items():
        low, high = view.full[name]
        counts, sums = bins[0], bins[1]
        if not counts.sum() or not high > low:
            found[name] = RangeDecision((low, high), (True, True), (low, high))
            continue
        moved = view.noise[name] * find_span(low, high) * BINS / (high - low)
        first, sure_low = find_edge(counts, sums - counts * np.arange(BINS), cut, moved)
        reversed_sums = (counts * np.arange(1, BINS + 1) - sums)[::-1]
        last, sure_high = find_edge(counts[::-1], reversed_sums, cut, moved)
        edges = [float(np.float32(low + (high - low) * edge / BINS)) for edge in (first, BINS - last)]
        found[name] = RangeDecision((edges[0], edges[1]), (sure_low, sure_high), (edges[0], edges[1]))
    return found


def find_edge(counts: np.ndarray, distances: np.ndarray, cut: float, moved: float) -> tuple[int, bool]:
    """Return the greatest edge with at most a share `cut` of the values below it, and whether that is sure.

    Args:
        counts: Values in each part, float64 [parts], the outermost part first.
        distances: Sum over the values of each part of their distance from its outer edge, in parts.
        cut: The share of all values that may lie below the edge.
        moved: How far noise may move a value, in parts.
    """
    within = np.concatenate([[0.0], np.cumsum(counts)[:-1]])
    beyond = np.concatenate([[0.0], within + counts - distances])
    total = float(counts.sum())
    # whole numbers of values, which are common, keep away from the limit
    limit = np.floor(cut * total) + 0.5
    doubt = moved * np.convolve(counts, [1.0, 1.0, 1.0])[: len(beyond)] + SUMMING * total
    edge = min(int(np.flatnonzero(beyond <= limit)[-1]), len(counts) - 1)
    least_sure = edge == 0 or beyond[edge] + doubt[edge] <= limit
    next_sure = beyond[edge + 1] - doubt[edge + 1] > limit
    return edge, bool(moved < 1.0 and least_sure and next_sure)


def mse(view: CalibrationPass, params: Any) -> Decisions:
    """Decide on the share of the full range with the least expected squared error of 8-bit quantization.

    Every value errs by rounding, step^2 / 12; one outside also by its distance to the nearer end.
    """
    found: Decisions = {}
    for name, sums in sum_over_calls(view, sort_by_share, PARTS - LEAST_SHARE + 1).items():
        low, high = view.full[name]
        share, sure = find_share(sums, low, high, view.noise[name] * find_span(low, high))
        bounds = (float(np.float32(low * share)), float(np.float32(high * share)))
        found[name] = RangeDecision(bounds, (sure, sure), bounds)
    return found


def find_share(sums: np.ndarray, low: float, high: float, noise: float) -> tuple[float, bool]:
    """Return the share of the range with the least error, and whether noise in the values leaves it the least.

    `sums` are those of `sort_by_share`.
    """
    total = float(sums[6, 0])
    if not total or not find_span(low, high):
        return 1.0, True
    shares = np.arange(LEAST_SHARE, PARTS + 1) / PARTS
    steps = shares * find_span(low, high) / (LEVELS - 1)
    errors, doubts = total * steps**2 / 12, np.zeros(len(shares))
    for bound, (counts, firsts, seconds) in zip((low, high), (sums[:3], sums[3:6]), strict=True):
        outside, first, second = (np.cumsum(each[::-1])[::-1] for each in (counts, firsts, seconds))
        distances = abs(bound) * (first - shares * outside)
        errors += bound**2 * (second - 2 * shares * first + shares**2 * outside)
        around = np.concatenate([outside[:1], outside[:-1]])
        doubts += 2 * noise * np.maximum(distances, 0.0) + 4 * noise**2 * around
    doubts += SUMMING * errors
    best = len(shares) - 1 - int(np.argmin(errors[::-1]))
    others = np.arange(len(shares)) != best
    sure = errors[best] + doubts[best] < (errors - doubts)[others].min()
    return float(shares[best]), bool(sure)


Sorter = Callable[[np.ndarray, float, float], np.ndarray]


def sum_over_calls(view: CalibrationPass, sort: Sorter, parts: int) -> dict[str, np.ndarray]:
    """Return tensor -> the sum, over the values of all calls, of what `sort` makes of them, float64 [rows, parts]."""

    def shard(calls: range) -> dict[str, np.ndarray]:
        sums: dict[str, np.ndarray] = {}

        def show(activation: Activation, values: np.ndarray) -> None:
            if activation.name in view.full:
                found = sort(values, *view.full[activation.name])
                sums[activation.name] = sums[activation.name] + found if activation.name in sums else found

        view.observer.watch(calls, show)
        return sums

    shards = map_shards(shard, view.observer.count())
    names = [name for name in shards[0] if all(name in part for part in shards)]
    return {name: np.sum([part[name] for part in shards], axis=0) for name in names}


def sort_into_parts(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return, for each of BINS equal parts of the range, the number and the sum of its values, counted in parts."""
    if not high > low:
        return np.zeros((2, BINS))
    places = np.clip((values.ravel().astype(np.float64) - low) * (BINS / (high - low)), 0.0, BINS)
    part = np.minimum(places.astype(np.int64), BINS - 1)
    return np.stack([np.bincount(part, minlength=BINS), np.bincount(part, places, BINS)])


def sort_by_share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return, by hundredths of a bound, the number, sum and sum of squares of the values beyond them, as shares of it.

    Rows 0 to 2 are those of the low bound, 3 to 5 of the high one; row 6 has the number of all values first.
    """
    parts = PARTS - LEAST_SHARE + 1
    sums = np.zeros((7, parts))
    sums[6, 0] = values.size
    flat = values.ravel().astype(np.float64)
    for row, bound in ((0, min(low, 0.0)), (3, max(high, 0.0))):
        if bound:
            shares = flat / bound
            shares = shares[shares >= LEAST_SHARE / PARTS]
            part = np.clip((shares * PARTS).astype(np.int64) - LEAST_SHARE, 0, parts - 1)
            for power in range(3):
                sums[row + power] = np.bincount(part, shares**power, parts)
    return sums


Method = Callable[[CalibrationPass, Any], Decisions]
METHODS: dict[str, Method] = {
    "min_max": min_max,
    "moving_average": moving_average,
    "percentile": percentile,
    "mse": mse,
}
CUTTING = ("percentile", "mse")  # which first need the full range
