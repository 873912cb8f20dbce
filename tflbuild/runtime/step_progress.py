"""The progress of a step, for the display: how many parts of its work are expected, and how many are done.

Each number is the size of a file in the folder of the step. All processes of the step append to the two files, and the
parent reads their sizes (`execute.step_folder`). In any other process, such as a test, nothing is counted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tflbuild.core.worker_protocol import PARTS, PARTS_DONE

Item = TypeVar("Item")
MAX_BYTES_PER_WRITE = 1 << 20

# File name -> descriptor. The processes that a step forks inherit the descriptors.
_files: dict[str, int] = {}


def begin(folder: Path) -> None:
    """Open the two files in the folder of a step. The functions below have no effect before."""
    for name in (PARTS, PARTS_DONE):
        _files[name] = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def expect(parts: int) -> None:
    """Add a number of parts to those that are expected."""
    _grow(PARTS, parts)


def advance(parts: int = 1) -> None:
    """Add a number of parts to those that are done."""
    _grow(PARTS_DONE, parts)


def track(items: Iterable[Item], parts: int) -> Iterator[Item]:
    """Yield the items, and count each one as done when the caller asks for the next one.

    Args:
        items: The items.
        parts: The number of the items.
    """
    expect(parts)
    for item in items:
        yield item
        advance()


def _grow(name: str, parts: int) -> None:
    if name in _files:
        # If the disk is full, the step fails when it writes its outputs, and reports the reason.
        with contextlib.suppress(OSError):
            while parts > 0:
                parts -= os.write(_files[name], bytes(min(parts, MAX_BYTES_PER_WRITE)))
