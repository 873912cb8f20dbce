"""Sweeps: whatever befalls a variant is its row, and the others are built."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from endings import SWEEP, assert_every_end_is_told, write_fragile
from needs import require_module
from processes import at_work, started, until
from refusals import RECIPE, refusal_of

pytestmark = pytest.mark.heavy

STARTS = 50


@pytest.fixture
def fragile(ready_project):
    """A recipe whose samples come to many ends."""
    return write_fragile(ready_project())


@pytest.mark.parametrize("launcher", ["tflbuild", "submitit_local"])
def test_every_way_to_fail_is_a_row_with_its_reason(fragile, launcher):
    if launcher == "submitit_local":
        require_module("hydra_plugins.hydra_submitit_launcher", "submitit")
    done = fragile.run(*SWEEP, f"hydra/launcher={launcher}")
    assert_every_end_is_told(fragile, done)
    again = fragile.run("-m", "recipe=fragile", "dataset.arguments.how=good,fine")
    assert again.code == 0 and again.out.splitlines()[-2].startswith("up to date")


def test_fail_fast_begins_nothing_after_a_failure(fragile):
    done = fragile.run("-m", "recipe=fragile", "dataset.arguments.how=raise,good", "--fail-fast", "-j", "1")
    assert done.code == 1, done.err
    assert "no samples today" in done.err and "--fail-fast" in done.err
    assert "not built" in done.out and not list((fragile.folder / "outputs").rglob("*.tflite"))


def test_a_recipe_that_is_edited_meanwhile_changes_nothing(fragile):
    with started(fragile, "-m", "recipe=fragile", "dataset.arguments.how=good,fine") as finish:
        until(lambda: at_work(fragile.store), "the first worker")
        fragile.write("recipes/fragile.yaml", "no: recipe")
        done = finish()
    assert done.code == 0, done.err
    assert "2 of 2 variants" in done.out


@pytest.mark.parametrize(
    ("flags", "word"),
    [(["--memory", "lots"], "--memory"), (["--timeout", "0"], "--timeout"), (["--jobs", "0"], "--jobs")],
)
def test_limits_that_are_none_are_refused(project, flags, word):
    found = refusal_of(project.run(RECIPE, *flags))
    assert found.kind == "usage" and word in found.what


def test_a_build_within_hardly_any_memory_goes_step_by_step(warm):
    done = warm.run("-m", RECIPE, "quantization=float16,dynamic_int8", "--memory", "1M")
    assert done.code == 0, done.err
    assert (warm.store / "memory.json").is_file()


def test_fifty_starts_at_once_share_one_store_and_do_each_step_once(ready_project):
    """In one folder, with one store; a sweep and a build by turns. All end well, and what one does, the others take."""
    project = ready_project()
    commands = [["+recipe=ready"], ["-m", "+recipe=ready", "quantization=float16,int8"]]
    flags = ("-j", "1", "verify.dataset.count=50")
    with ThreadPoolExecutor(STARTS) as pool:
        runs = list(pool.map(lambda turn: project.run(*commands[turn % 2], *flags), range(STARTS)))
    assert [done.code for done in runs] == [0] * STARTS, next(done.err for done in runs if done.code)
    ran = Counter(title for done in runs for title, status in done.steps.items() if status == "ran")
    assert len(ran) >= 9 and set(ran.values()) == {1}, ran
    lines = [line for done in runs for line in done.out.splitlines()]
    assert len({line.partition("  ")[2] for line in lines if line.startswith(("built  ", "up to date  "))}) == 2
    reports = {line.partition("  ")[2] for line in lines if line.startswith("report  ")}
    assert reports == {str(path.relative_to(project.folder)) for path in project.folder.rglob("report.html")}
