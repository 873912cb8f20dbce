"""Print groups of figures as a table of 80 columns, or as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from code_figures.figure import Figure, Group

WIDTH = 80
GAP = 2
NOT_MEASURED = (
    "following the overrides by hand, through what is composed from them (recipe, plan, keys)",
    'in how many senses a word such as "verdict" is used, and whether the glossary has it',
    "whether `Any` stands only where files are read",
    "whether a comment says why, and whether tests keep their cases as data",
)

Json = dict[str, object]


def format_table(columns: Sequence[str], measured: Sequence[Sequence[Group]]) -> str:
    """Return the table.

    Args:
        columns: The titles of the columns of values, one for each item of `measured`.
        measured: The groups of each revision; all have the same groups in the same order.
    """
    rows = [("measured", *columns, "wanted")]
    for groups in zip(*measured, strict=True):
        rows += [("",), (groups[0].title,)]
        rows += [_make_row(figures) for figures in _align_figures(groups)]
    cells = [row for row in rows if len(row) > 1]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    rule = "-" * min(WIDTH, sum(widths) + GAP * (len(widths) - 1))
    lines = [_format_row(row, widths) for row in rows]
    return "\n".join([lines[0], rule, *lines[2:], "", *_format_notes(measured[-1])]) + "\n"


def _align_figures(groups: Sequence[Group]) -> list[tuple[Figure | None, ...]]:
    """Return the figures of each row, one for each revision; None where a revision has no such figure."""
    by_name = [{figure.name: figure for figure in group.figures} for group in groups]
    names = dict.fromkeys(name for figures in by_name for name in figures)
    return [tuple(figures.get(name) for figures in by_name) for name in names]


def _make_row(figures: tuple[Figure | None, ...]) -> tuple[str, ...]:
    known = next(figure for figure in reversed(figures) if figure is not None)
    return (known.label, *("-" if figure is None else figure.text for figure in figures), known.wanted)


def _format_row(row: tuple[str, ...], widths: Sequence[int]) -> str:
    if len(row) == 1:
        return row[0]
    first, *values = row
    aligned = [value.rjust(width) for value, width in zip(values, widths[1:], strict=True)]
    return (" " * GAP).join([first.ljust(widths[0]), *aligned]).rstrip()


def _format_notes(groups: Sequence[Group]) -> list[str]:
    """Return the cycles of imports, which a count does not explain, and what is not measured."""
    figures = [figure for group in groups for figure in group.figures if figure.name == "cycles"]
    cycles = [item for figure in figures for item in figure.details]
    lines = [f"cycle of imports: {cycle}" for cycle in cycles]
    lines += [f"not measured by this script: {text}" for text in NOT_MEASURED]
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="  ")]


def format_details(groups: Sequence[Group]) -> str:
    """Return what each figure counted, one item a line."""
    figures = [figure for group in groups for figure in group.figures if figure.details]
    blocks = ["\n".join(_list_details(figure)) for figure in figures]
    return "\n\n".join(blocks) + "\n"


def _list_details(figure: Figure) -> list[str]:
    return [f"{figure.label.strip()} ({figure.text})", *(f"  {item}" for item in figure.details)]


def make_json(groups: Sequence[Group]) -> Json:
    """Return the figures of a revision by their names, with what they counted."""
    figures = [figure for group in groups for figure in group.figures]
    return {
        figure.name: {
            "label": figure.label.strip(),
            "value": figure.value,
            "text": figure.text,
            "wanted": figure.wanted,
            "details": list(figure.details),
        }
        for figure in figures
    }
