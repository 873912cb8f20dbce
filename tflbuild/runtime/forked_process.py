"""Work in a process of its own: a library that ends its process ends that one, and what it prints is kept."""

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
    """How it ended: with `value`, or with `failure`, a sentence; `said` is what it printed."""

    value: Result | None
    failure: str
    said: str

    @property
    def good(self) -> bool:
        return not self.failure


def in_fork(work: Callable[[], Result], log: Path) -> ForkResult[Result]:
    """`work` in a fork of this process, its output in `log`. Raises nothing that `work` raises: it is a failure."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, sender, log), daemon=True)
    process.start()
    sender.close()
    try:
        good, value = receiver.recv()
    except EOFError:
        good, value = False, ""
    process.join()
    said = log.read_text(errors="replace") if log.exists() else ""
    if good:
        return ForkResult(value, "", said)
    code = process.exitcode or 0
    if code == -signal.SIGKILL:
        raise killed("the runtime")
    return ForkResult(None, value or f"it was ended by {_ending(code)}", said)


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _run(work: Callable[[], Any], sender: Connection, log: Path) -> None:
    end_with_parent()
    faulthandler.disable()  # a crash is an answer here, and needs no stack
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)
    try:
        answer: tuple[bool, Any] = (True, work())
    except Exception as error:
        answer = (False, f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    sender.send(answer)
