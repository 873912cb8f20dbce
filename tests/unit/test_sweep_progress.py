"""A sweep's variants while it runs."""

from __future__ import annotations

import io

import pytest

from tflbuild.core.step import Plan, Step
from tflbuild.core.step_result import StepResult
from tflbuild.execute.events import StepEnded, StepStarted
from tflbuild.report.console import LiveConsole
from tflbuild.report.sweep_progress import StepProgress, SweepProgress, show_seconds, summarize_progress

SHARED = Step(kind="convert", params={}, inputs=(), toolchain={}, title="convert")
OWN = [Step(kind="check", params={"n": n}, inputs=(), toolchain={}, title=f"check {n}") for n in range(30)]
PLAN = Plan(
    steps={step.id: step for step in (SHARED, *OWN)},
    goals=tuple({"convert": SHARED.id, "check": step.id} for step in OWN),
)
BOARD = SweepProgress([f"n={n}" for n in range(30)], PLAN)


def ran(step, seconds=2.0, state="ran"):
    return {step.id: StepProgress(step.kind, state, seconds)}


def test_a_shared_step_is_at_work_on_every_variant():
    standings = BOARD.list_variants(ran(SHARED, 1.5, "running"))
    assert {(one.state, one.step, one.done, one.steps, one.seconds) for one in standings} == {
        ("running", "convert", 0, 2, 1.5)
    }


def test_a_variant_is_done_when_its_steps_are_and_failed_when_one_is():
    states = [one.state for one in BOARD.list_variants({**ran(SHARED), **ran(OWN[0]), **ran(OWN[1], 1, "failed")})]
    assert states[:3] == ["done", "failed", "waits"] and set(states[3:]) == {"waits"}


def test_the_time_left_is_told_when_each_kind_has_run_once():
    assert BOARD.seconds_left(ran(SHARED), jobs=2) is None
    assert BOARD.seconds_left({**ran(SHARED), **ran(OWN[0], 3.0)}, jobs=2) == pytest.approx(29 * 3.0 / 2)
    at_work = {**ran(SHARED), **ran(OWN[0], 3.0), **ran(OWN[1], 1.0, "running")}
    assert BOARD.seconds_left(at_work, jobs=1) == pytest.approx(28 * 3.0 + 2.0)


def test_a_step_that_tells_how_far_it_is_is_believed():
    half = {SHARED.id: StepProgress("convert", "running", 6.0, 0.6, 4.0)}
    assert {one.share for one in BOARD.list_variants(half)} == {0.6}
    one = Plan(steps={SHARED.id: SHARED}, goals=({"convert": SHARED.id},))
    assert SweepProgress(["a"], one).seconds_left(half, jobs=8) == pytest.approx(4.0)


def test_the_last_line_counts():
    standings = BOARD.list_variants({**ran(SHARED), **ran(OWN[0]), **ran(OWN[1], 1, "failed")})
    assert summarize_progress(standings, 40.2) == "1 of 30 variants done, 1 failed, about 40 s left"
    assert summarize_progress(standings, None) == "1 of 30 variants done, 1 failed"


@pytest.mark.parametrize(("seconds", "text"), [(40.4, "40 s"), (200, "3 min"), (7500, "2 h 5 min")])
def test_seconds_are_shown_as_people_say_them(seconds, text):
    assert show_seconds(seconds) == text


def test_the_live_console_shows_what_fits_and_only_the_count_at_the_end():
    stream = io.StringIO()
    console = LiveConsole(stream, clock=lambda: 0.0)
    console.screen.height = 12
    console.follow(BOARD, 2)
    console.show(StepEnded(SHARED, StepResult(step_id=SHARED.id, status="ran", elapsed=1.0)))
    for step in OWN[:10]:
        console.show(StepEnded(step, StepResult(step_id=step.id, status="ran", elapsed=1.0)))
    console.show(StepStarted(OWN[10]))
    console.screen.print(console.render())
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 11 and any("check 10" in line for line in lines) and any("waits" in line for line in lines)
    assert lines[-1].startswith("10 of 30 variants done, about 10 s left")
    console.ended = True
    stream.truncate(0)
    console.screen.print(console.render())
    assert stream.getvalue().strip("\0\n ").splitlines() == ["10 of 30 variants done, about 10 s left"]
