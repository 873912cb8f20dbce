"""The pages of `sensitivity` and `advise` in a real browser: they fit the window, and can be read."""

from __future__ import annotations

import pytest
from browser import open_browser
from needs import needs_program

from tflbuild.report.svg_charts import COLOURS, BarColumn, ChartLine, PlotAxes, draw_bars, draw_lines, page, plot_scales

pytestmark = [
    pytest.mark.heavy,
    needs_program("chromium"),
]
LONG = "DEPTHWISE_CONV_2D  fashion_mobilenet_1/block_1_dep...wise_relu_1/Relu6;fashion_net"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize(("width", "least"), [(390, 11), (1200, 11), (1600, 13)])
def test_a_page_does_not_scroll_sideways_and_its_letters_stay_legible(browser, tmp_path, width, least):
    column = BarColumn("a figure, %", [1.0, 50.0], ["1.0 %", "50.0 %"])
    across, up = plot_scales(1, 256, 0.1)
    lines = draw_lines(
        PlotAxes(across, up, ("samples", "of the range lacking, %"), ([], [])),
        [ChartLine(LONG, [(1, 90), (256, 1)], COLOURS[0])],
        (900, 490),
        2,
    )
    text = page(
        "Charts", ["Words"], [("Bars", "Bars", draw_bars([LONG, "SOFTMAX  out"], [column] * 3)), ("L", "L", lines)]
    )
    (tmp_path / "page.html").write_text(text)
    browser.resize(width, 800)
    browser.open(tmp_path / "page.html")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    letters = "[...document.querySelectorAll('svg text')].map(one => one.getBoundingClientRect().height)"
    assert browser.evaluate(f"Math.min(...{letters})") > least - 1
    inside = "[...document.querySelectorAll('.chart')].every(one => one.scrollWidth <= one.clientWidth)"
    assert browser.evaluate(inside) is (width >= 1200)
