"""Facts and failures of a step, read from the files that its worker left."""

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
# The largest answer or log that is read, in bytes. A step that went wrong may leave a file of any size.
MOST_BYTES = 256 << 20


def redact_file(path: Path) -> None:
    """Remove secrets from a log file, in place.

    Links and missing files are left unchanged: user code may have replaced the log by a link to another file.
    """
    if path.is_symlink() or not path.is_file():
        return
    try:
        text = path.read_text(errors="surrogateescape")
        redacted = redact(text)
        if redacted != text:
            path.write_text(redacted, errors="surrogateescape")
    except OSError:
        # The file is gone, or the disk is full. The next access to the log reports that.
        return


def read_log_lines(folder: Path) -> list[str]:
    """Return the non-empty lines that a worker printed; none if the log cannot be read."""
    try:
        text = read_plain(folder / LOG)
    except OSError:
        return []
    return [line for line in text.split("\n") if line.strip()]


def read_answer(folder: Path, answer: WorkerExit) -> tuple[Failure | None, dict[str, Json]]:
    """Read the answer of a step whose worker has ended.

    Args:
        folder: The folder of the step.
        answer: How the worker ended.

    Returns:
        The failure and no facts, or None and the facts of a successful step.
    """
    if answer.lost:
        return Failure(kind="environment", what=answer.lost, transient=True), {}
    if answer.verdict:
        return Failure(kind="build", what="the step was ended", why=answer.verdict), {}
    if answer.signal is not None:
        return _describe_signal(folder, answer.signal), {}
    if answer.exit == DISK_FULL_EXIT:
        return Failure(kind="environment", what=DISK_FULL, where=str(folder.parent), next_step=DISK_ADVICE), {}
    try:
        output = json.loads(read_plain(folder / ANSWER))
        return (Failure(**output["error"]), {}) if "error" in output else (None, dict(output["facts"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        tail = read_log_lines(folder)[-1:]
        what = f"the step ended with exit code {answer.exit} and no answer"
        return Failure(kind="build", what=what, why="".join(tail)), {}


def read_plain(path: Path) -> str:
    """Return the text of a regular file that a step wrote.

    Raises:
        OSError: The path is a link, a pipe or a device, or the file is larger than MOST_BYTES.
    """
    return read_file(path, MOST_BYTES, follow=False).decode("utf-8", "replace")


def _describe_signal(folder: Path, number: int) -> Failure:
    """Return the failure of a step whose worker was ended by a signal."""
    name = signal.Signals(number).name
    tail = "".join(read_log_lines(folder)[-1:])
    hint = {
        "SIGKILL": "the system kills processes when memory runs out; free some memory and build again",
        "SIGSEGV": "this is a bug in native code; another engine or op set may avoid it",
        "SIGPROF": "a library did not finish reading a file: the file is damaged, or was made to cause this",
        "SIGABRT": "native code aborted on this model; another engine or op set may avoid it",
    }.get(name, "")
    what = f"the step's process was ended by {name}"
    transient = number == signal.SIGKILL
    return Failure(kind="build", what=what, why=tail[:400], next_step=hint, transient=transient)


def find_missing(step: Step, folder: Path) -> Failure | None:
    """Return the failure of a step that succeeded but did not write all its outputs, None if it wrote them."""
    missing = [name for name in KINDS[step.kind].outputs if not (folder / "outputs" / name).exists()]
    if not missing:
        return None
    return Failure(
        kind="build",
        what=f"the step ended without writing {', '.join(missing)}",
        why="".join(read_log_lines(folder)[-1:])[:400],
        next_step="build again; if that does not help, this is a bug in tflbuild: please report it",
    )


def find_special_files(folder: Path) -> Failure | None:
    """Return the failure of a step that left anything other than regular files and folders, None if it did not.

    Links are refused because they may lead to any file of this machine.
    """
    for name in (LOG, "outputs"):
        for path in _walk_entries(folder / name):
            if not (stat.S_ISREG(mode := path.lstat().st_mode) or stat.S_ISDIR(mode)):
                return Failure(
                    kind="build",
                    what=f"the step left '{path.relative_to(folder)}', which is no plain file",
                    why="the store does not accept links, pipes and devices",
                )
    return None


def _walk_entries(path: Path) -> Iterator[Path]:
    """Yield a path and everything below it, without following links."""
    if os.path.lexists(path):
        yield path
    for parent, folders, files in os.walk(path):
        yield from (Path(parent, name) for name in (*folders, *files))


def describe_pin_mismatch(step: Step, record: ActionRecord) -> Failure | None:
    """Return the failure of a result whose digest differs from the one that the recipe pins, None if it is equal."""
    for name, digest in step.expect:
        if record.outputs[name].digest != digest:
            return Failure(
                kind="recipe",
                what=f"'{step.params.get('handle', name)}' is not the model that the recipe pins",
                where="source.sha256",
                why=f"its digest is {record.outputs[name].digest}\npinned is     {digest}",
                next_step="find out why the model changed before you pin the new digest",
            )
    return None


def describe_offline_failure(step: Step) -> Failure:
    """Return the failure of a step that must download a file although the run is offline."""
    return Failure(
        kind="environment",
        what=f"'{step.params.get('handle', '')}' is not in the store, and --offline forbids fetching it",
        where="source.handle",
        next_step="build once without --offline; the store keeps the downloaded file",
    )
