"""The methods of calibration. Each decides a range for every activation, and whether noise could change the decision.

Kernels of different CPUs return values that differ in their last bits. So every method is a function of the values that
changes little when they do: extremes, averages, or sums over values near an edge instead of counts. One decision
follows: a line of the grid, an edge, a fraction. The decision is `sure` if no noise within the limit changes it.
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
# `mse` tries 30 to 100 hundredths of the full range.
SMALLEST_SHARE, PARTS = 30, 100
# The relative error of a sum in float64. It is far above the differences that the order of the sum causes.
SUMMING = 1e-9


@dataclass(frozen=True)
class RangeDecision:
    """A decided range.

    Attributes:
        range: The range.
        sure_bounds: For each bound, whether no noise within the limit changes it.
        values: The measured bounds, before rounding.
        calls: The calls that decide uncertain bounds, None if all of them do.
    """

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
    """The values on which a method decides.

    Attributes:
        observer: Runs the model.
        noise: Activation name -> noise limit as a fraction of its span, 0.0 for an exact one.
        calls: The calls to run, None for all.
        full: The ranges of all values, for methods that cut them.
        before: Earlier decisions. Their sure bounds are kept, because `calls` need not contain these extremes.
        noise_before: The noise limits of bounds that are kept.
    """

    observer: Observer
    noise: Mapping[str, float]
    calls: Sequence[int] | None = None
    full: Ranges = field(default_factory=dict)
    before: Mapping[str, RangeDecision] = field(default_factory=dict)
    noise_before: Mapping[str, float] = field(default_factory=dict)


Decisions = dict[str, RangeDecision]


def min_max(view: CalibrationPass, params: Any) -> Decisions:
    """Decide by the smallest and the largest value of all samples.

    Args:
        view: The values.
        params: Not used.

    Raises:
        WorkerError: A range is not finite.
    """
    calls = range(view.observer.count()) if view.calls is None else view.calls
    decisions: Decisions = {}
    for name, pairs in measure_calls(view.observer, calls).items():
        low, high = float(pairs[:, 0].min()), float(pairs[:, 1].max())
        require_finite(name, low, high)
        shares = [view.noise[name]] * 2
        if name in view.before:
            before = view.before[name]
            low, high = (
                old if sure else new
                for old, sure, new in zip(before.values, before.sure_bounds, (low, high), strict=True)
            )
            shares = [view.noise_before[name] if sure else view.noise[name] for sure in before.sure_bounds]
        span = find_span(low, high)
        decision = decide_bounds(low, high, (shares[0] * span, shares[1] * span))
        near_bounds = [pairs[:, 0] <= low + 2 * shares[0] * span, pairs[:, 1] >= high - 2 * shares[1] * span]
        is_deciding = np.any(
            [side for side, sure in zip(near_bounds, decision.sure_bounds, strict=True) if not sure], axis=0
        )
        deciding = () if decision.sure else tuple(np.asarray(calls)[is_deciding].tolist())
        decisions[name] = replace(decision, calls=deciding)
    return decisions


def decide_bounds(low: float, high: float, noise: Bounds) -> RangeDecision:
    """Round a measured range to the grid. The range of an exact activation is not rounded.

    Args:
        low: The measured minimum.
        high: The measured maximum.
        noise: The largest absolute error of each bound.
    """
    if not any(noise):
        return RangeDecision((low, high), (True, True), (low, high))
    return RangeDecision(*round_noisy(low, high, noise), (low, high))


def moving_average(view: CalibrationPass, params: Any) -> Decisions:
    """Decide by a moving average over the samples' ranges, starting with that of the first sample.

    A step of the average is `old * smoothing + new * (1 - smoothing)`.

    Args:
        view: The values.
        params: `smoothing`, from 0 to 1.

    Raises:
        WorkerError: A range is not finite.
    """
    smoothing = params["smoothing"]
    decisions: Decisions = {}
    for name, pairs in measure_calls(view.observer).items():
        average = pairs[0].astype(np.float64)
        for pair in pairs[1:]:
            average = smoothing * average + (1.0 - smoothing) * pair
        low, high = float(np.float32(average[0])), float(np.float32(average[1]))
        require_finite(name, low, high)
        span = max(find_span(*map(float, pair)) for pair in pairs)
        decisions[name] = decide_bounds(low, high, (view.noise[name] * span, view.noise[name] * span))
    return decisions


def percentile(view: CalibrationPass, params: Any) -> Decisions:
    """Decide by edges of equal parts of the full range, so that at most a given fraction of values is beyond them.

    A value between two edges counts as beyond the inner one in proportion to its distance from it. Such a count changes
    little when the value does.

    Args:
        view: The values.
        params: `percentile`, the percentage of values within the range.
    """
    cut = (1.0 - params["percentile"] / 100.0) / 2.0
    decisions: Decisions = {}
    for name, bins in sum_over_calls(view, sort_into_parts, BINS).items():
        low, high = view.full[name]
        counts, sums = bins[0], bins[1]
        if not counts.sum() or not high > low:
            decisions[name] = RangeDecision((low, high), (True, True), (low, high))
            continue
        shift = view.noise[name] * find_span(low, high) * BINS / (high - low)
        first, sure_low = find_edge(counts, sums - counts * np.arange(BINS), cut, shift)
        reversed_sums = (counts * np.arange(1, BINS + 1) - sums)[::-1]
        last, sure_high = find_edge(counts[::-1], reversed_sums, cut, shift)
        edges = [float(np.float32(low + (high - low) * edge / BINS)) for edge in (first, BINS - last)]
        decisions[name] = RangeDecision((edges[0], edges[1]), (sure_low, sure_high), (edges[0], edges[1]))
    return decisions


def find_edge(counts: np.ndarray, distances: np.ndarray, cut: float, shift: float) -> tuple[int, bool]:
    """Find the innermost edge with at most a fraction `cut` of the values beyond it, and whether that is certain.

    Args:
        counts: Values in each part, float64 [parts], the outermost part first.
        distances: Sum over the values of each part of their distance from its outer edge, in parts.
        cut: The fraction of all values that may be beyond the edge.
        shift: The distance by which noise may move a value, in parts.

    Returns:
        The number of parts outside of the edge, and whether no noise within the limit changes it.
    """
    within = np.concatenate([[0.0], np.cumsum(counts)[:-1]])
    beyond = np.concatenate([[0.0], within + counts - distances])
    total = float(counts.sum())
    # A whole number of values is common. The half keeps such numbers away from the limit.
    limit = np.floor(cut * total) + 0.5
    uncertainty = shift * np.convolve(counts, [1.0, 1.0, 1.0])[: len(beyond)] + SUMMING * total
    edge = min(int(np.flatnonzero(beyond <= limit)[-1]), len(counts) - 1)
    least_sure = edge == 0 or beyond[edge] + uncertainty[edge] <= limit
    next_sure = beyond[edge + 1] - uncertainty[edge + 1] > limit
    return edge, bool(shift < 1.0 and least_sure and next_sure)


def mse(view: CalibrationPass, params: Any) -> Decisions:
    """Decide by the fraction of the full range with the smallest expected squared error of 8-bit quantization.

    The error of every value is that of rounding, step^2 / 12. A value outside of the range has in addition the squared
    distance to the nearer bound.

    Args:
        view: The values.
        params: Not used.
    """
    decisions: Decisions = {}
    for name, sums in sum_over_calls(view, sort_by_share, PARTS - SMALLEST_SHARE + 1).items():
        low, high = view.full[name]
        share, sure = find_share(sums, low, high, view.noise[name] * find_span(low, high))
        bounds = (float(np.float32(low * share)), float(np.float32(high * share)))
        decisions[name] = RangeDecision(bounds, (sure, sure), bounds)
    return decisions


def find_share(sums: np.ndarray, low: float, high: float, noise: float) -> tuple[float, bool]:
    """Find the fraction of the range with the smallest error, and whether noise in the values cannot change it.

    Args:
        sums: The result of `sort_by_share`, float64 [7, fractions].
        low: The minimum of all values.
        high: The maximum of all values.
        noise: The largest absolute error of a value.
    """
    total = float(sums[6, 0])
    if not total or not find_span(low, high):
        return 1.0, True
    shares = np.arange(SMALLEST_SHARE, PARTS + 1) / PARTS
    steps = shares * find_span(low, high) / (LEVELS - 1)
    errors, uncertainties = total * steps**2 / 12, np.zeros(len(shares))
    for bound, (counts, firsts, seconds) in zip((low, high), (sums[:3], sums[3:6]), strict=True):
        outside, first, second = (np.cumsum(row[::-1])[::-1] for row in (counts, firsts, seconds))
        distances = abs(bound) * (first - shares * outside)
        errors += bound**2 * (second - 2 * shares * first + shares**2 * outside)
        around = np.concatenate([outside[:1], outside[:-1]])
        uncertainties += 2 * noise * np.maximum(distances, 0.0) + 4 * noise**2 * around
    uncertainties += SUMMING * errors
    best = len(shares) - 1 - int(np.argmin(errors[::-1]))
    is_other = np.arange(len(shares)) != best
    sure = errors[best] + uncertainties[best] < (errors - uncertainties)[is_other].min()
    return float(shares[best]), bool(sure)


Sorter = Callable[[np.ndarray, float, float], np.ndarray]


def sum_over_calls(view: CalibrationPass, sort: Sorter, parts: int) -> dict[str, np.ndarray]:
    """Sum up the results of `sort` for the values of all calls.

    Args:
        view: The values.
        sort: Returns float64 [rows, parts] for the values of an activation and its full range.
        parts: Not used.

    Returns:
        Tensor name -> float64 [rows, parts].
    """

    def sum_shard(calls: range) -> dict[str, np.ndarray]:
        sums: dict[str, np.ndarray] = {}

        def show(activation: Activation, values: np.ndarray) -> None:
            if activation.name in view.full:
                sorted_ = sort(values, *view.full[activation.name])
                sums[activation.name] = sums[activation.name] + sorted_ if activation.name in sums else sorted_

        view.observer.watch(calls, show)
        return sums

    shards = map_shards(sum_shard, view.observer.count())
    names = [name for name in shards[0] if all(name in part for part in shards)]
    return {name: np.sum([part[name] for part in shards], axis=0) for name in names}


def sort_into_parts(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Sort values into BINS equal parts of the range.

    Returns:
        float64 [2, BINS]: for each part the number of its values, and their sum in units of parts from `low`.
    """
    if not high > low:
        return np.zeros((2, BINS))
    positions = np.clip((values.ravel().astype(np.float64) - low) * (BINS / (high - low)), 0.0, BINS)
    part = np.minimum(positions.astype(np.int64), BINS - 1)
    return np.stack([np.bincount(part, minlength=BINS), np.bincount(part, positions, BINS)])


def sort_by_share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Sort values by their fraction of a bound, in hundredths.

    Returns:
        float64 [7, parts]. Rows 0 to 2 are for the low bound: the number, sum and sum of squares of the values'
        fractions. Rows 3 to 5 are for the high bound. Row 6 starts with the number of all values.
    """
    parts = PARTS - SMALLEST_SHARE + 1
    sums = np.zeros((7, parts))
    sums[6, 0] = values.size
    flat = values.ravel().astype(np.float64)
    for row, bound in ((0, min(low, 0.0)), (3, max(high, 0.0))):
        if bound:
            shares = flat / bound
            shares = shares[shares >= SMALLEST_SHARE / PARTS]
            part = np.clip((shares * PARTS).astype(np.int64) - SMALLEST_SHARE, 0, parts - 1)
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
# Methods that cut values off, and therefore need the full range first.
CUTTING = ("percentile", "mse")
