"""The pages of `sensitivity` and `advise`: what their tables say, and all of it."""

from __future__ import annotations

from collections.abc import Mapping

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Recipe
from tflbuild.report.questions.calibration_advice import CalibrationAdvice, Row, remarks, show_share, worst_first
from tflbuild.report.svg_charts import (
    CHART,
    COLOURS,
    BarColumn,
    ChartLine,
    PlotAxes,
    draw_bars,
    draw_lines,
    page,
    plot_scales,
)
from tflbuild.report.text_table import shorten

LEAST = 0.1  # percent, the bottom of the growth chart


def sensitivity_page(found: Mapping[str, Json], recipe: Recipe) -> str:
    """SNR and share of the squared error of every operator, worst first."""
    operators = found["operators"]
    labels = [f"{one['operator']}  {shorten(one['name'])}" for one in operators]
    noise = [one["snr_db"] for one in operators]
    shares = [one["share"] * 100 for one in operators]
    chart = draw_bars(
        labels,
        [
            BarColumn("SNR, dB (less is worse)", noise, [f"{value:.1f}" for value in noise]),
            BarColumn("share of the squared error, %", shares, [f"{value:.1f} %" for value in shares], COLOURS[0]),
        ],
    )
    lead = [
        f"Each of {len(operators)} operators alone as {found['scheme']}, all others in float, compared with the source"
        f" on {found['samples']:,} evaluation samples."
    ]
    if found["left"]:
        names = sorted({one["operator"] for one in found["left"]})
        lead.append(f"Left in float, the scheme has nothing for them: {', '.join(names)}.")
    what = "Signal-to-noise ratio of the worst output, and the operator's part of the sum of all squared errors."
    return page(f"Sensitivity of {recipe.name}/{recipe.variant}", lead, [("Operators, worst first", what, chart)])


def advice_page(found: Mapping[str, Json], verdict: CalibrationAdvice, recipe: Recipe) -> str:
    """How ranges grew with the samples; then what the last half added, what outliers cost and what is cut off."""
    rows = worst_first(found)
    lead = [verdict.text, *([f"Next: {verdict.next_step}"] if verdict.next_step else []), *remarks(found, rows)]
    growth = (
        "Growth of the ranges",
        "How much of its final range each activation still lacked after so many calibration samples, taken in a"
        f" seeded order; below {LEAST} % lies on the bottom. Coloured: those that still grew with the last half.",
        draw_growth(found, rows),
    )
    evaluated = sum(found["evaluated"].values())
    bars = (
        "Tensors, worst first",
        f"What the last half of the samples added; the bits that the outermost {1 - found['core']:.1%} of the values"
        " cost all others"
        + (f"; the share of {evaluated:,} evaluation samples' values outside of the range." if evaluated else "."),
        draw_bars([label_of(row) for row in rows], advice_columns(rows)),
    )
    return page(f"Calibration of {recipe.name}/{recipe.variant}", lead, [growth, bars])


def label_of(row: Row) -> str:
    """The operator and the tensor."""
    return f"{row['operator']}  {shorten(row['name'])}"


def draw_growth(found: Mapping[str, Json], rows: list[Row]) -> str:
    """Curves over the number of samples; the worst have colours."""
    growing = [row for row in rows if row["grew"] > found["tolerance"]][: len(COLOURS)]
    colours = {id(row): colour for row, colour in zip(growing, COLOURS, strict=False)}
    lines = [
        ChartLine(label_of(row), [(count, gap * 100) for count, gap in row["gaps"]], colours.get(id(row), ""))
        for row in rows
    ]
    counts = [count for row in rows for count, _ in row["gaps"]] or [1]
    across, up = plot_scales(min(counts), max(counts), LEAST)
    headings = ("calibration samples", "of the final range lacking, %")
    ticks = [(value, f"{value:,g}") for value in across.ticks()], [(value, f"{value:g}") for value in up.ticks()]
    axes = PlotAxes(across, up, headings, ticks)
    return draw_lines(axes, lines, (CHART[0], CHART[1] + 70), found["tolerance"] * 100)


def advice_columns(rows: list[Row]) -> list[BarColumn]:
    """What can be drawn as bars; evaluation only where there was any."""
    grew = [row["grew"] * 100 for row in rows]
    bits = [row["bits_lost"] for row in rows]
    columns = [
        BarColumn("grew with the last half, %", grew, [f"{value:.1f} %" for value in grew], COLOURS[0]),
        BarColumn("lost to outliers, bits", bits, [f"{value:.1f}" for value in bits]),
    ]
    if any(row["outside"] is not None for row in rows):
        outside = [None if row["outside"] is None else row["outside"] * 100 for row in rows]
        words = ["" if row["outside"] is None else show_share(row["outside"]) for row in rows]
        columns.append(BarColumn("evaluation values outside, %", outside, words, COLOURS[2]))
    return columns
