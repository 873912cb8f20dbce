"""Choose which of many similar cases an ordinary run of the tests tries.

The environment variable `TFLBUILD_TEST_ALL` (1) has a run try them all, as is due after a change of the rules of a
target or of the version of what they are compared with. Otherwise a fixed share is tried, the same in each run.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Mapping
from typing import TypeVar

SHARE = 3  # an ordinary run tries one case of so many
Case = TypeVar("Case")


def tries_all() -> bool:
    """Whether this run tries every case."""
    return os.environ.get("TFLBUILD_TEST_ALL", "") not in ("", "0")


def is_chosen(name: str) -> bool:
    """Whether the case of that name is tried by this run: by a checksum of the name."""
    return tries_all() or zlib.crc32(name.encode()) % SHARE == 0


def choose_cases(cases: Mapping[str, Case], always: Collection[str] = ()) -> dict[str, Case]:
    """Return the cases that this run tries: a share of them, and those named in `always`."""
    return {name: case for name, case in cases.items() if name in always or is_chosen(name)}


def least(count: int) -> int:
    """Scale the least number of cases that a test wants to the share that this run tries, with a tenth to spare."""
    return count if tries_all() else int(count / SHARE * 0.9)
