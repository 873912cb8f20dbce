"""Limits of a run: parallel steps, memory and time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# The fraction of the free memory that a run may use.
MEMORY_FRACTION = 0.8
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits that the user set for a run.

    Attributes:
        jobs: The number of steps that may run at once. None: the number of usable CPU cores.
        memory: The memory for all running steps together, in bytes. None: measured when the run begins.
        seconds: The time limit of each step. None: the limit of the step itself.
        fail_fast: Start no further steps after a failure.
        offline: Download nothing.
    """

    jobs: int | None = None
    memory: int | None = None
    seconds: float | None = None
    fail_fast: bool = False
    offline: bool = False


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure_free_memory() -> int:
    """Return how much memory a run may use, in bytes: a fraction of what is free in this machine and container."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        free.append(int((CGROUP / "memory.max").read_text()) - int((CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        # This is not Linux, there is no container, or the container has no limit ("max").
        pass
    return int(MEMORY_FRACTION * max(0, min(free)))
