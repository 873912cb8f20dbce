"""What a run may take of its machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SHARE = 0.8  # of the memory that is free when a run begins
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`jobs` steps at once, within `memory` (bytes), each for at most `seconds`; None is what the machine has.

    With `fail_fast` nothing new is begun after a failure; `offline` fetches nothing.
    """

    jobs: int | None = None
    memory: int | None = None
    seconds: float | None = None
    fail_fast: bool = False
    offline: bool = False


def count_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def measure_free_memory() -> int:
    """A share of what is free now: in this machine, and in this container. Bytes."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        free.append(int((CGROUP / "memory.max").read_text()) - int((CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # not Linux, no container, or no limit ("max")
        pass
    return int(SHARE * max(0, min(free)))
