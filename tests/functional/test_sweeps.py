"""Sweeps: whatever befalls a variant is its row, and the others are built."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from refusals import RECIPE, refusal_of

pytestmark = pytest.mark.heavy

NET = """\
import os, signal, sys

import keras

def make(how):
    if how == "raise":
        raise ValueError("no weights today")
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    while how == "loop":
        pass
    return keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
"""
STARTS = 50
REASONS = {
    "raise": "no weights today",
    "exit": "sys.exit(3)",
    "kill": "SIGKILL",
    "segv": "SIGSEGV",
    "loop": "longer than 12 s",
}


@pytest.fixture
def fragile(project):
    """A recipe whose model comes to many ends."""
    project.write("net.py", NET)
    project.write(
        "recipes/fragile.yaml",
        "defaults:\n  - override /source: function\n  - override /quantization: float16\n"
        "source: {call: 'net.py:make', arguments: {how: good}}\nsignature: {outputs: {}}\n",
    )
    return project


def test_every_way_to_fail_is_a_row_with_its_reason(fragile):
    ways = ",".join(["good", *REASONS])
    done = fragile.run("-m", "recipe=fragile", f"source.arguments.how={ways}", "--timeout", "12")
    assert done.code == 1, done.err
    rows = dict(line.split(maxsplit=1) for line in done.out.splitlines()[1 : 2 + len(REASONS)])
    assert rows.pop("how=good").startswith("ok") or "unverified" in done.out
    assert set(rows) == {f"how={way}" for way in REASONS}
    assert all(text.startswith("failed in import") for text in rows.values())
    for reason in REASONS.values():
        assert reason in done.err
    assert done.out.splitlines()[-2].endswith(f"1 of {1 + len(REASONS)} variants in outputs/fragile/, 5 failed")
    assert (fragile.output("fragile", "source.arguments.how=good") / "model.tflite").is_file()
    again = fragile.run("-m", "recipe=fragile", "source.arguments.how=good,raise")
    assert again.code == 2 and "no weights today" in again.err  # what failed is tried again, what is done is a hit


def test_fail_fast_begins_nothing_after_a_failure(fragile):
    done = fragile.run("-m", "recipe=fragile", "source.arguments.how=raise,good", "--fail-fast", "-j", "1")
    assert done.code == 1, done.err
    assert "no weights today" in done.err and "--fail-fast" in done.err
    assert "not built" in done.out and not list(fragile.folder.rglob("*.tflite"))


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
    answers = {done.out.splitlines()[-1].partition("  ")[2] for done in runs}
    assert len(answers) == 2, answers
