"""How far a step is, for the person who waits: one file grows by the parts that are expected, one by those done.

The processes of a step append to them together, and the parent reads their sizes (`execute.step_folder`). Outside of a
step, in a test say, nothing is counted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tflbuild.core.worker_protocol import PARTS, PARTS_DONE

Item = TypeVar("Item")
MOST_AT_ONCE = 1 << 20

_files: dict[str, int] = {}  # name -> descriptor, inherited by the processes that a step forks


def begin(folder: Path) -> None:
    """Count from now on, in the step's folder."""
    for name in (PARTS, PARTS_DONE):
        _files[name] = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def expect(parts: int) -> None:
    """So many parts are still to come, besides those that were expected before."""
    _grow(PARTS, parts)


def advance(parts: int = 1) -> None:
    """So many parts are done."""
    _grow(PARTS_DONE, parts)


def track(items: Iterable[Item], parts: int) -> Iterator[Item]:
    """The items, of which there are so many; each is done when the next one is asked for."""
    expect(parts)
    for item in items:
        yield item
        advance()


def _grow(name: str, parts: int) -> None:
    if name in _files:
        with contextlib.suppress(OSError):  # a full disk is told by what has to be written
            while parts > 0:
                parts -= os.write(_files[name], bytes(min(parts, MOST_AT_ONCE)))
