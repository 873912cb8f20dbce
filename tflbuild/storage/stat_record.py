"""Stat records: what the file system reports about a file without reading it.

This module imports only the standard library, because an unchanged build uses it and must start fast.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

# Longer than a tick of the kernel's coarse clock, which is at most 10 ms (CONFIG_HZ=100).
TICK_SECONDS = 0.02

Stat = tuple[int, int, int, int, int]


def stat_record(path: str | Path) -> Stat:
    """Return (device, inode, size in bytes, mtime in ns, ctime in ns) of a file. Links are followed.

    Raises:
        OSError: There is no such file, or it may not be accessed.
    """
    stat = os.stat(path)
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def outlast_tick(ctime_ns: int) -> None:
    """Wait until any later change of a file with this ctime changes its ctime."""
    age = time.time() - ctime_ns / 1e9
    if 0 <= age < TICK_SECONDS:
        time.sleep(TICK_SECONDS - age)
