"""Evaluate the result of `tflbuild advise`: whether the calibration samples are enough, the worst tensors first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Recipe
from tflbuild.report.text_table import align, shorten

# The number of rows in the table.
LISTED_RANGES = 20
HEADINGS = ("grew", "settled", "used", "bits lost", "outside", "operator", "name")
# The fractions of the samples, 1/8 to all, at which growing ranges are counted. Between them are three doublings.
HALVINGS = (8, 4, 2, 1)
# Three doublings do not allow an extrapolation by more than this many doublings.
MOST_DOUBLINGS = 4
# Normally distributed values lose less than this: 3.3 sigma are the core, and millions of values reach 5 to 6 sigma.
BIT = 1.0
# A larger fraction of values outside of a range is not an accident.
OUTSIDE = 0.001

Row = Mapping[str, Json]


@dataclass(frozen=True)
class CalibrationAdvice:
    """Whether the samples are enough, as a value and as text, and the next step, or ""."""

    enough: bool
    text: str
    next_step: str


def advice_text(facts: Mapping[str, Json], verdict: CalibrationAdvice) -> str:
    """Return the table of ranges, remarks, and the verdict."""
    rows = worst_first(facts)
    several = len(facts["samples"]) > 1
    lines = align(HEADINGS, [make_row(row, facts, several) for row in rows[:LISTED_RANGES]], right=HEADINGS[:5])
    if len(rows) > LISTED_RANGES:
        lines.append(f"and {len(rows) - LISTED_RANGES} more: --json and the page have all")
    evaluated = sum(facts["evaluated"].values())
    lines.append(
        f"grew: with the last half of the samples; settled: samples until {facts['tolerance']:.0%} was lacking;"
        f" used: by {facts['core']:.1%} of the values"
        + (f"; outside: of {evaluated:,} evaluation samples' values" if evaluated else "")
    )
    lines += remarks(facts, rows)
    return "\n".join([*lines, verdict.text, *([f"next: {verdict.next_step}"] if verdict.next_step else [])])


def worst_first(facts: Mapping[str, Json]) -> list[Row]:
    """Return the ranges: those that still grow first, then by bits lost to outliers, then by values outside."""
    tolerance = facts["tolerance"]

    def badness(row: Row) -> tuple[float, float, float, str]:
        grew = row["grew"] if row["grew"] > tolerance else 0.0
        return -grew, -row["bits_lost"], -(row["outside"] or 0.0), row["name"]

    return sorted(facts["tensors"], key=badness)


def make_row(row: Row, facts: Mapping[str, Json], several: bool) -> tuple[str, ...]:
    """Return the row of a range. If there are several signatures, the name says to which one it belongs."""
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
    """Return a fraction in percent, or in parts per million if it is very small."""
    return f"{share:.2%}" if share >= 0.0001 or share == 0 else f"{share * 1e6:.2g} ppm"


def remarks(facts: Mapping[str, Json], rows: Sequence[Row]) -> list[str]:
    """Return remarks on outliers, on constant tensors, and on evaluation values outside of calibration ranges."""
    lines = []
    outliers = [row for row in rows if row["bits_lost"] >= BIT]
    of = f"of {len(rows)} ranges"
    if outliers:
        rest, most = 1 - facts["core"], max(row["bits_lost"] for row in outliers)
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


def evaluate_samples(facts: Mapping[str, Json], recipe: Recipe, command: str) -> CalibrationAdvice:
    """Return the verdict.

    Args:
        found: The facts of the analysis.
        recipe: The recipe.
        command: The command line of the build, to which overrides can be added.
    """
    rows, tolerance = facts["tensors"], facts["tolerance"]
    samples = max(facts["samples"].values())
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
    settled_count = max((row["settled"] for row in rows), default=samples)
    text = (
        f"enough: from {settled_count:,} of {samples:,} samples on, all {len(rows)} ranges were within {tolerance:.0%}"
    )
    return CalibrationAdvice(True, text, next_step(rows, recipe, command))


def next_step(rows: Sequence[Row], recipe: Recipe, command: str) -> str:
    """Return what may still be improved once ranges do not grow any more."""
    compared = compare_methods(recipe, command)
    if compared and any(row["bits_lost"] >= BIT for row in rows):
        return compared
    if any((row["outside"] or 0.0) > OUTSIDE for row in rows):
        return "look at what the evaluation samples have that the calibration samples have not"
    return ""


def compare_methods(recipe: Recipe, command: str) -> str:
    """Return the command that measures the effect of clipping; "" if nothing is calibrated or the method clips."""
    calibration = recipe.quantization.calibration
    if calibration is None or calibration.method != "min_max" or recipe.quantization.engine != "litert":
        return ""
    return f"measure what clipping is worth: {command} -m quantization.calibration.method=min_max,percentile,mse"


def count_growing_ranges(rows: Sequence[Row], tolerance: float) -> list[int]:
    """Return how many ranges grew by more than the tolerance with each of the last three doublings of the samples."""
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
    """Return how many samples are sufficient, if the number of growing ranges continues to fall as it did."""
    observation = f"with the last three doublings {', '.join(map(str, grew))} grew"
    if grew[-3] >= grew[-2] > grew[-1] > 0:
        needed = math.floor(math.log(grew[-1]) / math.log(grew[-2] / grew[-1])) + 1
        if needed <= MOST_DOUBLINGS:
            return f"{observation}; give about {samples * 2**needed:,}"
    return f"{observation}; give {2 * samples:,} at least, and ask again"
