"""Errors that are reported to the user, one class for each exit code.

An error says what happened (`what`), where (`where`: file, line, recipe key), why (`why`), and what to do next
(`next_step`). For a misspelt name, `why` lists similar names. A traceback is printed only for a bug in tflbuild.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# The user and password in a URL.
PASSWORD = re.compile(r"//[^/@\s]+@")
EXIT_DONE = 0
EXIT_INTERRUPTED = 130


class TflbuildError(Exception):
    """A failure that is reported to the user without a traceback. Subclasses define `kind` and `exit_code`."""

    kind = "error"
    exit_code = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        return PASSWORD.sub("//...@", self._text())

    def _text(self) -> str:
        lines = [f"error[{self.kind}]: {self.what}"]
        for label, text in (("where", self.where), ("why", self.why), ("next", self.next_step)):
            if text:
                indented = text.replace("\n", "\n" + " " * 9)
                lines.append(f"  {label + ':':<6} {indented}")
        return "\n".join(lines)


class StepError(TflbuildError):
    """A failed step, or a step that made something other than the recipe declares."""

    kind = "build"
    exit_code = 1


class RecipeError(TflbuildError):
    """An invalid recipe, override or input. No or few steps have run.

    `unread_key` is the unused recipe key that caused the error, "" for other errors.
    """

    kind = "recipe"
    exit_code = 2
    unread_key = ""


class UsageError(TflbuildError):
    """An invalid command line."""

    kind = "usage"
    exit_code = 2


class GateError(TflbuildError):
    """A missed gate: the artifact was built, and a figure is beyond its limit."""

    kind = "gate"
    exit_code = 3


class MachineError(TflbuildError):
    """A fault of the machine: a package is missing, a disk is full, a folder is read-only."""

    kind = "environment"
    exit_code = 4


BY_KIND: dict[str, type[TflbuildError]] = {
    error.kind: error for error in (StepError, RecipeError, UsageError, GateError, MachineError)
}


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint for a misspelt name: the up to three most similar names, or all names if there are at most 12.

    Returns "" if no name is similar and there are more.
    """
    known = sorted(set(names))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean: " + ", ".join(close)
    if known and len(known) <= 12:
        return "known: " + ", ".join(known)
    return ""
