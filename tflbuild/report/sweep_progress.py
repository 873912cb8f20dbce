"""Compute the progress of a running sweep: the state of every variant, and the remaining time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tflbuild.core.step import Plan

State = Literal["waits", "running", "done", "failed"]
ORDER: tuple[State, ...] = ("failed", "done", "running", "waits")


@dataclass(frozen=True)
class StepProgress:
    """The progress of a step: its kind, its state, its time in seconds, and the fraction that is done, if known."""

    kind: str
    state: str
    seconds: float
    share: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class VariantProgress:
    """The progress of a variant: its current step, and how many of its steps are done."""

    label: str
    state: State
    step: str
    done: int
    steps: int
    seconds: float
    share: float | None = None


class SweepProgress:
    """The variants of a plan, whose steps may be shared."""

    def __init__(self, labels: Sequence[str], plan: Plan) -> None:
        self.plan = plan
        self.variants = [
            (label, [*dict.fromkeys(goals.values())]) for label, goals in zip(labels, plan.goals, strict=True)
        ]

    def list_variants(self, steps: Mapping[str, StepProgress]) -> list[VariantProgress]:
        """Return the progress of every variant, in the order of the sweep.

        `steps` has the steps that have begun, by id.
        """
        return [self._variant_progress(label, goals, steps) for label, goals in self.variants]

    def _variant_progress(self, label: str, goals: Sequence[str], steps: Mapping[str, StepProgress]) -> VariantProgress:
        begun = {goal: steps[goal] for goal in goals if goal in steps}
        done = sum(step.state in ("ran", "hit") for step in begun.values())
        failed = [goal for goal, step in begun.items() if step.state == "failed"]
        at_work = [goal for goal, step in begun.items() if step.state not in ("ran", "hit", "failed", "skipped")]
        state: State = "failed" if failed else "done" if done == len(goals) else "running" if at_work else "waits"
        current = (failed or at_work or [""])[0]
        title = self.plan.steps[current].title if current else ""
        progress = steps[current] if current else StepProgress("", "", 0.0)
        return VariantProgress(label, state, title, done, len(goals), progress.seconds, progress.share)

    def seconds_left(self, steps: Mapping[str, StepProgress], jobs: int) -> float | None:
        """Return the remaining time in seconds; None while a step's time is unknown.

        It is estimated by the step itself, or from the mean time of steps of its kind in this run.
        """
        times_by_kind: dict[str, list[float]] = {}
        for progress in steps.values():
            if progress.state == "ran":
                times_by_kind.setdefault(progress.kind, []).append(progress.seconds)
        remaining = longest = 0.0
        for step in self.plan.steps.values():
            so_far = steps.get(step.id)
            if so_far is not None and so_far.state in ("ran", "hit", "failed", "skipped"):
                continue
            if so_far is not None and so_far.seconds_left is not None:
                remaining += so_far.seconds_left
                longest = max(longest, so_far.seconds_left)
                continue
            if step.kind not in times_by_kind:
                return None
            mean = sum(times_by_kind[step.kind]) / len(times_by_kind[step.kind])
            remaining += mean if so_far is None else max(0.0, mean - so_far.seconds)
        # A single step cannot be divided between jobs.
        return max(remaining / jobs, longest)


def summarize_progress(variants: Sequence[VariantProgress], seconds: float | None) -> str:
    """Return a summary: `5 of 24 variants done, 1 failed, about 40 s left`."""
    failed = sum(variant.state == "failed" for variant in variants)
    parts = [f"{sum(variant.state == 'done' for variant in variants)} of {len(variants)} variants done"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"about {show_seconds(seconds)} left"] if seconds is not None and seconds >= 1 else []
    return ", ".join(parts)


def show_seconds(seconds: float) -> str:
    """Return a time as `40 s`, `3 min` or `2 h 5 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
