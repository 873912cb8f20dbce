"""Growth of the ranges of activations with the number of samples, which are fed in a seeded order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.steps.calibration.activation_observer import Activation, Observer

# The seed of the order of samples.
SEED = 0
# The leading digits of the numbers of samples after which ranges are reported.
ROUND = (1, 2, 5)


@dataclass
class RangeTrace:
    """The ranges of one tensor in one shard, for each segment of the order, and whether the tensor ever changed.

    Attributes:
        low: float64 [segments], the minimum, infinite where the shard has no call of a segment.
        high: float64 [segments], the maximum, -infinite where the shard has no call of a segment.
        first: The values in the shard's first call, or None after another call had different ones.
    """

    low: np.ndarray
    high: np.ndarray
    first: np.ndarray | None


@dataclass
class RangeGrowth:
    """The range of one tensor after each count of calls, and whether the tensor is constant.

    Attributes:
        low: float64 [counts], the minimum.
        high: float64 [counts], the maximum.
        constant: Whether all calls have the same values.
    """

    low: np.ndarray
    high: np.ndarray
    constant: bool

    def gaps(self) -> np.ndarray:
        """Return the fraction of the final range that is not covered after each count of calls, float64 [counts].

        Ranges are extended to contain zero, as quantized ranges are.
        """
        low, high = np.minimum(self.low, 0.0), np.maximum(self.high, 0.0)
        width = high[-1] - low[-1]
        missing = (high[-1] - high) + (low - low[-1])
        return np.asarray(missing / width if width > 0 else np.zeros_like(missing))


@dataclass
class _ShardScan:
    """The state of a shard that runs its positions of the order and records the segment of the current call."""

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
        segment = self.segment
        # np.minimum and np.maximum keep NaN, unlike min and max.
        trace.low[segment] = np.minimum(trace.low[segment], values.min(initial=np.inf))
        trace.high[segment] = np.maximum(trace.high[segment], values.max(initial=-np.inf))
        if trace.first is not None and not np.array_equal(trace.first, values):
            trace.first = None


def list_counts(calls: int) -> list[int]:
    """Return the counts of calls after which ranges are reported, sorted.

    These are 1, 2, 5, 10, ... below `calls`, and `calls` itself, its half, quarter and eighth.
    """
    steps = {digit * 10**power for power in range(len(str(calls))) for digit in ROUND}
    return sorted({count for count in steps if count < calls} | {max(1, calls // part) for part in (8, 4, 2, 1)})


def measure_growth(observer: Observer) -> tuple[list[int], dict[str, RangeGrowth]]:
    """Measure the range of every activation after increasing counts of calls.

    Memory does not depend on the number of samples.

    Returns:
        The counts of calls, and tensor name -> its growth.
    """
    calls = observer.count()
    counts = list_counts(calls)
    order = np.random.default_rng(SEED).permutation(calls)

    def scan_shard(positions: range) -> dict[str, RangeTrace]:
        scan = _ShardScan(order, counts)
        observer.watch(scan.calls(positions), scan.show)
        return scan.traces

    parts = map_shards(scan_shard, calls)
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return counts, {name: _join([part[name] for part in parts]) for name in names}


def _join(traces: list[RangeTrace]) -> RangeGrowth:
    """Combine the traces of one tensor from all shards, in the order of the shards."""
    low = np.minimum.accumulate(np.min([trace.low for trace in traces], axis=0))
    high = np.maximum.accumulate(np.max([trace.high for trace in traces], axis=0))
    firsts = [trace.first for trace in traces]
    is_constant = all(a is not None and b is not None and np.array_equal(a, b) for a, b in pairwise(firsts))
    return RangeGrowth(low, high, is_constant and firsts[0] is not None)
