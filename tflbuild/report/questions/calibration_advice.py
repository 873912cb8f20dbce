"""What `tflbuild advise` found: whether the calibration samples are enough, the worst tensors first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Recipe
from tflbuild.report.text_table import align, shorten

SHOWN = 20  # rows
HEADINGS = ("grew", "settled", "used", "bits lost", "outside", "operator", "name")
HALVINGS = (8, 4, 2, 1)  # of the samples, whose steps between are doublings
MOST_DOUBLINGS = 4  # what lies further ahead is not read off three of them
BIT = 1.0  # normal values lose less: 3.3 sigma are core, and millions of them reach 5 to 6
OUTSIDE = 0.001  # a share of values that is no accident

Row = Mapping[str, Json]


@dataclass(frozen=True)
class CalibrationAdvice:
    """Whether the samples are enough, in words, and what to do next, "" for nothing."""

    enough: bool
    text: str
    next_step: str


def advice_text(found: Mapping[str, Json], verdict: CalibrationAdvice) -> str:
    """The table, what else was seen, and the verdict."""
    rows = worst_first(found)
    several = len(found["samples"]) > 1
    lines = align(HEADINGS, [make_row(row, found, several) for row in rows[:SHOWN]], right=HEADINGS[:5])
    if len(rows) > SHOWN:
        lines.append(f"and {len(rows) - SHOWN} more: --json and the page have all")
    evaluated = sum(found["evaluated"].values())
    lines.append(
        f"grew: with the last half of the samples; settled: samples until {found['tolerance']:.0%} was lacking;"
        f" used: by {found['core']:.1%} of the values"
        + (f"; outside: of {evaluated:,} evaluation samples' values" if evaluated else "")
    )
    lines += remarks(found, rows)
    return "\n".join([*lines, verdict.text, *([f"next: {verdict.next_step}"] if verdict.next_step else [])])


def worst_first(found: Mapping[str, Json]) -> list[Row]:
    """Ranges that still grow, by how much; then by the bits that outliers cost, then by what is cut off."""
    tolerance = found["tolerance"]

    def badness(row: Row) -> tuple[float, float, float, str]:
        grew = row["grew"] if row["grew"] > tolerance else 0.0
        return -grew, -row["bits_lost"], -(row["outside"] or 0.0), row["name"]

    return sorted(found["tensors"], key=badness)


def make_row(row: Row, found: Mapping[str, Json], several: bool) -> tuple[str, ...]:
    """One row of the table. Where several signatures are measured, the name says whose it is."""
    name = shorten(row["name"])
    return (
        f"{row['grew']:.1%}",
        f"{row['settled']:,}",
        f"{row['used']:.0%}",
        f"{row['bits_lost']:.1f}",
        "" if row["outside"] is None else show_share(row["outside"]),
        row["operator"],
        f"{row['signature']}: {name}" if several else name,
    )


def show_share(share: float) -> str:
    """In percent, or in parts of a million where that says nothing."""
    return f"{share:.2%}" if share >= 0.0001 or share == 0 else f"{share * 1e6:.2g} ppm"


def remarks(found: Mapping[str, Json], rows: Sequence[Row]) -> list[str]:
    """Outliers, constant tensors, and what evaluation has that calibration has not."""
    lines = []
    outliers = [row for row in rows if row["bits_lost"] >= BIT]
    of = f"of {len(rows)} ranges"
    if outliers:
        rest, most = 1 - found["core"], max(row["bits_lost"] for row in outliers)
        lines.append(
            f"outliers: {rest:.1%} of the values cost a bit or more in {len(outliers)} {of}, at most {most:.1f}"
        )
    constant = [shorten(row["name"]) for row in rows if row["constant"]]
    if constant:
        names = ", ".join(constant[:3]) + (", ..." if len(constant) > 3 else "")
        lines.append(f"the same for every sample: {len(constant)} {of}: {names}")
    beyond = [row for row in rows if (row["outside"] or 0.0) > OUTSIDE]
    if beyond:
        worst = max(beyond, key=lambda row: row["outside"])
        lines.append(
            f"cut off: more than {OUTSIDE:.1%} of the evaluation samples' values in {len(beyond)} {of},"
            f" at most {show_share(worst['outside'])} ({shorten(worst['name'])})"
        )
    return lines


def evaluate_samples(found: Mapping[str, Json], recipe: Recipe, command: str) -> CalibrationAdvice:
    """The verdict. `command` is the build's, to which overrides can be added."""
    rows, tolerance = found["tensors"], found["tolerance"]
    samples = max(found["samples"].values())
    growing = [row for row in rows if row["grew"] > tolerance]
    if samples == 1:
        return CalibrationAdvice(
            False, "not enough: one sample cannot show what another would add", "give more than one"
        )
    if growing:
        least = estimate_sample_count(count_growing_ranges(rows, tolerance), samples)
        text = (
            f"not enough: {len(growing)} of {len(rows)} ranges still grew by more than {tolerance:.0%}"
            f" with the last half of the {samples:,} samples; {least}"
        )
        counted = recipe.dataset is not None and recipe.dataset.count
        more = (
            f"{'a greater dataset.count' if counted else 'more samples in the dataset'}, then `tflbuild advise` again"
        )
        if all(row["outside"] is not None and row["outside"] <= OUTSIDE for row in growing):
            most = max(row["outside"] for row in growing)
            text += f"; what grows is rare: at most {show_share(most)} of the evaluation samples' values lie outside"
            return CalibrationAdvice(False, text, compare_methods(recipe, command) or more)
        return CalibrationAdvice(False, text, more)
    settled = max((row["settled"] for row in rows), default=samples)
    text = f"enough: from {settled:,} of {samples:,} samples on, all {len(rows)} ranges were within {tolerance:.0%}"
    return CalibrationAdvice(True, text, next_step(rows, recipe, command))


