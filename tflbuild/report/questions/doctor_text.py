"""What `tflbuild doctor` found, as a table and as JSON."""

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
WIDEST = 60  # characters of a fix in the table
RULES_KEY = "quantization.rules="
HEADINGS = ("fix", "result", "size", "max abs error", "")


@dataclass(frozen=True)
class FixTrial:
    """A fix (overrides), what came of it, and the facts of the steps that went well, by role.

    `without` are the words of the command line that set what the fix leaves unread, so that both cannot stand together.
    """

    fix: str
    failure: Failure | None
    facts: Mapping[str, Mapping[str, Json]]
    without: tuple[str, ...] = ()

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

    @property
    def misses(self) -> bool:
        """Whether an artifact was built as declared that misses a gate."""
        return self.failure is not None and self.failure.kind == "gate"

    @property
    def command(self) -> str:
        """The fix as a shell takes it."""
        return " ".join(shlex.quote(word) for word in self.fix.split())


def cells(trial: FixTrial) -> tuple[str, ...]:
    """One row: what was not measured stays empty."""
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
    """Return all trials, columns aligned, those unused left out. A long fix is cut: `trying` told it in full."""
    rows = [cells(trial) for trial in trials]
    return "\n".join(align(HEADINGS, [(cut(row[0]), *row[1:]) for row in rows]))


def choose_fix(trials: Sequence[FixTrial]) -> FixTrial | None:
    """Return the first that works, else the first that builds: they stand in the order of preference.

    One that misses a gate is neither. One that leaves operators in float gives way to one that is far better.
    """
    working = [trial for trial in trials if trial.works]
    kept = [trial for trial in working if not any(is_better_fix(other, trial) for other in working)]
    found = kept or working or [trial for trial in trials if trial.builds]
    return found[0] if found else None


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
    """Return the arguments of a command line without those that the fix of a trial replaces or leaves unread."""
    replaced = {word.partition("=")[0] for word in trial.fix.split()}
    return [
        text
        for text in arguments
        if text not in trial.without and ("=" not in text or text.lstrip("+").partition("=")[0] not in replaced)
    ]


def as_json(problem: str, trials: Sequence[FixTrial]) -> str:
    """The same for programs."""
    rows = [
        dict(zip(("fix", "result", "size", "max_abs_error", "needs"), cells(trial), strict=True)) for trial in trials
    ]
    chosen = choose_fix(trials)
    fix = {"fix": chosen and chosen.command, "without": list(chosen.without) if chosen else []}
    return json.dumps({"problem": problem, "trials": rows, **fix}, indent=2)
