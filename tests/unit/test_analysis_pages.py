"""The pages that `sensitivity` and `advise` leave: whole, self-contained, and true to the figures."""

import math
import re
from xml.etree import ElementTree

import pytest
from frozen import recipe
from test_calibration_advice import GROWING, SETTLED, found, verdict
from test_sensitivity_text import FOUND

from tflbuild.report.questions.analysis_pages import advice_page, sensitivity_page
from tflbuild.report.svg_charts import (
    AxisScale,
    BarColumn,
    ChartLine,
    PlotAxes,
    draw_bars,
    draw_lines,
    plot_scales,
    round_step,
)

SVG = "{http://www.w3.org/2000/svg}"


def parts(chart, kind):
    return list(ElementTree.fromstring(chart).iter(SVG + kind))


def charts_of(page):
    return re.findall(r"<svg.*?</svg>", page, re.DOTALL)


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (AxisScale(0, 57.3, 0, 100), [0, 20, 40]),
        (AxisScale(-20, 20, 0, 100), [-20, -10, 0, 10, 20]),
        (AxisScale(1, 256, 0, 100, logarithmic=True), [1, 2, 5, 10, 20, 50, 100, 200]),
        (AxisScale(0.1, 100, 0, 100, logarithmic=True), [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]),
    ],
)
def test_axes_have_round_values(scale, ticks):
    assert scale.ticks() == pytest.approx(ticks)


def test_a_step_of_nothing_is_no_endless_axis():
    assert round_step(0.0) == 1.0


def test_bars_are_as_long_as_their_values():
    chart = draw_bars(["a", "b", "c"], [BarColumn("x, dB", [10.0, 5.0, None], ["10", "5", ""])])
    widths = [float(bar.get("width")) for bar in parts(chart, "rect")]
    assert len(widths) == 2 and widths[0] == pytest.approx(2 * widths[1])


def test_values_below_zero_go_the_other_way():
    chart = draw_bars(["a", "b"], [BarColumn("x, dB", [-10.0, 10.0], ["-10", "10"])])
    left, right = parts(chart, "rect")
    assert float(left.get("x")) + float(left.get("width")) == pytest.approx(float(right.get("x")))


def test_a_line_goes_through_its_points_on_logarithmic_axes():
    across, up = plot_scales(1, 100, 0.1)
    axes = PlotAxes(across, up, ("x", "y"), ([], []))
    chart = draw_lines(axes, [ChartLine("one", [(1, 100), (10, 10), (100, 0)], "#c00")], (900, 490), 2.0)
    (line,) = parts(chart, "polyline")
    (x0, y0), (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in line.get("points").split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert (y1 - y0) * 2 == pytest.approx(y2 - y1, abs=0.3)  # one decade down, then two: zero lies on the bottom
    assert y2 == pytest.approx(up(0.1), abs=0.1)


def test_a_sensitivity_page_has_every_operator_and_its_figures():
    page = sensitivity_page(FOUND, recipe())
    (chart,) = charts_of(page)
    words = [text.text for text in parts(chart, "text")]
    assert {"CONV_2D  block/conv (1)", "SOFTMAX  out", "20.0", "40.0", "80.0 %", "20.0 %"} <= set(words)
    assert "SNR, dB (less is worse)" in words and "share of the squared error, %" in words
    assert "Left in float, the scheme has nothing for them: NEG." in page
    assert "1,200 evaluation samples" in page


def test_an_advice_page_draws_growth_and_names_what_still_grows():
    rows = [SETTLED, GROWING]
    page = advice_page(found(*rows), verdict(*rows), recipe())
    growth, bars = charts_of(page)
    assert len(parts(growth, "polyline")) == 2
    assert "CONV_2D  restless" in [text.text for text in parts(growth, "text")]  # the legend
    assert "CONV_2D  calm" not in [text.text for text in parts(growth, "text")]
    assert len(parts(bars, "rect")) == 2 * 3
    assert "not enough: 1 of 2 ranges" in page


def test_without_evaluation_there_is_no_column_for_it():
    rows = [{**SETTLED, "outside": None}]
    _, bars = charts_of(advice_page({**found(*rows), "evaluated": {}}, verdict(*rows), recipe()))
    assert len(parts(bars, "rect")) == 2


@pytest.mark.parametrize("count", [0, 1, 300])
def test_any_number_of_tensors_makes_a_page(count):
    rows = [{**SETTLED, "name": f"<b>&{index}"} for index in range(count)]
    page = advice_page(found(*rows), verdict(*rows), recipe())
    assert all(ElementTree.fromstring(chart) is not None for chart in charts_of(page))
    assert "<b>" not in page


def test_a_page_needs_nothing_from_the_net():
    rows = [SETTLED, GROWING]
    for page in (sensitivity_page(FOUND, recipe()), advice_page(found(*rows), verdict(*rows), recipe())):
        assert set(re.findall(r"https?://[^\"]*", page)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"<(script|link|img|iframe)|url\(|@import", page)
        assert all(math.isfinite(float(value)) for value in re.findall(r' [xy12]{1,2}="([^"]*)"', page))
