"""A figure, and the groups in which figures are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A row of the table.

    Attributes:
        name: The key in JSON.
        label: What was counted.
        value: The number; None where it cannot be measured, such as commits without git.
        text: The number as the table prints it.
        wanted: The aim, as text; "" where there is none.
        details: What was counted, one text an item.
    """

    name: str
    label: str
    value: float | None
    text: str
    wanted: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Figures that belong together, under a title."""

    title: str
    figures: tuple[Figure, ...]


def make_count(name: str, label: str, items: Sequence[str], wanted: str = "", total: int | None = None) -> Figure:
    """Return the figure that counts items, "of" a total where one is given."""
    text = str(len(items)) if total is None else f"{len(items)} of {total}"
    return Figure(name, label, len(items), text, wanted, tuple(items))


def make_rate(name: str, label: str, count: int, lines: int, wanted: str = "") -> Figure:
    """Return the figure of a count per 1,000 lines."""
    rate = round(1000 * count / max(lines, 1), 1)
    return Figure(name, label, rate, f"{rate:.1f}", wanted, (f"{count} in {lines} lines",))
