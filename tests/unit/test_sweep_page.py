"""The page of a sweep: whole, true to the record, harmless whatever stands in it."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from sweep_records import BROKEN, FOUR, entry, failed, judged, sweep, timed

from tflbuild.core.objective import Objective
from tflbuild.report.svg_charts import AxisScale
from tflbuild.report.sweeps.ranking import rank_variants
from tflbuild.report.sweeps.scatter_plot import (
    WIDE,
    ScatterView,
    choose_ticks,
    draw_scatter,
    label_points,
    make_scale,
    short_label,
)
from tflbuild.report.sweeps.sweep_page import sweep_page
from tflbuild.report.sweeps.sweep_record import Commit, OperatorSensitivity, SensitivityTable

VOID = {"meta", "link", "br"}
LAYERS = SensitivityTable(
    source="tflbuild sensitivity",
    scheme="int8",
    samples=2000,
    operators=(
        OperatorSensitivity(name="conv", operator="CONV_2D", snr_db=20.0),
        OperatorSensitivity(name="out", operator="SOFTMAX", snr_db=30.0),
    ),
)


class Page(HTMLParser):
    """Checks that tags are closed in their order, and keeps them and the text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag, **wanted):
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]

    @property
    def text(self):
        return "\n".join(self.words)


def svg(chart, kind):
    return list(ElementTree.fromstring(chart).iter("{http://www.w3.org/2000/svg}" + kind))


def circles(page):
    return [found for found in page.all("circle") if found["class"].startswith("point")]


def test_every_variant_with_figures_is_a_point_and_every_variant_a_row():
    page = Page(sweep_page([sweep(*FOUR, failed("quantization=int16x8"))]))
    assert len(circles(page)) == 2 * 4  # one picture for wide windows, one for narrow ones
    kinds = ["point passed", "point rejected", "point best", "point best"]  # the best are drawn last
    assert [found["class"] for found in circles(page)] == kinds * 2
    assert len([row for row in page.all("tr") if "data-entry" in row]) == 5
    assert "net: 5 variants, 3 ok, 1 gate failed, 1 failed in calibrate." in page.text


def test_a_point_lies_where_its_figures_are():
    view = ScatterView(Objective("bytes", "min"), Objective("top1", "max"))
    points = svg(draw_scatter(view, rank_variants([sweep(*FOUR)]), WIDE), "circle")
    by_place = {int(point.get("data-entry")): (float(point.get("cx")), float(point.get("cy"))) for point in points}
    order = [one.entry.figures for one in rank_variants([sweep(*FOUR)])]
    for one in range(4):
        for other in range(4):
            if order[one]["bytes"] < order[other]["bytes"]:
                assert by_place[one][0] < by_place[other][0]
            if order[one]["top1"] < order[other]["top1"]:
                assert by_place[one][1] > by_place[other][1]  # up is better: pixels count from the top


def test_the_line_joins_what_nothing_beats_in_the_two_figures():
    view = ScatterView(Objective("bytes", "min"), Objective("top1", "max"))
    chart = draw_scatter(view, rank_variants([sweep(*FOUR)]), WIDE)
    (line,) = svg(chart, "polyline")
    joined = {tuple(map(float, pair.split(","))) for pair in line.get("points").split()}
    best = {(float(p.get("cx")), float(p.get("cy"))) for p in svg(chart, "circle") if "best" in p.get("class")}
    assert joined == best and len(best) == 2


def test_the_diff_of_a_variant_is_told_with_its_figures():
    page = Page(sweep_page([sweep(*FOUR)]))
    assert {found["id"] for found in page.all("div", **{"class": "entry"}) if "id" in found} == {
        f"entry-{place}" for place in range(4)
    }
    told = Page(re.search(r'<div class="entry" id="entry-0">.*?</div>', sweep_page([sweep(*FOUR)]))[0]).text
    assert re.findall(r"[a-z]+=\w+", told) == ["quantization=float16"] * 2  # its label, and all that is not shared
    assert "93.25 %" in told and "281,000" in told and "on the front" in told


