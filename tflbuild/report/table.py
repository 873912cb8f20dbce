"""Rows of text in columns."""

from __future__ import annotations

from collections.abc import Sequence

SHORT = 60


def align(rows: Sequence[Sequence[str]], right: int) -> list[str]:
    """One line a row, the first `right` columns flush right, the others left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place < right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def shorten(name: str) -> str:
    """The first of several fused names, its middle left out where it is long."""
    first = name.partition(";")[0]
    return first if len(first) <= SHORT else f"{first[: SHORT // 2 - 2]}...{first[-SHORT // 2 + 1 :]}"
