"""Comparison of verdicts with the gates that a recipe sets for its targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tflbuild.core.gates import Gate, Limits
from tflbuild.core.verdict import PROVEN, Verdict, target_figures

# The number of operators that the delegate runs. There are no limits on it, but it can be an objective of a sweep.
ON_DELEGATE = "on_delegate"


def evaluate_target_gates(verdict: Verdict, limits: Limits) -> list[Gate]:
    """Return the limits with the figures of a verdict, named `TARGET.FIGURE`. A limit on an unknown figure fails."""
    measured = verdict.measured()
    return [Gate(f"{verdict.target}.{name}", limit, measured.get(name)) for name, limit in limits]


def list_failures(verdict: Verdict, *, must_be_proven: bool) -> Iterator[str]:
    """Yield the failures of a verdict that need no gate.

    The target cannot run the artifact, its outputs differ from those of the CPU, the verdict is not proven although it
    must be, or the artifact does not meet the requirements of the target.
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
    """Return the known figures of several verdicts, by `TARGET.FIGURE`, for the objectives of a sweep."""
    counts = {f"{verdict.target}.{ON_DELEGATE}": verdict.on_delegate for verdict in verdicts}
    known_counts = {name: float(count) for name, count in counts.items() if count is not None}
    return {**target_figures(verdicts), **known_counts}
