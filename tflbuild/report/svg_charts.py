"""Charts as SVG, drawn by hand: bars in columns and lines over samples, in one HTML page without anything from the net.

All lengths are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LABELS = 560  # at most
LETTER = 7
PANEL = 190
GAP = 62  # room for a bar's figure
ROW = 19
TOP = 44
CHART = (900, 420)  # width and height of the lines' area
MARGIN = 70
VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
COLOURS = ("#c0392b", "#1f77b4", "#e08e0b", "#2c8c3c", "#7d3c98", "#17a2a2", "#8c564b", "#d14ba0")
STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #666; --ground: #fff; --grid: #ddd; --axis: #888; --dull: #bbb; }
@media (prefers-color-scheme: dark) {
:root { --ink: #ddd; --soft: #9a9a9a; --ground: #16181b; --grid: #33373c; --axis: #777; --dull: #555; }
}
body { font: 14px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 2em; }
h1 { font-size: 1.3em; } h2 { font-size: 1.05em; margin-top: 2em; } p { max-width: 62em; }
svg { display: block; max-width: 100%; height: auto; } .chart { overflow-x: auto; }
.chart svg { min-width: calc(0.85 * var(--wide)); } text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.grid { stroke: var(--grid); } .axis { stroke: var(--axis); } .soft { fill: var(--soft); } .head { font-weight: bold; }
.dull { stroke: var(--dull); } .limit { stroke: var(--ink); stroke-dasharray: 5 4; }
"""


