"""What is left at the end of a real sweep, opened in a real browser; and `tflbuild report`, also over git history."""

from __future__ import annotations

import csv
import html
import json
import re
import shlex
import shutil
import subprocess

import pytest
from browser import open_browser
from commandline import Project
from needs import needs_program, require_program
from refusals import refused_at_once
from sweep_records import FOUR, sweep

from tflbuild.report.sweeps.sweep_record import Commit, write_record

RECIPE = "+recipe=mobilenet_int8"
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
ROWS = "[...document.querySelectorAll('table.sortable tbody tr')]"


@pytest.fixture(scope="module")
def swept(built, tmp_path_factory):
    """(a project with one sweep in it: 4 passed, 1 missed its gate, 1 failed; what the command said)."""
    base = tmp_path_factory.mktemp("swept")
    (base / "project").mkdir()
    shutil.copytree(built.store, base / "store", ignore=shutil.ignore_patterns("tmp", "locks", "plans"))
    project = Project(base / "project", base / "store")
    done = project.run(
        *("-m", RECIPE, "quantization=none,float16,int8", "dataset.count=64,999"),
        *("verify.gates.snr_db=40", "verify.dataset.count=200", "benchmark=host", "benchmark.runs=10"),
    )
    return project, done


def folder_of(swept):
    project, done = swept
    return (project.folder / done.out.splitlines()[-1].removeprefix("report  ")).parent


def record_of(swept):
    return json.loads((folder_of(swept) / "sweep.json").read_text())


@pytest.mark.heavy
def test_the_last_line_names_the_report_and_the_folder_has_all_of_it(swept):
    _, done = swept
    assert done.code == 1 and done.out.splitlines()[-2] == "built  4 of 6 variants in outputs/mobilenet_int8/, 2 failed"
    assert re.fullmatch(r"report  outputs/sweeps/\d{8}-\d{6}-[0-9a-f]{6}/report\.html", done.out.splitlines()[-1])
    assert sorted(path.name for path in folder_of(swept).iterdir()) == ["report.html", "sweep.csv", "sweep.json"]


@pytest.mark.heavy
def test_the_record_is_what_the_manifests_say(swept):
    project, _ = swept
    told = record_of(swept)
    assert [one["verdict"] for one in told["variants"]].count("ok") == 4
    for one in told["variants"]:
        folder = project.folder / "outputs" / "mobilenet_int8" / one["name"]
        if one["artifact"] is None:
            assert one["trouble"]["kind"] == "recipe" and "999 are asked for" in str(one["trouble"])
            assert not (folder / "manifest.json").exists()
            continue
        manifest = json.loads((folder / "manifest.json").read_text())
        assert one["artifact"]["sha256"] == manifest["artifact"]["sha256"]
        assert (project.folder / one["artifact"]["path"]).stat().st_size == one["figures"]["bytes"]
        assert one["figures"]["top1"] == manifest["metrics"]["verify"]["classification"]["top1"]
        assert one["figures"]["latency_ms"] == manifest["metrics"]["benchmark"]["p50_ms"]
        assert {role: step["key"] for role, step in manifest["steps"].items()} == {
            role: step["key"] for role, step in one["steps"].items()
        }
    lines = list(csv.DictReader((folder_of(swept) / "sweep.csv").open(newline="")))
    assert [line["variant"] for line in lines] == [one["name"] for one in told["variants"]]
    assert [line["result"] for line in lines].count("gate failed") == 1


@pytest.mark.heavy
def test_the_table_is_sorted_and_the_front_is_marked(swept):
    _, done = swept
    head, *rows = done.out.splitlines()[:7]
    column = head.index("front")
    shares = [float(found[1]) for row in rows[:5] if (found := re.search(r"(\d\d\.\d+) % \(\+-", row))]
    assert len(shares) == 5 and shares[:4] == sorted(shares[:4], reverse=True)
    assert "gate failed" in rows[4] and "failed in" in rows[5]
    assert any(row[column] == "*" for row in rows[:4]) and all(row[column : column + 1] != "*" for row in rows[4:])
    assert done.out.splitlines()[7].startswith("* Pareto front by most top-1 and least bytes: ")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(swept, browser):
    """The report of the sweep, opened in a wide window."""
    browser.resize(1200, 900)
    browser.requests.clear()
    browser.open(folder_of(swept) / "report.html")
    return browser


