"""How the ranges of activations grow with the number of samples, which are taken in a seeded order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.steps.calibration.activation_observer import Activation, Observer

SEED = 0  # of the order in which samples are taken
ROUND = (1, 2, 5)


@dataclass
class RangeTrace:
    """One tensor in one shard: the extremes of each segment of the order, and whether it ever changed.

    `low` and `high` are float64 [segments], infinite where the shard has no call of a segment; `first` is the
    tensor as the shard's first call left it, None once another one differed.
    """

    low: np.ndarray
    high: np.ndarray
    first: np.ndarray | None


@dataclass
class RangeGrowth:
    """One tensor over the whole order: its range after each count of calls, float64 [counts], and if it is constant."""

    low: np.ndarray
    high: np.ndarray
    constant: bool

    def gaps(self) -> np.ndarray:
        """Float64 [counts]: how much of the final range, which holds zero as every quantized one does, is lacking."""
        low, high = np.minimum(self.low, 0.0), np.maximum(self.high, 0.0)
        width = high[-1] - low[-1]
        lacking = (high[-1] - high) + (low - low[-1])
        return np.asarray(lacking / width if width > 0 else np.zeros_like(lacking))


@dataclass
class _ShardScan:
    """A shard's way through its positions of the order, which knows the segment that it is in."""

    order: np.ndarray
    ends: list[int]
    segment: int = 0
    traces: dict[str, RangeTrace] = field(default_factory=dict)

    def calls(self, positions: range) -> Iterator[int]:
        for position in positions:
            self.segment = bisect_right(self.ends, position)
            yield int(self.order[position])

    def show(self, activation: Activation, values: np.ndarray) -> None:
        trace = self.traces.get(activation.name)
        if trace is None:
            empty = np.full(len(self.ends), np.inf)
            trace = self.traces[activation.name] = RangeTrace(empty, -empty, values.copy())
        at = self.segment
        trace.low[at] = np.minimum(trace.low[at], values.min(initial=np.inf))  # NaN stays NaN
        trace.high[at] = np.maximum(trace.high[at], values.max(initial=-np.inf))
        if trace.first is not None and not np.array_equal(trace.first, values):
            trace.first = None


def counts_of(calls: int) -> list[int]:
    """1, 2, 5, 10, ... up to all, with all halvings down to an eighth."""
    steps = {digit * 10**power for power in range(len(str(calls))) for digit in ROUND}
    return sorted({count for count in steps if count < calls} | {max(1, calls // part) for part in (8, 4, 2, 1)})


def measure_growth(observer: Observer) -> tuple[list[int], dict[str, RangeGrowth]]:
    """(counts of calls, tensor -> its growth). Memory does not depend on the number of samples."""
    calls = observer.count()
    counts = counts_of(calls)
    order = np.random.default_rng(SEED).permutation(calls)

    def shard(positions: range) -> dict[str, RangeTrace]:
        walk = _ShardScan(order, counts)
        observer.watch(walk.calls(positions), walk.show)
        return walk.traces

    parts = map_shards(shard, calls)
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return counts, {name: _join([part[name] for part in parts]) for name in names}


def _join(traces: list[RangeTrace]) -> RangeGrowth:
    low = np.minimum.accumulate(np.min([trace.low for trace in traces], axis=0))
    high = np.maximum.accumulate(np.max([trace.high for trace in traces], axis=0))
    firsts = [trace.first for trace in traces]
    same = all(a is not None and b is not None and np.array_equal(a, b) for a, b in pairwise(firsts))
    return RangeGrowth(low, high, same and firsts[0] is not None)
