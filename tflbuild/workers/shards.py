"""The same work on ranges of samples, one process a core."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

Result = TypeVar("Result")


def split(count: int, parts: int) -> list[range]:
    """At most `parts` contiguous ranges that cover 0..count, near equal in length."""
    parts = max(1, min(parts, count))
    bounds = [count * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(bounds)]


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


def map_shards(work: Callable[[range], Result], count: int, parts: int | None = None) -> list[Result]:
    """`work` of each range, in order. Forks: what `work` closes over is shared, not copied."""
    ranges = split(count, cores() if parts is None else parts)
    if len(ranges) == 1:
        return [work(ranges[0])]
    global _work
    _work = work
    with multiprocessing.get_context("fork").Pool(len(ranges)) as pool:
        return pool.map(_call, ranges, chunksize=1)


_work: Callable[[range], Any]


def _call(indices: range) -> Any:
    return _work(indices)