def next_step(rows: Sequence[Row], recipe: Recipe, command: str) -> str:
    """What may still be gained, where ranges have settled."""
    compared = compare_methods(recipe, command)
    if compared and any(row["bits_lost"] >= BIT for row in rows):
        return compared
    if any((row["outside"] or 0.0) > OUTSIDE for row in rows):
        return "look at what the evaluation samples have that the calibration samples have not"
    return ""


def compare_methods(recipe: Recipe, command: str) -> str:
    """The command that measures what clipping is worth; "" where nothing is calibrated, or clips already."""
    calibration = recipe.quantization.calibration
    if calibration is None or calibration.method != "min_max" or recipe.quantization.engine != "litert":
        return ""
    return f"measure what clipping is worth: {command} -m quantization.calibration.method=min_max,percentile,mse"


def count_growing_ranges(rows: Sequence[Row], tolerance: float) -> list[int]:
    """How many ranges grew by more than the tolerance with each of the last three doublings of the samples."""
    grew = [0] * (len(HALVINGS) - 1)
    for row in rows:
        gaps = dict(map(tuple, row["gaps"]))
        total = row["gaps"][-1][0]
        at = [max(1, total // part) for part in HALVINGS]
        for index in range(len(grew)):
            if at[index] in gaps and at[index + 1] in gaps:
                grew[index] += gaps[at[index]] - gaps[at[index + 1]] > tolerance
    return grew


def estimate_sample_count(grew: Sequence[int], samples: int) -> str:
    """How many samples would do, if the number of ranges that still grow goes on falling as it did, which is told."""
    seen = f"with the last three doublings {', '.join(map(str, grew))} grew"
    if grew[-3] >= grew[-2] > grew[-1] > 0:
        needed = math.floor(math.log(grew[-1]) / math.log(grew[-2] / grew[-1])) + 1
        if needed <= MOST_DOUBLINGS:
            return f"{seen}; give about {samples * 2**needed:,}"
    return f"{seen}; give {2 * samples:,} at least, and ask again"
