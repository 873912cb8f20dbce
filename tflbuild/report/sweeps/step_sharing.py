"""What the variants of a sweep had in common: steps that many asked for, and what each alone would have cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tflbuild.report.sweeps.sweep_record import StepEnd, SweepEntry

DONE = ("hit", "ran")
WORKED = ("ran", "failed")


@dataclass(frozen=True)
class SharedStep:
    """The steps of one role: how many variants asked for one, how many different ones they are and how each ended.

    `spent` are the seconds that the steps took in this sweep, `saved` those that it would have taken
    besides, had every variant been built alone into an empty store. Both are sums of wall times as measured.
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
    """A row a role, in the order in which steps follow each other; what was skipped was not asked."""
    roles: dict[str, list[StepEnd]] = {}
    for entry in entries:
        for role, end in entry.steps.items():
            if end.status != "skipped":
                roles.setdefault(role, []).append(end)
    return [_share_one(role, ends) for role, ends in roles.items()]


def _share_one(role: str, ends: Sequence[StepEnd]) -> SharedStep:
    steps = {end.id: end for end in ends}.values()
    spent = sum(end.seconds for end in steps if end.status in WORKED)
    alone = sum(end.seconds for end in ends)
    return SharedStep(
        role=role,
        asked=len(ends),
        steps=len(steps),
        ran=sum(end.status == "ran" for end in steps),
        hits=sum(end.status == "hit" for end in steps),
        failed=sum(end.status == "failed" for end in steps),
        spent=spent,
        saved=alone - spent,
    )
