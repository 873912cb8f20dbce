"""What the file system says of a file without its being read. Standard library alone: the no-op build uses it."""

from __future__ import annotations

import os
import time
from pathlib import Path

TICK_SECONDS = 0.02  # longer than the kernel's coarse clock, at most 10 ms (CONFIG_HZ=100)

Stat = tuple[int, int, int, int, int]


def stat_record(path: str | Path) -> Stat:
    """(device, inode, size, mtime_ns, ctime_ns), links followed. Raises OSError."""
    s = os.stat(path)
    return (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)


def outlast_tick(ctime_ns: int) -> None:
    """Wait until a change made from now on is sure to show in ctime."""
    age = time.time() - ctime_ns / 1e9
    if 0 <= age < TICK_SECONDS:
        time.sleep(TICK_SECONDS - age)
