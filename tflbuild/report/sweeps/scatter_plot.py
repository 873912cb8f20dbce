"""Variants as points of size or latency against accuracy, and as lines over commits. All lengths are pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tflbuild.core.gates import ACCURACIES
from tflbuild.core.objective import Objective
from tflbuild.report.figure_text import BYTES, name_in_heading, show_figure, show_tick, unit
from tflbuild.report.svg_charts import COLOURS, AxisScale, ChartLine, PlotAxes, draw_lines, round_step, svg, text
from tflbuild.report.sweeps.pareto_front import costs_of, find_pareto_front
from tflbuild.report.sweeps.ranking import RankedVariant

WIDE = (900, 420)
NARROW = (350, 330)  # the picture that a phone gets, whose letters would be too small in the other
LEFT, RIGHT, TOP, BOTTOM = 76, 18, 14, 52
LETTER = 6.6  # width of a letter of 12 pixels, on average
LINE = 15
RADIUS = 5.5
LOGARITHMIC_FROM = 12.0  # times the least value
NAMED = re.compile(r"^[\w.@/]+=(?=[A-Za-z][\w.-]*$)(?!(true|false|null|none)$)")  # the key of a value that is a name

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ScatterView:
    """A picture of the variants: `x` against `y`, each a figure and the side that is better."""

    x: Objective
    y: Objective


def make_scale(values: Sequence[float], start: float, stop: float, figure: str, logarithmic: bool = False) -> AxisScale:
    """A scale with room around the values; shares do not go beyond 100 %, nor bytes below nothing."""
    low, high = min(values), max(values)
    if logarithmic and low > 0 and high / low >= LOGARITHMIC_FROM:
        return AxisScale(low / 1.3, high * 1.3, start, stop, logarithmic=True)
    room = (high - low) * 0.12 or abs(high) * 0.05 or 1.0
    least = low - room if low < 0 else max(0.0, low - room)
    most = min(high + room, 1.0) if figure in ACCURACIES and high < 1 else high + room
    return AxisScale(least, most, start, stop)


def choose_ticks(scale: AxisScale, most: int) -> list[float]:
    """Round values of a scale, no more than so many."""
    ticks = scale.ticks()
    if len(ticks) <= most:
        return ticks
    if scale.logarithmic:
        return ticks[:: -(-len(ticks) // most)]
    step = round_step((scale.high - scale.low) / most)
    return [value for value in ticks if abs(value / step - round(value / step)) < 1e-6] or ticks[:1]


def label_ticks(figure: str, values: Sequence[float]) -> list[tuple[float, str]]:
    """Values at an axis with their words: bytes in full where three digits would be too few for one of them."""
    full = unit(figure) == BYTES and any(abs(float(f"{value:.3g}") - value) > 0.5 for value in values)
    return [(value, show_figure(figure, value) if full else show_tick(figure, value)) for value in values]


def make_axes(view: ScatterView, shown: Sequence[RankedVariant], size: tuple[float, float]) -> PlotAxes:
    """Axes on which these variants have room, in a picture of that size."""
    across_values = [one.entry.figures[view.x.figure] for one in shown]
    up_values = [one.entry.figures[view.y.figure] for one in shown]
    across = make_scale(across_values, LEFT, size[0] - RIGHT, view.x.figure, logarithmic=True)
    up = make_scale(up_values, size[1] - BOTTOM, TOP, view.y.figure)
    columns, rows = (8 if size[0] > 500 else 4), 6
    ticks = (
        label_ticks(view.x.figure, choose_ticks(across, columns)),
        label_ticks(view.y.figure, choose_ticks(up, rows)),
    )
    return PlotAxes(across, up, (name_in_heading(view.x.figure), name_in_heading(view.y.figure)), ticks)


def draw_scatter(view: ScatterView, standings: Sequence[RankedVariant], size: tuple[float, float]) -> str:
    """A circle a variant that has both figures, a line through those that nothing beats in both, labels at the best."""
    places = [
        place
        for place, one in enumerate(standings)
        if view.x.figure in one.entry.figures and view.y.figure in one.entry.figures
    ]
    shown = [standings[place] for place in places]
    if not shown:
        return ""
    axes = make_axes(view, shown, size)
    spots = [
        (axes.across(one.entry.figures[view.x.figure]), axes.up(one.entry.figures[view.y.figure])) for one in shown
    ]
    front = find_pareto_front(
        [costs_of(one.entry.figures, (view.x, view.y)) if one.entry.sound else None for one in shown]
    )
    joined = sorted({spots[place] for place in front})
    parts = axes.draw()
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in joined)
    parts.append(f'<polyline points="{points}" fill="none" class="front"/>')
    order = sorted(range(len(shown)), key=lambda index: shown[index].best)  # the best lie on top
    parts += [draw_point(places[index], shown[index], *spots[index]) for index in order]
    best = [index for index in range(len(shown)) if shown[index].best]
    parts += label_points([short_label(shown[index]) for index in best], [spots[index] for index in best], spots, size)
    return svg(*size, parts, role="group")


def short_label(one: RankedVariant) -> str:
    """A label for a picture: of what is chosen by a name of its own, the name; that it is the quantization, not."""
    named = (NAMED.sub("", word) for word in one.label.split(" "))
    return " ".join(word.removeprefix("quantization=").removeprefix("recipe=") for word in named)


def draw_point(place: int, one: RankedVariant, x: float, y: float) -> str:
    """A circle that can be reached by keyboard; `data-entry` is the place of its variant in the table."""
    entry = one.entry
    kind = "best" if one.best else "passed" if entry.sound else "doubtful" if entry.passed else "rejected"
    told = escape(f"{one.label}: {entry.verdict}{', doubtful' if entry.collapsed else ''}")
    return (
        f'<circle class="point {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" data-entry="{place}" tabindex="0"'
        f' role="img" aria-label="{told}"><title>{told}</title></circle>'
    )


def label_points(
    labels: Sequence[str],
    spots: Sequence[tuple[float, float]],
    taken: Sequence[tuple[float, float]],
    size: tuple[float, float],
) -> list[str]:
    """Words at points, where they cover neither another point nor other words; else none. Told at once only once."""
    longest = 34 if size[0] > 500 else 20
    boxes = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in dict.fromkeys(taken)]
    parts = []
    for spot, label in dict(zip(spots, labels, strict=True)).items():
        words = cut(label, longest)
        for x, y, anchor, box in positions(spot, len(words) * LETTER):
            inside = box[0] >= LEFT and box[2] <= size[0] and box[1] >= 0 and box[3] <= size[1] - BOTTOM
            if inside and not any(overlap(box, other) for other in boxes):
                boxes.append(box)
                parts.append(text(x, y, words, anchor, "label"))
                break
    return parts


def cut(words: str, longest: int) -> str:
    """The beginning of words that are too long."""
    return words if len(words) <= longest else f"{words[: longest - 3]}..."


def positions(spot: tuple[float, float], width: float) -> list[tuple[float, float, str, Box]]:
    """Where words may stand at a point: (x, baseline, anchor, what they cover), the preferred place first."""
    x, y = spot
    gap = RADIUS + 4
    found: list[tuple[float, float, str, Box]] = []
    for rise in (0, -LINE, LINE, -2 * LINE, 2 * LINE):
        top, bottom = y + rise - LINE / 2, y + rise + LINE / 2
        side = gap if abs(rise) < LINE else 0
        found.append((x + side, y + rise + 4, "start", (x + side, top, x + side + width, bottom)))
        found.append((x - side, y + rise + 4, "end", (x - side - width, top, x - side, bottom)))
    return found


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes (left, top, right, bottom) have a point in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def draw_trend(
    figure: str, lines: Sequence[tuple[str, Sequence[tuple[int, float]]]], names: Sequence[str], size: tuple[int, int]
) -> str:
    """A figure of several variants over commits: (label, (place of the commit, value)...); `names` stand below."""
    values = [value for _, points in lines for _, value in points]
    across = AxisScale(-0.25, len(names) - 0.75, LEFT, size[0] - RIGHT)
    up = make_scale(values, size[1] - BOTTOM, TOP, figure)
    every = -(-len(names) // max(1, size[0] // 110))
    below = [(float(place), name) for place, name in enumerate(names) if place % every == 0]
    beside = label_ticks(figure, choose_ticks(up, 6))
    room = int((size[0] - LEFT - 30) / LETTER)
    drawn = [
        ChartLine(
            cut(label, room),
            [(float(place), value) for place, value in points],
            COLOURS[index] if index < len(COLOURS) else "",
        )
        for index, (label, points) in enumerate(lines)
    ]
    return draw_lines(PlotAxes(across, up, ("commit", name_in_heading(figure)), (below, beside)), drawn, size)
