"""Rows of text with their columns aligned."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence

GAP = "  "
SHORT = 60


def screen_width() -> int | None:
    """The columns of the terminal that standard output is; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def align(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> list[str]:
    """The headings and the rows as lines; columns named in `right` to the right, those that no row fills left out."""
    used = [column for column in range(len(headings)) if any(row[column] for row in rows)]
    widths = {column: max(len(row[column]) for row in (headings, *rows)) for column in used}

    def cell(row: Sequence[str], column: int) -> str:
        text, width = row[column], widths[column]
        return text.rjust(width) if headings[column] in right else text.ljust(width)

    return [GAP.join(cell(row, column) for column in used).rstrip() for row in (headings, *rows)]


def shorten(name: str) -> str:
    """The first of several fused names, its middle left out where it is long."""
    first = name.partition(";")[0]
    return first if len(first) <= SHORT else f"{first[: SHORT // 2 - 2]}...{first[-SHORT // 2 + 1 :]}"