def order(page):
    return page.evaluate(f"{ROWS}.map(row => row.dataset.entry)")


def column(page, heading):
    return page.evaluate(
        f"(() => {{ const at = [...document.querySelectorAll('table.sortable th')].findIndex("
        f"head => head.textContent === {json.dumps(heading)});"
        f" return {ROWS}.map(row => row.cells[at].textContent); }})()"
    )


def head(heading):
    place = {"variant": 1, "bytes": 4, "SNR dB": 8}[heading]
    return f"table.sortable th:nth-child({place}) button"


@needs_program("chromium")
@pytest.mark.heavy
def test_the_report_draws_and_asks_nobody_for_anything(swept, page):
    shown = "[...document.querySelectorAll('svg circle.point')].filter(one => one.getClientRects().length)"
    circles = page.evaluate(f"{shown}.map(one => one.getBoundingClientRect().width)")
    assert len(circles) == 5 and all(width > 5 for width in circles)
    spots = page.evaluate(f"{shown}.map(one => [one.cx.baseVal.value, one.cy.baseVal.value])")
    assert len({tuple(spot) for spot in spots}) >= 3  # the count of samples means nothing to two of the schemes
    assert page.evaluate("document.querySelectorAll('svg polyline.front').length") >= 1
    assert [url for url in page.requests if not url.startswith("data:")] == [
        (folder_of(swept) / "report.html").resolve().as_uri()
    ]
    assert page.errors == []


@needs_program("chromium")
@pytest.mark.heavy
def test_a_click_on_a_heading_sorts_and_another_turns_it_round(page):
    page.click(head("bytes"))
    sizes = [int(text.replace(",", "")) for text in column(page, "bytes")[:5]]
    assert sizes == sorted(sizes) and len(set(sizes)) == 3 and column(page, "bytes")[5] == ""
    assert page.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "ascending"
    page.click(head("bytes"))
    again = [int(text.replace(",", "")) for text in column(page, "bytes")[:5]]
    assert again == sizes[::-1] and column(page, "bytes")[5] == ""  # what has no figure stays last
    assert page.evaluate("[...document.querySelectorAll('th[aria-sort]')].map(one => one.ariaSort)") == ["descending"]


@needs_program("chromium")
@pytest.mark.heavy
def test_a_heading_sorts_by_keyboard_too(page):
    before = order(page)
    page.evaluate(f"document.querySelector({json.dumps(head('variant'))}).focus()")
    page.press("Enter", 13)
    assert column(page, "variant") == sorted(column(page, "variant")) and sorted(order(page)) == sorted(before)


@needs_program("chromium")
@pytest.mark.heavy
def test_a_point_tells_how_its_recipe_differs(page):
    told = "document.getElementById('told')"
    assert page.evaluate(f"{told}.hidden")
    page.point_at("circle.point.rejected")
    assert not page.evaluate(f"{told}.hidden")
    text = page.evaluate(f"{told}.textContent")
    assert "quantization=int8" in text and "dataset.count=64" in text and "gate failed" in text and "SNR" in text
    assert "verify.gates" not in text  # all of them have it
    page.press("Escape", 27)
    assert page.evaluate(f"{told}.hidden")
    page.evaluate("document.querySelector('circle.point.best').focus()")
    assert "on the front" in page.evaluate(f"{told}.textContent") and not page.evaluate(f"{told}.hidden")


@needs_program("chromium")
@pytest.mark.heavy
def test_latency_can_be_shown_instead_of_size(page):
    shown = "[...document.querySelectorAll('[data-plot]')].filter(one => !one.hidden).map(one => one.dataset.plot)"
    assert page.evaluate(shown) == ["bytes"]
    page.click("button[data-view=latency_ms]")
    assert page.evaluate(shown) == ["latency_ms"]
    assert page.evaluate("document.querySelector('button[aria-pressed=true]').dataset.view") == "latency_ms"


