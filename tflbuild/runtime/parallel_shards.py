"""The same work on ranges of samples, one process a core."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from tflbuild.runtime import step_progress
from tflbuild.runtime.step_contract import WorkerError, end_with_parent

Result = TypeVar("Result")


def split(count: int, parts: int) -> list[range]:
    """At most `parts` contiguous ranges that cover 0..count, near equal in length."""
    parts = max(1, min(parts, count))
    bounds = [count * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(bounds)]


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


def map_shards(work: Callable[[range], Result], count: int, parts: int | None = None) -> list[Result]:
    """`work` of each range, in order. Forks: what `work` closes over is shared, not copied.

    Unless `parts` are given, `count` parts are expected, and `work` reports each that is done (`step_progress`).
    Raises what `work` raises, and WorkerError when a process is ended from outside.
    """
    if parts is None:
        step_progress.expect(count)
    ranges = split(count, cores() if parts is None else parts)
    if len(ranges) == 1:
        return [work(ranges[0])]
    context = multiprocessing.get_context("fork")
    running = []
    for indices in ranges:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(work, indices, sender), daemon=True)
        process.start()
        sender.close()
        running.append((process, receiver))
    try:
        return [_take(process, receiver) for process, receiver in running]
    finally:
        for process, _ in running:
            process.kill()


def _run(work: Callable[[range], Any], indices: range, sender: Connection) -> None:
    end_with_parent()
    try:
        answer: tuple[bool, Any] = (True, work(indices))
    except Exception as error:
        answer = (False, error)
    sender.send(answer)


def _take(process: Any, receiver: Connection) -> Any:
    try:
        good, value = receiver.recv()
    except EOFError:
        process.join()
        ended = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"exit code {process.exitcode}"
        raise WorkerError(
            f"a process that ran part of the samples was ended by {ended}",
            kind="build",
            next_step="memory may have run out; free some and build again" if ended == "SIGKILL" else "",
            transient=ended == "SIGKILL",
        ) from None
    process.join()
    if good:
        return value
    raise value
