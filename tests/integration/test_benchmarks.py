"""The benchmark script works. What it measures is for people to judge; no time is asserted here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 300
FIGURES = ("wall_seconds", "cpu_seconds")
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