def test_a_page_needs_nothing_from_the_net_and_runs_its_own_script_alone():
    text = sweep_page([sweep(*FOUR)])
    assert set(re.findall(r"https?://[^\"'\s]*", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(img|iframe|object|embed)|url\(|@import|fetch\(|XMLHttp", text)
    page = Page(text)
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    trusted = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [found["content"] for found in page.all("meta") if "http-equiv" in found]
    assert policy.startswith("default-src 'none'") and f"script-src 'sha256-{trusted}'" in policy


NASTY = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&"


def test_whatever_is_written_in_a_record_is_text():
    trouble = replace(BROKEN, what=NASTY, where=NASTY, why=NASTY, next_step=NASTY)
    layers = SensitivityTable(
        source=NASTY, scheme=NASTY, operators=(OperatorSensitivity(name=NASTY, operator=NASTY, snr_db=1.0),)
    )
    one = timed(entry(f"a={NASTY}".replace(" ", "_"), recipe=NASTY, layers=layers), 1.0, NASTY)
    one = replace(one, figures={**one.figures, f"metrics.{NASTY}": 2.0})  # it is on the front
    others = (
        entry("a=2", 90, 0.1, verdict=NASTY, sensitivity="k"),
        failed(f"b={NASTY}", trouble, NASTY),
        replace(
            entry(f"c={NASTY}".replace(" ", "_"), scheme=NASTY),
            figures=one.figures,
            sensitivity="k",
            steps={NASTY: one.steps["import"]},
        ),
    )
    told = {"platform": NASTY, "python": NASTY}
    whole = sweep(
        *(one, *others),
        host=told,
        toolchain={NASTY: NASTY},
        command=(NASTY,),
        id=NASTY,
        created=NASTY,
        git=Commit(commit=NASTY, dirty=True),
        objectives=(Objective(f"metrics.{NASTY}", "max"), Objective("bytes", "min")),
    )
    for sweeps in ([whole], [whole, replace(whole, id="x", git=Commit(commit="d" * 40, dirty=False))]):
        page = Page(sweep_page(sweeps))
        assert len(page.all("script")) == 1 and page.all("img") == []
        assert not any(name.startswith("on") for _, found in page.tags for name in found)
        assert NASTY in page.text


@pytest.mark.parametrize(
    "variants",
    [
        (),
        (entry(""),),
        (failed("a=1"),),
        (entry("a=1", top1=None),),
        tuple(entry(f"a={n}", 100 + n) for n in range(200)),
    ],
    ids=["none", "one", "failed", "unverified", "many"],
)
def test_any_sweep_makes_a_page(variants):
    text = sweep_page([sweep(*variants)])
    Page(text)
    for chart in re.findall(r"<svg.*?</svg>", text, re.S):
        assert ElementTree.fromstring(chart) is not None
    assert "nan" not in re.sub(r"<script>.*?</script>", "", text, flags=re.S).lower().replace("pennant", "")


def test_latency_can_be_chosen_where_one_host_measured_it():
    one, other = timed(entry("a=1"), 5.0), timed(entry("a=2", 90, 0.8), 1.25)
    page = Page(sweep_page([sweep(one, other)]))
    assert [found["data-view"] for found in page.all("button") if "data-view" in found] == ["bytes", "latency_ms"]
    assert ["hidden" in found for found in page.all("div") if "data-plot" in found] == [False, True]
    elsewhere = replace(other, latency_host="another cpu")
    page = Page(sweep_page([sweep(one, elsewhere)]))
    assert not [found for found in page.all("button") if "data-view" in found]
    assert "measured on 2 hosts" in page.text


def views(page):
    return [found["data-view"] for found in page.all("button") if "data-view" in found]


def test_wanted_figures_of_targets_are_drawn_with_their_units_and_told_of_each_point():
    npu, arena = Objective("ethos_u55.inference_ms", "min"), Objective("tflm.arena_bytes", "min")
    made = [
        judged(entry(f"a={n}", top1=0.9 + n / 100), ethos_u55__inference_ms=n, tflm__arena_bytes=91000 + 30 * n)
        for n in (1, 2, 3)
    ]
    page = Page(sweep_page([sweep(*made, objectives=(npu, Objective("top1", "max"), arena))]))
    assert views(page) == [npu.figure, arena.figure, "bytes", f"{npu.figure} {arena.figure}"]
    assert {"ethos_u55 inference, ms", "tflm arena, bytes", "ethos_u55 inference ms"} <= set(page.words)
    assert {"91,040", "91,060"} <= set(page.words) and "91 KB" not in page.words  # too near to be told in KB
    assert "ethos_u55 inference, upwards tflm arena" in page.words
    assert page.words.count("ethos_u55 inference, ms") == 3 + 2 * 2  # each point, two views, wide and narrow
    only = Page(sweep_page([sweep(*(replace(one, figures=dict(one.figures, top1=0.9)) for one in made))]))
    assert views(only) == []  # figures of targets are drawn where they are wanted


def test_two_costs_are_drawn_without_any_accuracy():
    aims = (Objective("tflm.arena_bytes", "min"), Objective("bytes", "min"))
    made = [judged(entry(f"a={n}", n, top1=None), tflm__arena_bytes=9 - n) for n in (1, 2)]
    page = Page(sweep_page([sweep(*made, objectives=aims)]))
    assert len(page.all("svg")) == 2 and {"tflm arena, bytes", "bytes"} <= set(page.words)
    assert "Nothing was verified" in Page(sweep_page([sweep(*made)])).text


def test_a_wanted_figure_of_a_target_is_a_line_over_commits_but_for_latency_of_a_host():
    aims = (Objective("tflm.arena_bytes", "min"), Objective("cpu.latency_p50_ms", "min"))
    told = [
        replace(
            one,
            objectives=aims,
            variants=tuple(judged(v, tflm__arena_bytes=n, cpu__latency_p50_ms=1) for v in one.variants),
        )
        for n, one in enumerate(over_commits(*(Commit(commit=letter * 40, dirty=False) for letter in "ab")))
    ]
    page = Page(sweep_page(told))
    upwards = [found for found in page.words if found == "tflm arena, bytes"]
    across = len([one for one in told for _ in one.variants]) + 2 * 2  # told of each point; two scatters
    assert len(upwards) == across + 2 and "cpu latency p50, ms" in page.words
    assert len([found for found in page.all("polyline") if found.get("class") != "front"]) == 2 * 3 * 2


def test_labels_in_a_picture_leave_out_the_keys_of_names():
    told = "quantization=none granularity=per_channel accelerator=ethos-u55-64 count=64 fused=true recipe=net"
    label = short_label(replace(rank_variants([sweep(entry("a=1"))])[0], label=told))
    assert label == "none per_channel ethos-u55-64 count=64 fused=true net"


def test_what_failed_is_told_once_a_reason():
    text = Page(sweep_page([sweep(FOUR[0], failed("a=1"), failed("a=2"))])).text
    assert text.count("it holds 256 samples") == 1 and "a=1 (failed in calibrate), " in text and "count=256" in text
    assert "What failed" not in Page(sweep_page([sweep(FOUR[0])])).text


def test_the_error_by_layer_is_shown_or_how_to_get_it():
    text = Page(sweep_page([sweep(entry("a=1", layers=LAYERS))])).text
    assert "The 2 worst of 2 operators as int8, measured by tflbuild sensitivity on 2,000 evaluation samples." in text
    assert "CONV_2D" in text and "20.0" in text
    text = Page(sweep_page([sweep(entry("a=1", sensitivity="k"))])).text
    assert "tflbuild sensitivity +recipe=net a=1\ntflbuild report 20261121-134500-ab12cd" in text
    assert "Error by layer" not in Page(sweep_page([sweep(FOUR[0])])).text  # a float model has none


def over_commits(*commits):
    sizes = range(len(commits))
    return [
        sweep(entry("a=1", 100 + n), entry("a=2", 200 - n), entry(f"new={n}"), id=f"s{n}", git=commit)
        for n, commit in zip(sizes, commits, strict=True)
    ]


def test_variants_of_several_commits_are_lines_over_them():
    commits = [Commit(commit=letter * 40, dirty=letter == "b") for letter in "abc"]
    page = Page(sweep_page(over_commits(*commits)))
    assert "Over commits" in page.text and "bbbbbbbbbb+" in page.text and "3 sweeps" in page.text
    lines = [found for found in page.all("polyline") if found.get("class") != "front"]
    assert len(lines) == 2 * 2 * 2  # two variants that lasted, bytes and top-1, wide and narrow
    assert all(len(found["points"].split()) == 3 for found in lines)
    assert "Over commits" not in Page(sweep_page(over_commits(*[commits[0]] * 2))).text
    assert "Over commits" not in Page(sweep_page(over_commits(None, commits[0]))).text


def test_labels_cover_neither_each_other_nor_points():
    spots = [(300.0, 200.0), (304.0, 202.0), (308.0, 204.0), (880.0, 15.0), (80.0, 360.0)]
    parts = label_points([f"quantization=int{n}" for n in range(5)], spots, spots, WIDE)
    assert 3 <= len(parts) <= 5
    assert label_points(["one", "other"], [spots[0]] * 2, spots, WIDE) and len(parts) == len(set(parts))


@pytest.mark.parametrize("values", [[5.0], [0.0], [0.93, 0.93], [-20.0, 20.0], [1.0, 1e6]])
def test_a_scale_has_room_for_its_values_and_some_words_beside_it(values):
    for figure, logarithmic in (("bytes", True), ("snr_db", False)):
        scale = make_scale(values, 0, 100, figure, logarithmic)
        assert all(0 <= scale(value) <= 100 for value in values) and scale.low < scale.high
        assert 1 <= len(choose_ticks(scale, 6)) <= 7


def test_shares_do_not_go_beyond_one():
    assert make_scale([0.90, 0.999], 0, 100, "top1").high == 1.0
    assert choose_ticks(AxisScale(0.5, 1.0, 0, 1), 4)


def test_what_depends_on_the_cpu_is_told_of_its_variant():
    line = "convert: Svd at 'w': its sums differ"
    page = sweep_page([sweep(*FOUR, replace(entry("a=1"), tied=(line,)))])
    assert Page(page).text.count(line) == 1 and "tied to a CPU" in Page(page).text
    assert "tied to a CPU" not in Page(sweep_page([sweep(*FOUR)])).text
