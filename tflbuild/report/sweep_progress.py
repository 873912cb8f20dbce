"""A sweep while it runs: where every variant stands, and how long the rest will take. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tflbuild.core.step import Plan

State = Literal["waits", "running", "done", "failed"]
ORDER: tuple[State, ...] = ("failed", "done", "running", "waits")


@dataclass(frozen=True)
class StepProgress:
    """A step so far: its kind, its state, the seconds that it took or has taken; how far it is, if it tells."""

    kind: str
    state: str
    seconds: float
    share: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class VariantProgress:
    """A variant so far: what is at work on it, and how many of its steps are done."""

    label: str
    state: State
    step: str
    done: int
    steps: int
    seconds: float
    share: float | None = None


class SweepProgress:
    """The variants of a plan; their steps may be shared."""

    def __init__(self, labels: Sequence[str], plan: Plan) -> None:
        self.plan = plan
        self.variants = [
            (label, [*dict.fromkeys(goals.values())]) for label, goals in zip(labels, plan.goals, strict=True)
        ]

    def list_variants(self, steps: Mapping[str, StepProgress]) -> list[VariantProgress]:
        """Every variant, in the order of the sweep. `steps` has those that have begun, by id."""
        return [self._standing(label, goals, steps) for label, goals in self.variants]

    def _standing(self, label: str, goals: Sequence[str], steps: Mapping[str, StepProgress]) -> VariantProgress:
        begun = {goal: steps[goal] for goal in goals if goal in steps}
        done = sum(one.state in ("ran", "hit") for one in begun.values())
        failed = [goal for goal, one in begun.items() if one.state == "failed"]
        at_work = [goal for goal, one in begun.items() if one.state not in ("ran", "hit", "failed", "skipped")]
        state: State = "failed" if failed else "done" if done == len(goals) else "running" if at_work else "waits"
        shown = (failed or at_work or [""])[0]
        title = self.plan.steps[shown].title if shown else ""
        now = steps[shown] if shown else StepProgress("", "", 0.0)
        return VariantProgress(label, state, title, done, len(goals), now.seconds, now.share)

    def seconds_left(self, steps: Mapping[str, StepProgress], jobs: int) -> float | None:
        """What the rest takes, by how far a step says it is, or by what steps of its kind took in this run.

        None while one of them is unknown.
        """
        took: dict[str, list[float]] = {}
        for one in steps.values():
            if one.state == "ran":
                took.setdefault(one.kind, []).append(one.seconds)
        left = longest = 0.0
        for step in self.plan.steps.values():
            so_far = steps.get(step.id)
            if so_far is not None and so_far.state in ("ran", "hit", "failed", "skipped"):
                continue
            if so_far is not None and so_far.seconds_left is not None:
                left += so_far.seconds_left
                longest = max(longest, so_far.seconds_left)
                continue
            if step.kind not in took:
                return None
            mean = sum(took[step.kind]) / len(took[step.kind])
            left += mean if so_far is None else max(0.0, mean - so_far.seconds)
        return max(left / jobs, longest)  # one step is done by one job


def summarize_progress(standings: Sequence[VariantProgress], seconds: float | None) -> str:
    """`5 of 24 variants done, 1 failed, about 40 s left`."""
    failed = sum(one.state == "failed" for one in standings)
    parts = [f"{sum(one.state == 'done' for one in standings)} of {len(standings)} variants done"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"about {show_seconds(seconds)} left"] if seconds is not None and seconds >= 1 else []
    return ", ".join(parts)


def show_seconds(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h 5 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
