"""Summarize which steps the variants of a sweep shared, and how much time that saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tflbuild.report.sweeps.sweep_record import StepEnd, SweepEntry

WORKED = ("ran", "failed")


@dataclass(frozen=True)
class SharedStep:
    """The steps of one role: how many variants needed one, how many different steps there are, and how they ended.

    `spent` is the time in seconds that the steps took in this sweep. `saved` is the additional time that they would
    have taken, if every variant had been built with an empty store. Both are sums of measured wall times.
    """

    role: str
    asked: int
    steps: int
    ran: int
    hits: int
    failed: int
    spent: float
    saved: float


def summarize_sharing(entries: Sequence[SweepEntry]) -> list[SharedStep]:
    """Return a row for each role, in the order of the steps. Skipped steps do not count."""
    roles: dict[str, list[StepEnd]] = {}
    for entry in entries:
        for role, end in entry.steps.items():
            if end.status != "skipped":
                roles.setdefault(role, []).append(end)
    return [_summarize_role(role, ends) for role, ends in roles.items()]


def _summarize_role(role: str, ends: Sequence[StepEnd]) -> SharedStep:
    steps = {end.id: end for end in ends}.values()
    spent = sum(end.seconds for end in steps if end.status in WORKED)
    unshared = sum(end.seconds for end in ends)
    return SharedStep(
        role=role,
        asked=len(ends),
        steps=len(steps),
        ran=sum(end.status == "ran" for end in steps),
        hits=sum(end.status == "hit" for end in steps),
        failed=sum(end.status == "failed" for end in steps),
        spent=spent,
        saved=unshared - spent,
    )
