"""The benchmark scripts work. What it measures is for people to judge; no time is asserted here."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from commandline import processes_with_tensorflow, watch_imports

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import budget, schemes, sweep

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 300
FIGURES = ("wall_seconds", "cpu_seconds")
OCTAV = "quantization: {{algorithm: octav, calibration: {{method: {method}}}}}\n"
COMPARED = ("against_wall_seconds", "against_cpu_seconds", "ratio", "cpu_ratio")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The small run: its output, and what it wrote as JSON."""
    folder = tmp_path_factory.mktemp("benchmark")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "run.py", "--small", "--json", folder / "figures.json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "figures.json").read_text())


def test_every_row_has_positive_figures(finished):
    _, figures = finished
    assert [row["name"] for row in figures["rows"]] == ["first build", "nothing changed", "second scheme, float16"]
    for row in figures["rows"]:
        assert row["runs"] == 1
        named = FIGURES + (COMPARED if row["against"] else ())
        assert all(row[name] > 0 for name in named), row


def test_every_goal_has_a_verdict(finished):
    _, figures = finished
    goals = [goal for row in figures["rows"] for goal in row["goals"]]
    assert [goal["limit"] for goal in goals] == [1.1, 0.25, 0.5, 3.0]
    assert all(isinstance(goal["met"], bool) for goal in goals)


def test_the_table_names_the_host_and_every_row(finished):
    text, figures = finished
    assert text.startswith(f"{figures['host']['cpu']}, {figures['host']['cores']} core")
    assert all(f"\n{row['name']} " in text for row in figures["rows"])


def test_a_command_that_breaks_ends_it_with_1_and_its_standard_error(tmp_path):
    hidden = tmp_path / "hydra"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('no hydra for this test')\n")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "run.py", "--small"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "no hydra for this test" in done.stderr


def run_module(name, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_table_of_schemes_has_a_row_for_each_engine():
    text = run_module("schemes", "--models", "fashion", "--schemes", "none", "int8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| none", "| int8"))]
    assert [row[:2] for row in rows] == [["| none", ""], ["| int8", "litert"], ["| int8", "converter"]]
    for row in rows:
        assert int(row[2].replace(",", "")) > 100_000
        assert 90 < float(row[4].rstrip("%")) < 96 and float(row[6]) > 25
    assert "| fashion_mobilenet | " in text and text.count("| yes |") == 1


def test_the_page_has_every_cell_of_the_table():
    sections = (ROOT / "docs" / "schemes.md").read_text().split("\n## ")
    for model in schemes.MODELS.values():
        (section,) = (one for one in sections if one.startswith(f"{model.title}\n"))
        cells = [tuple(line.strip("| ").split(" | ")[:2]) for line in section.splitlines() if line.startswith("| ")]
        wanted = [(scheme, engine) for scheme, engine in schemes.variants(model, [*schemes.SCHEMES])]
        assert [cell[0] for cell in cells[2:]] == [scheme for scheme, _ in wanted]


def test_a_sweep_is_measured_against_a_script_for_each_scheme(tmp_path):
    figures = tmp_path / "figures.json"
    text = run_module("sweep", "--schemes", "none", "int8_mse", "--json", str(figures))
    found = json.loads(figures.read_text())
    assert found["ratio"] > 0 and [*found["scripts"]] == ["none", "int8_mse"]
    assert found["ran"]["import"] == found["ran"]["convert"] == found["ran"]["calibrate"] == 1
    assert "at most 0.25 is wanted" in text


def test_a_grid_is_measured_against_a_script_for_each_variant(tmp_path):
    text = run_module("grid", "--small", "--json", str(tmp_path / "figures.json"))
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["variants"] == 2 and found["ratio"] > 0 and found["again"]["wall"] < found["sweep"]["wall"]
    assert "at most 0.2:" in text


def test_the_growth_of_plans_is_measured(tmp_path):
    run_module("scale", "--sizes", "8", "16", "--json", str(tmp_path / "figures.json"))
    points = json.loads((tmp_path / "figures.json").read_text())["points"]
    assert [(one["verb"], one["variants"]) for one in points] == [
        ("plan", 8),
        ("explain", 8),
        ("plan", 16),
        ("explain", 16),
    ]
    assert points[2]["steps"] > points[0]["steps"] > 8 and all(one["peak"] > 1e6 for one in points)


def test_a_sweep_of_twelve_imports_tensorflow_once_and_calibrates_once_a_method(project):
    override = sweep.write_recipes(project.folder, [*sweep.SCHEMES])
    for method in ("percentile", "mse"):
        text = (project.folder / "recipes" / "int8.yaml").read_text()
        project.write(f"recipes/{method}.yaml", text + f"quantization: {{calibration: {{method: {method}}}}}\n")
        project.write(f"recipes/{method}_octav.yaml", text + OCTAV.format(method=method))
    more = ",percentile,percentile_octav,mse,mse_octav"
    done = project.run("-m", override + more, "verify.dataset.count=50", **watch_imports(project))
    assert done.code == 0, done.err
    assert done.out.splitlines()[-2].startswith("built  16 of 16")
    assert processes_with_tensorflow(project) == 1
    ran = Counter(sweep.RAN.findall(done.err))
    assert ran["import"] == ran["convert"] == ran["predict"] == 1
    assert ran["calibrate"] == 3, "min_max for all static schemes, and once each of the others"


def test_a_search_beats_the_best_single_scheme(tmp_path, capsys):
    budget.main(["--models", "fashion", "--keep", str(tmp_path)])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| fashion")]
    assert len(rows) == len(budget.BUDGETS["fashion"])
    assert all(float(row[7]) <= 1.0 for row in rows)
