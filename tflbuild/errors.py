"""Every failure that a user can cause or meet: one class each, one shape, stable exit codes.

The shape is `what` happened, `where` (file, line, key), `why`, and what to do `next`; nearest names
stand under `why` for something misspelt. A traceback is for bugs in tflbuild alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

PASSWORD = re.compile(r"//[^/@\s]+@")  # the user in a URL
EXIT_DONE = 0
EXIT_INTERRUPTED = 130


class TflbuildError(Exception):
    """A failure that is reported, not raised to the user. Subclasses fix `kind` and `exit_code`."""

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
    """A step of the plan ran and failed, or made something other than what was declared."""

    kind = "build"
    exit_code = 1


class RecipeError(TflbuildError):
    """The recipe, its overrides or its inputs are wrong; nothing or little was run.

    `unread_key` is the declared key that no variant of the command reads, "" where something else is wrong.
    """

    kind = "recipe"
    exit_code = 2
    unread_key = ""


class UsageError(TflbuildError):
    """The command line is wrong."""

    kind = "usage"
    exit_code = 2


class GateError(TflbuildError):
    """The artifact was built and is not good enough."""

    kind = "gate"
    exit_code = 3


class MachineError(TflbuildError):
    """The machine is in the way: a package is missing, a disk is full, a folder is read-only."""

    kind = "environment"
    exit_code = 4


BY_KIND: dict[str, type[TflbuildError]] = {
    error.kind: error for error in (StepError, RecipeError, UsageError, GateError, MachineError)
}


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean: ...` with up to three of `names`, closest first, or all when there are few."""
    known = sorted(set(names))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean: " + ", ".join(close)
    if known and len(known) <= 12:
        return "known: " + ", ".join(known)
    return ""
