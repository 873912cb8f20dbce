"""Format the result of `tflbuild doctor` as a table and as JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.digest import Json
from tflbuild.core.gates import collect_figures
from tflbuild.core.step_result import Failure
from tflbuild.report.text_table import align
from tflbuild.report.variant_summary import show_needs

LINE = "\n"
# The maximum number of characters of a fix in the table.
WIDEST = 60
RULES_KEY = "quantization.rules="
HEADINGS = ("fix", "result", "size", "max abs error", "")


@dataclass(frozen=True)
class FixTrial:
    """A fix (overrides), its failure if it failed, and the facts of the steps that succeeded, by role.

    `without` are the words of the command line that the fix leaves without effect, and which it cannot be combined
    with.
    """

    fix: str
    failure: Failure | None
    facts: Mapping[str, Mapping[str, Json]]
    without: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Return whether the artifact was built, run, and compared with the source."""
        return self.failure is None and "verify" in self.facts

    @property
    def builds(self) -> bool:
        """Return whether an artifact was built as it was declared, whether or not it was run.

        A missing tool on this machine is not a failure of the fix.
        """
        unrunnable = self.failure is not None and self.failure.kind == "environment" and "check" in self.facts
        return self.failure is None or unrunnable

    @property
    def misses(self) -> bool:
        """Return whether an artifact was built as it was declared, but misses a gate."""
        return self.failure is not None and self.failure.kind == "gate"

    @property
    def command(self) -> str:
        """Return the fix, quoted for a shell."""
        return " ".join(shlex.quote(word) for word in self.fix.split())


def cells(trial: FixTrial) -> tuple[str, ...]:
    """Return the row of a trial. Figures that were not measured are empty."""
    contents = trial.facts.get("check", {})
    size = show_bytes(contents["bytes"]) if contents else ""
    if trial.builds or trial.misses:
        error = f"{collect_figures(trial.facts)['max_abs_error']:.3g}" if "verify" in trial.facts else ""
        verdict = "works" if trial.works else "builds, unverified"
        if trial.failure is not None and trial.misses:
            verdict = f"misses a gate: {trial.failure.why.split(LINE)[0]}"
        return (trial.command, verdict, size, error, show_needs(contents) if contents else "")
    assert trial.failure is not None
    return (trial.command, trial.failure.what, "", "", "")


def make_trial_table(trials: Sequence[FixTrial]) -> str:
    """Return the table of all trials. A long fix is cut: the line `trying` has printed it in full."""
    rows = [cells(trial) for trial in trials]
    return "\n".join(align(HEADINGS, [(cut(row[0]), *row[1:]) for row in rows]))


def choose_fix(trials: Sequence[FixTrial]) -> FixTrial | None:
    """Return the first fix that works, or else the first that builds, since trials are in the order of preference.

    A fix that misses a gate is not chosen. A fix that keeps operators in float is replaced by a much better one.
    """
    working = [trial for trial in trials if trial.works]
    preferred = [trial for trial in working if not any(is_better_fix(other, trial) for other in working)]
    candidates = preferred or working or [trial for trial in trials if trial.builds]
    return candidates[0] if candidates else None


def is_better_fix(other: FixTrial, trial: FixTrial) -> bool:
    """Return whether a fix that leaves operators in float takes twice the bytes of another, for no gain."""
    if RULES_KEY not in trial.fix:
        return False
    theirs, own = collect_figures(other.facts), collect_figures(trial.facts)
    if "bytes" not in theirs or "bytes" not in own:
        return False
    return 2 * theirs["bytes"] < own["bytes"] and theirs["max_abs_error"] <= own["max_abs_error"]


def cut(text: str) -> str:
    """Return a text, or its beginning where it is long."""
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def without_replaced(arguments: Sequence[str], trial: FixTrial) -> list[str]:
    """Return the arguments of a command line without those that a fix replaces or leaves without effect."""
    replaced = {word.partition("=")[0] for word in trial.fix.split()}
    return [
        text
        for text in arguments
        if text not in trial.without and ("=" not in text or text.lstrip("+").partition("=")[0] not in replaced)
    ]


def as_json(problem: str, trials: Sequence[FixTrial]) -> str:
    """Return the result as JSON."""
    rows = [
        dict(zip(("fix", "result", "size", "max_abs_error", "needs"), cells(trial), strict=True)) for trial in trials
    ]
    chosen = choose_fix(trials)
    fix = {"fix": chosen and chosen.command, "without": list(chosen.without) if chosen else []}
    return json.dumps({"problem": problem, "trials": rows, **fix}, indent=2)