@needs_program("chromium")
@pytest.mark.heavy
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_the_window_and_can_be_read_in_both_colours(page, width, scheme):
    page.resize(width, 800, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    letters = "[...document.querySelectorAll('svg text')].filter(one => one.getClientRects().length)"
    assert page.evaluate(f"Math.min(...{letters}.map(one => one.getBoundingClientRect().height))") > 10
    style = "(selector, name) => getComputedStyle(document.querySelector(selector))[name]"
    ground = page.evaluate(f"({style})('body', 'backgroundColor')")
    ink = page.evaluate(f"({style})('svg text', 'fill')")
    levels = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, ink)]
    assert (levels[0] > levels[1] + 300) if scheme == "light" else (levels[1] > levels[0] + 300)


@pytest.mark.heavy
def test_a_report_is_made_again_and_knows_what_was_measured_since(swept):
    project, _ = swept
    folder = folder_of(swept)
    first = (folder / "report.html").read_text()
    assert "Not measured." in first and "tflbuild sensitivity" in first
    (folder / "report.html").unlink()
    done = project.run("report")
    assert done.out.startswith(f"report  outputs/sweeps/{folder.name}/report.html  6 variants of 1 sweep\n")
    assert (folder / "report.html").read_text() == first
    asked = [html.unescape(told) for told in re.findall(r"<pre>tflbuild (sensitivity .*)\n", first)]
    assert len(asked) == 1  # of two variants that differ in nothing that matters to it
    assert project.run(*shlex.split(asked[0])).code == 0
    assert project.run("report", folder.name).code == 0
    later = (folder / "report.html").read_text()
    assert "Not measured." not in later and re.search(r"The \d+ worst of \d+ operators as float16, measured by", later)


@pytest.mark.heavy
def test_a_program_is_told_the_front_by_the_objectives_asked_for(swept):
    project, _ = swept
    done = project.run(
        *("-m", RECIPE, "quantization=none,float16", "verify.dataset.count=200", "sweep.objectives=[bytes:max]"),
        *("output_root=elsewhere", "--json"),
    )
    rows = json.loads(done.out)
    assert done.code == 0 and [row["pareto"] for row in rows] == [True, False]  # in the order asked for
    assert rows[0]["figures"]["bytes"] == rows[0]["artifact"]["bytes"]
    (page,) = (project.folder / "elsewhere" / "sweeps").glob("*/report.html")
    assert {project.folder / row["report"] for row in rows} == {page}
    assert {row["variant"] for row in rows} == {
        f"quantization={scheme},verify.dataset.count=200" for scheme in ("none", "float16")
    }
    told = json.loads(page.with_name("sweep.json").read_text())
    assert told["objectives"] == [{"figure": "bytes", "direction": "max"}]


# over several sweeps and over git, from records alone


@pytest.fixture
def history(project):
    """(a project in a git repository of three commits, each with a sweep; the commits)."""
    require_program("git")
    subprocess.run(["git", "init", "-q"], cwd=project.folder, check=True)
    commits = []
    for number in range(3):
        project.write("recipes/net.yaml", f"# {number}\n")
        for command in (("add", "recipes"), (*IDENTITY, "commit", "-q", "-m", str(number))):
            subprocess.run(["git", *command], cwd=project.folder, check=True)
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project.folder, check=True, capture_output=True)
        commits.append(head.stdout.decode().strip())
        made = sweep(
            *FOUR,
            id=f"s{number}",
            created=f"2026-11-{20 - number}T00:00:00Z",  # an old commit may be swept again later
            git=Commit(commit=commits[-1], dirty=False),
        )
        project.write(f"outputs/sweeps/s{number}/sweep.json", write_record(made))
    return project, commits


def sweeps_told(done):
    assert done.code == 0, done.err
    return [one["id"] for one in json.loads(done.out)["sweeps"]]


