"""Verdicts held against the limits that a recipe sets for its targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tflbuild.core.gates import Gate, Limits
from tflbuild.core.verdict import PROVEN, Verdict, target_figures

ON_DELEGATE = "on_delegate"  # how many operators the delegate takes: no limit, but a sweep may want the most of it


def evaluate_target_gates(verdict: Verdict, limits: Limits) -> list[Gate]:
    """The limits with what is known, named `<target>.<figure>`. What is not known has no value, and fails."""
    measured = verdict.measured()
    return [Gate(f"{verdict.target}.{name}", limit, measured.get(name)) for name, limit in limits]


def list_failures(verdict: Verdict, *, must_be_proven: bool) -> Iterator[str]:
    """What no limit allows.

    It does not run there, gives other results, is not proven where it must be, or is not what the profile needs.
    """
    if verdict.runs is False:
        yield f"{verdict.target} cannot run it"
    if verdict.agrees is False:
        yield f"{verdict.target} gives other results than the CPU: {verdict.how}"
    elif must_be_proven and verdict.proof != PROVEN:
        yield f"{verdict.target} is {verdict.proof}, not proven: {verdict.how}"
    if verdict.unmet:
        yield f"the artifact is not what {verdict.target} needs:"


def collect_target_figures(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """What a sweep is judged by: the figures of several verdicts that are known, as `<target>.<figure>`."""
    taken = {f"{one.target}.{ON_DELEGATE}": one.on_delegate for one in verdicts}
    counted = {name: float(count) for name, count in taken.items() if count is not None}
    return {**target_figures(verdicts), **counted}
