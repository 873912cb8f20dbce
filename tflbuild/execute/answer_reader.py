"""What a step's child left behind, or would -> facts, or a failure in words."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

from tflbuild.core.digest import Json
from tflbuild.core.secrets import redact
from tflbuild.core.step import Step
from tflbuild.core.step_result import Failure
from tflbuild.core.untrusted_files import read_file
from tflbuild.core.worker_protocol import DISK_ADVICE, DISK_FULL, DISK_FULL_EXIT
from tflbuild.execute.worker_process import WorkerExit
from tflbuild.registry.step_kinds import KINDS
from tflbuild.storage.store import ActionRecord

LOG = "log.txt"
ANSWER = "output.json"
MOST_BYTES = 256 << 20  # of an answer or a log that is read: a step that went wrong may leave anything


def redact_file(path: Path) -> None:
    """Rewrite what a child printed without secrets. A link in its place is left alone."""
    if path.is_symlink() or not path.is_file():
        return
    try:
        text = path.read_text(errors="surrogateescape")
        shown = redact(text)
        if shown != text:
            path.write_text(shown, errors="surrogateescape")
    except OSError:  # it is gone, or the disk is full; what is kept of it is looked at next
        return


def log_lines(folder: Path) -> list[str]:
    """What the child printed, without empty lines."""
    try:
        text = read_plain(folder / LOG)
    except OSError:
        return []
    return [line for line in text.split("\n") if line.strip()]


def read_answer(folder: Path, answer: WorkerExit) -> tuple[Failure | None, dict[str, Json]]:
    """A failure, or the facts of a step that went well."""
    if answer.lost:
        return Failure(kind="environment", what=answer.lost, transient=True), {}
    if answer.verdict:
        return Failure(kind="build", what="the step was ended", why=answer.verdict), {}
    if answer.signal is not None:
        return _killed(folder, answer.signal), {}
    if answer.exit == DISK_FULL_EXIT:
        return Failure(kind="environment", what=DISK_FULL, where=str(folder.parent), next_step=DISK_ADVICE), {}
    try:
        output = json.loads(read_plain(folder / ANSWER))
        return (Failure(**output["error"]), {}) if "error" in output else (None, dict(output["facts"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        tail = log_lines(folder)[-1:]
        what = f"the step ended with exit code {answer.exit} and no answer"
        return Failure(kind="build", what=what, why="".join(tail)), {}


def read_plain(path: Path) -> str:
    """Return the text of a file that a step left. Raises OSError for a link, a pipe, a device or a file too large."""
    return read_file(path, MOST_BYTES, follow=False).decode("utf-8", "replace")


def _killed(folder: Path, number: int) -> Failure:
    name = signal.Signals(number).name
    tail = "".join(log_lines(folder)[-1:])
    hint = {
        "SIGKILL": "the system ends processes like this when memory runs out; free some and build again",
        "SIGSEGV": "this is a bug in native code; another engine or op set may avoid it",
        "SIGPROF": "a library did not come back from reading a file: the file is damaged, or made to do that",
        "SIGABRT": "native code gave up on the model; another engine or op set may avoid it",
    }.get(name, "")
    what = f"the step's process was ended by {name}"
    transient = number == signal.SIGKILL
    return Failure(kind="build", what=what, why=tail[:400], next_step=hint, transient=transient)


def find_missing(step: Step, folder: Path) -> Failure | None:
    """Return the failure of a step that ended well and did not write all its outputs."""
    missing = [name for name in KINDS[step.kind].outputs if not (folder / "outputs" / name).exists()]
    if not missing:
        return None
    return Failure(
        kind="build",
        what=f"the step ended without writing {', '.join(missing)}",
        why="".join(log_lines(folder)[-1:])[:400],
        next_step="build again; if that does not help, this is a fault of tflbuild: please report it",
    )


def find_special_files(folder: Path) -> Failure | None:
    """Return the failure of a step that left something else than files and folders: a link would lead anywhere."""
    for name in (LOG, "outputs"):
        for path in _walk_entries(folder / name):
            if not (stat.S_ISREG(mode := path.lstat().st_mode) or stat.S_ISDIR(mode)):
                return Failure(
                    kind="build",
                    what=f"the step left '{path.relative_to(folder)}', which is no plain file",
                    why="links, pipes and devices are not taken into the store",
                )
    return None


def _walk_entries(path: Path) -> Iterator[Path]:
    """Yield a path and all that is below it; links are not followed."""
    if os.path.lexists(path):
        yield path
    for parent, folders, files in os.walk(path):
        yield from (Path(parent, name) for name in (*folders, *files))


def describe_pin_mismatch(step: Step, record: ActionRecord) -> Failure | None:
    """Why a result is not the one that the recipe pins, when it is not."""
    for name, digest in step.expect:
        if record.outputs[name].digest != digest:
            return Failure(
                kind="recipe",
                what=f"'{step.params.get('handle', name)}' is not the model that the recipe pins",
                where="source.sha256",
                why=f"its digest is {record.outputs[name].digest}\npinned is     {digest}",
                next_step="find out why it changed before you pin the new one",
            )
    return None


def needs_network(step: Step) -> Failure:
    """Why a step that fetches cannot be begun without the network."""
    return Failure(
        kind="environment",
        what=f"'{step.params.get('handle', '')}' is not in the store, and --offline forbids fetching it",
        where="source.handle",
        next_step="build once without --offline; what was fetched then stays in the store",
    )