@dataclass(frozen=True)
class AxisScale:
    """Values to pixels along one direction; logarithmic where asked, values below `low` lying on it."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        ends = self.low, self.high
        if self.logarithmic:
            value, ends = math.log10(value), (math.log10(self.low), math.log10(self.high))
        share = (value - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else 0.0
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """About five round values; on a logarithmic scale all 1, 2 and 5 times a power of ten."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
            return [value for value in found if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]
        step = round_step((self.high - self.low) / 5)
        return [step * n for n in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class BarColumn:
    """One column of bars: its heading with the unit, a value a row (None: no bar), and those values in words."""

    heading: str
    values: Sequence[float | None]
    words: Sequence[str]
    colour: str = COLOURS[1]


@dataclass(frozen=True)
class ChartLine:
    """A polyline over (x, y); one with a colour is told in the legend, the others are grey."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: str = ""


def round_step(rough: float) -> float:
    """The 1, 2 or 5 times a power of ten that is not below a step."""
    if rough <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough * (1 - 1e-9))


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "", turn: str = "") -> str:
    """One line of text, its baseline at y, of the style `soft` or `head`."""
    look = (f' class="{kind}"' if kind else "") + (f' transform="{turn}"' if turn else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{look}>{escape(words)}</text>'


def rule(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    """A straight line of the style `grid` or `axis`."""
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" class="{kind}"/>'


def draw_bars(labels: Sequence[str], columns: Sequence[BarColumn]) -> str:
    """A row a label, a bar in each column; every column has an axis of its own above."""
    left = min(LABELS, 20 + LETTER * max((len(label) for label in labels), default=0))
    width = left + len(columns) * (PANEL + GAP)
    height = TOP + ROW * len(labels) + 10
    parts = [text(left - 10, TOP + ROW * row + 14, label, "end") for row, label in enumerate(labels)]
    for place, column in enumerate(columns):
        parts += _draw_column(column, left + place * (PANEL + GAP), height)
    return svg(width, height, parts)


def _draw_column(column: BarColumn, left: float, height: float) -> list[str]:
    known = [value for value in column.values if value is not None and math.isfinite(value)]
    scale = AxisScale(min(0.0, *known, 0.0), max(*known, 0.0, 0.0) or 1.0, left, left + PANEL)
    parts = [text(left, 14, column.heading, kind="head")]
    for tick in scale.ticks():
        parts += [rule(scale(tick), TOP - 6, scale(tick), height - 8, "grid")]
        parts += [text(scale(tick), TOP - 12, f"{tick:g}", "middle", "soft")]
    parts.append(rule(scale(0), TOP - 6, scale(0), height - 8, "axis"))
    for row, (value, words) in enumerate(zip(column.values, column.words, strict=True)):
        if value is None:
            continue
        ends = sorted((scale(0), scale(value)))
        y = TOP + ROW * row + 3
        size = f'width="{ends[1] - ends[0]:.1f}" height="{ROW - 6}"'
        parts.append(f'<rect x="{ends[0]:.1f}" y="{y}" {size} fill="{column.colour}"/>')
        parts.append(text(ends[1] + 5, y + 11, words, kind="soft"))
    return parts


@dataclass(frozen=True)
class PlotAxes:
    """Both directions of a plot: what they are called, and where which words stand at them."""

    across: AxisScale
    up: AxisScale
    headings: tuple[str, str]
    ticks: tuple[Sequence[tuple[float, str]], Sequence[tuple[float, str]]]

    def draw(self) -> list[str]:
        """The grid, the words at it, and the headings."""
        across, up = self.across, self.up
        parts = []
        for value, words in self.ticks[0]:
            parts.append(rule(across(value), up.start, across(value), up.stop, "grid"))
            parts.append(text(across(value), up.start + 18, words, "middle", "soft"))
        for value, words in self.ticks[1]:
            parts.append(rule(across.start, up(value), across.stop, up(value), "grid"))
            parts.append(text(across.start - 8, up(value) + 4, words, "end", "soft"))
        parts.append(text((across.start + across.stop) / 2, up.start + 40, self.headings[0], "middle", "head"))
        middle = (up.start + up.stop) / 2
        parts.append(text(14, middle, self.headings[1], "middle", "head", f"rotate(-90 14 {middle:.1f})"))
        return parts


def draw_lines(
    axes: PlotAxes, lines: Sequence[ChartLine], size: tuple[float, float], limit: float | None = None
) -> str:
    """Lines on axes, a dashed one at `limit` percent, and a legend of those that have a colour below; `size` is
    (width, height) without the legend."""
    across, up = axes.across, axes.up
    parts = axes.draw()
    for line in sorted(lines, key=lambda one: bool(one.colour)):
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
        look = f'stroke="{line.colour}" stroke-width="2"' if line.colour else 'class="dull"'
        parts.append(f'<polyline points="{points}" fill="none" {look}><title>{escape(line.label)}</title></polyline>')
    if limit is not None:
        parts.append(rule(across.start, up(limit), across.stop, up(limit), "limit"))
        parts.append(text(across.stop + 6, up(limit) + 4, f"{limit:g} %: enough"))
    legend = [line for line in lines if line.colour]
    for row, line in enumerate(legend):
        y = size[1] + 8 + ROW * row
        parts.append(f'<rect x="{across.start:.1f}" y="{y - 9}" width="22" height="4" fill="{line.colour}"/>')
        parts.append(text(across.start + 30, y, line.label))
    return svg(size[0], size[1] + 14 + ROW * len(legend), parts)


def plot_scales(first: float, last: float, lowest: float) -> tuple[AxisScale, AxisScale]:
    """(samples from first to last, percent from `lowest` to 100), both logarithmic, in the lines' area."""
    width, height = CHART
    across = AxisScale(first, max(last, first * 2), MARGIN, width - 100, logarithmic=True)
    return across, AxisScale(lowest, 100.0, height, 12, logarithmic=True)


def svg(width: float, height: float, parts: Sequence[str], role: str = "img") -> str:
    """The picture that holds these parts; a `group` is one in which some can be reached by themselves."""
    size = (
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" style="--wide:{width:.0f}px"'
    )
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="{role}">', *parts, "</svg>"])


def page(title: str, lead: Sequence[str], charts: Sequence[tuple[str, str, str]]) -> str:
    """One HTML file: a title, paragraphs, and charts as (heading, what it shows, SVG).

    A chart shrinks with the window as far as it can be read, then scrolls by itself.
    """
    body = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(words)}</p>" for words in lead)]
    for heading, words, chart in charts:
        body += [f"<h2>{escape(heading)}</h2>", f"<p>{escape(words)}</p>", f'<div class="chart">{chart}</div>']
    return document(title, STYLE, body, [VIEWPORT])


def document(title: str, style: str, body: Sequence[str], head: Sequence[str] = ()) -> str:
    """One HTML file from its parts, which are HTML but for the title; `head` holds more for its head."""
    first = ['<meta charset="utf-8">', *head, f"<title>{escape(title)}</title>", f"<style>{style}</style>"]
    whole = ["<!DOCTYPE html>", '<html lang="en"><head>', *first, "</head><body>", *body, "</body></html>", ""]
    return "\n".join(whole)
