"""Functions that run in a forked process: a library that crashes ends only the fork, and its output is kept."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from tflbuild.runtime.step_contract import end_with_parent, killed

Result = TypeVar("Result")


@dataclass(frozen=True)
class ForkResult(Generic[Result]):
    """The result of a function in a fork: `value`, or else `failure`, a sentence. `output` is the printed text."""

    value: Result | None
    failure: str
    output: str

    @property
    def good(self) -> bool:
        return not self.failure


def in_fork(work: Callable[[], Result], log: Path) -> ForkResult[Result]:
    """Run a function in a fork of this process.

    Args:
        work: The function. Its result is pickled.
        log: The file to which everything that the fork prints is written.

    Returns:
        The value of the function. An exception in `work` and a crash of the fork are its `failure`.

    Raises:
        WorkerError: The fork was ended by SIGKILL, as the system does when memory runs out.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, sender, log), daemon=True)
    process.start()
    sender.close()
    try:
        succeeded, value = receiver.recv()
    except EOFError:
        succeeded, value = False, ""
    process.join()
    output = log.read_text(errors="replace") if log.exists() else ""
    if succeeded:
        return ForkResult(value, "", output)
    code = process.exitcode or 0
    if code == -signal.SIGKILL:
        raise killed("the runtime")
    return ForkResult(None, value or f"it was ended by {_describe_exit(code)}", output)


def _describe_exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _run(work: Callable[[], Any], sender: Connection, log: Path) -> None:
    end_with_parent()
    # The caller expects crashes, so the log does not need a stack trace.
    faulthandler.disable()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)
    try:
        outcome: tuple[bool, Any] = (True, work())
    except Exception as error:
        outcome = (False, f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    sender.send(outcome)