def test_since_a_revision_are_the_sweeps_of_that_commit_and_later_ones(history):
    project, commits = history
    assert sweeps_told(project.run("report", "--since", "HEAD~2", "--json")) == ["s0", "s1", "s2"]
    assert sweeps_told(project.run("report", f"--since={commits[1]}", "--json")) == ["s1", "s2"]
    assert sweeps_told(project.run("report", "--since", "HEAD", "--json")) == ["s2"]
    text = (project.folder / "outputs" / "sweeps" / "report.html").read_text()
    assert commits[2][:10] in text and commits[0][:10] not in text
    done = project.run("report", "--since", "HEAD~1")
    assert done.out == "report  outputs/sweeps/report.html  8 variants of 2 sweeps\n"
    text = (project.folder / "outputs" / "sweeps" / "report.html").read_text()
    assert "Over commits" in text and text.index(commits[1][:10]) < text.index(commits[2][:10])


def test_a_sweep_whose_commit_git_does_not_know_is_left_out_and_said(history):
    project, _ = history
    record = project.folder / "outputs" / "sweeps" / "s0" / "sweep.json"
    told = json.loads(record.read_text())
    record.write_text(json.dumps({**told, "git": {"commit": "d" * 40, "dirty": False}}))
    done = project.run("report", "--since", "HEAD~2")
    assert "2 sweeps" in done.out and done.err == "warning: left out s0: git does not know its commit dddddddddd\n"
    record.write_text(json.dumps({**told, "git": None}))
    assert "warning: left out s0: it has no commit" in project.run("report", "--since", "HEAD~2").err


def test_a_revision_that_is_none_is_refused(history):
    project, _ = history
    found = refused_at_once(project.run("report", "--since", "v9"), "usage")
    assert found.what == "--since: git knows no commit 'v9'" and found.where == "command line: --since v9"
    project.write("more", "")
    subprocess.run(["git", "add", "more"], cwd=project.folder, check=True)
    subprocess.run(["git", *IDENTITY, "commit", "-q", "-m", "more"], cwd=project.folder, check=True)
    found = refused_at_once(project.run("report", "--since", "HEAD"), "usage")
    assert found.what == "no sweep was made at HEAD or after it" and "of 3 sweeps, 3 are from before" in found.why


def test_without_a_repository_there_is_no_since(project):
    project.write("outputs/sweeps/s/sweep.json", write_record(sweep(*FOUR)))
    done = project.run("report", "--since", "HEAD", GIT_CEILING_DIRECTORIES=str(project.folder.parent))
    assert refused_at_once(done, "usage").what == "--since needs a git repository"


@pytest.mark.parametrize(
    ("arguments", "kind", "what"),
    [
        (["report"], "usage", "there is no sweep below outputs/sweeps"),
        (["report", "nothing"], "usage", "there is no sweep 'nothing'"),
        ([RECIPE, "report"], "usage", "report must be the first word"),
        (
            ["plan", RECIPE, "sweep.objectives=[bytes:min]"],
            "usage",
            "sweep.* needs -m: a single variant",
        ),
        (["report", "-m"], "usage", "report takes no --multirun"),
        (["report", "--jobs", "2"], "usage", "report takes no --jobs"),
        ([RECIPE, "--since", "HEAD"], "usage", "--since goes with report"),
        (
            [RECIPE, "sweep.objectives=[bytes:min]"],
            "usage",
            "sweep.* needs -m: a single variant",
        ),
        (["-m", RECIPE, "sweep.objectives=[top1]"], "recipe", "'top1' is no objective"),
        (["-m", RECIPE, "sweep.objectives=[latency_ms:min]"], "recipe", "no variant of this sweep measures"),
        (["-m", RECIPE, "sweep.objectives=[top1:max],[bytes:min]"], "recipe", "the variants of this sweep have diff"),
    ],
)
def test_what_makes_no_report_is_refused(project, arguments, kind, what):
    assert refused_at_once(project.run(*arguments), kind).what.startswith(what)


@pytest.mark.parametrize(
    ("text", "what"), [("{", "is not a record of a sweep"), ('{"format": 99}', "was written by a newer tflbuild")]
)
def test_a_record_that_cannot_be_read_is_refused(project, text, what):
    project.write("outputs/sweeps/s/sweep.json", text)
    found = refused_at_once(project.run("report", "s"), "usage")
    assert what in found.what and found.where == "outputs/sweeps/s/sweep.json"
