"""Parallel work on samples: each core runs one process with its own range of samples."""

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
    """Split `range(count)` into at most `parts` contiguous ranges whose lengths differ by one at most."""
    parts = max(1, min(parts, count))
    bounds = [count * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(bounds)]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def map_shards(work: Callable[[range], Result], count: int, parts: int | None = None) -> list[Result]:
    """Call a function for ranges of samples, each in a forked process, and return the results in order.

    The memory of variables that `work` uses is shared with the forks and not copied.

    Args:
        work: The function. It gets a range of sample indices. Its result is pickled. If `parts` is None, it reports
            each sample that is done with `step_progress.advance`.
        count: The number of samples.
        parts: The number of processes. None: one per core, and `count` parts are added to the progress of the step.

    Returns:
        The results, in the order of the ranges.

    Raises:
        WorkerError: A process was ended by a signal, or exited.
        Exception: Any exception that `work` raises.
    """
    if parts is None:
        step_progress.expect(count)
    ranges = split(count, cores() if parts is None else parts)
    if len(ranges) == 1:
        return [work(ranges[0])]
    context = multiprocessing.get_context("fork")
    workers = []
    for indices in ranges:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(work, indices, sender), daemon=True)
        process.start()
        sender.close()
        workers.append((process, receiver))
    try:
        return [_receive_result(process, receiver) for process, receiver in workers]
    finally:
        for process, _ in workers:
            process.kill()


def _run(work: Callable[[range], Any], indices: range, sender: Connection) -> None:
    end_with_parent()
    try:
        outcome: tuple[bool, Any] = (True, work(indices))
    except Exception as error:
        outcome = (False, error)
    sender.send(outcome)


def _receive_result(process: Any, receiver: Connection) -> Any:
    try:
        succeeded, value = receiver.recv()
    except EOFError:
        process.join()
        exit_text = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"exit code {process.exitcode}"
        raise WorkerError(
            f"a process that ran part of the samples was ended by {exit_text}",
            kind="build",
            next_step="memory may have run out: free some memory and build again" if exit_text == "SIGKILL" else "",
            transient=exit_text == "SIGKILL",
        ) from None
    process.join()
    if succeeded:
        return value
    raise value
