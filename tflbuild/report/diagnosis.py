"""What `tflbuild doctor` found, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.digest import Json
from tflbuild.core.gates import figures
from tflbuild.core.result import Failure
from tflbuild.report.columns import align
from tflbuild.report.summary import show_bytes, show_needs

HEADINGS = ("fix", "result", "size", "max abs error", "")


@dataclass(frozen=True)
class Trial:
    """A fix (overrides), what came of it, and the facts of the steps that went well, by role."""

    fix: str
    failure: Failure | None
    facts: Mapping[str, Mapping[str, Json]]

    @property
    def works(self) -> bool:
        """Whether it was built, run, and compared with its source."""
        return self.failure is None and "verify" in self.facts

    @property
    def builds(self) -> bool:
        """Whether an artifact came out that is what it was declared to be, run or not.

        Where only the machine lacks what would run it, that is no failure of the fix.
        """
        unrunnable = self.failure is not None and self.failure.kind == "environment" and "check" in self.facts
        return self.failure is None or unrunnable


def cells(trial: Trial) -> tuple[str, ...]:
    """One row: what was not measured stays empty."""
    contents = trial.facts.get("check", {})
    size = show_bytes(contents["bytes"]) if contents else ""
    if trial.builds:
        error = f"{figures(trial.facts)['max_abs_error']:.3g}" if trial.works else ""
        verdict = "works" if trial.works else "builds, unverified"
        return (trial.fix, verdict, size, error, show_needs(contents) if contents else "")
    assert trial.failure is not None
    return (trial.fix, trial.failure.what, "", "", "")


def table(trials: Sequence[Trial]) -> str:
    """All trials, columns aligned, those unused left out."""
    return "\n".join(align(HEADINGS, [cells(trial) for trial in trials]))


def best(trials: Sequence[Trial]) -> Trial | None:
    """The first that works, else the first that builds: they stand in the order of preference."""
    found = [trial for trial in trials if trial.works] or [trial for trial in trials if trial.builds]
    return found[0] if found else None


def as_json(problem: str, trials: Sequence[Trial]) -> str:
    """The same for programs."""
    rows = [
        dict(zip(("fix", "result", "size", "max_abs_error", "needs"), cells(trial), strict=True)) for trial in trials
    ]
    chosen = best(trials)
    return json.dumps({"problem": problem, "trials": rows, "fix": chosen and chosen.fix}, indent=2)
