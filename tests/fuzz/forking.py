"""Run cases in a child process, so that a crash, a hang or a lack of memory is a result and ends nothing else."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

MOST_SECONDS = 2.0  # of CPU time a case; one that waits is found when all of them have taken too long
MOST_BYTES = 1 << 30  # more than the process has before the first case


class Slow(BaseException):
    """A case took too long. No handler of a parser's catches it."""


def run_forked(run_cases: Callable[[Callable[[bytes], Path]], None], seconds: float) -> str:
    """Run cases in a child. `run_cases` gets a function that notes a case and gives an empty folder for it.

    Returns what went wrong, "" for nothing.
    """
    base = Path(tempfile.mkdtemp(prefix="fuzz-"))
    child = os.fork()
    if child == 0:
        _run_child(base, run_cases)
    end = time.monotonic() + seconds
    status = None
    while status is None and time.monotonic() < end:
        ended, code = os.waitpid(child, os.WNOHANG)
        status = code if ended else None
        time.sleep(0.02)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    report = (base / "report").read_text() if (base / "report").exists() else ""
    last = (base / "case").read_bytes() if (base / "case").exists() else b""
    shutil.rmtree(base)
    if status is None:
        return f"no end after {seconds:.0f} s; the last case is {last!r}"
    if os.WIFSIGNALED(status):
        return f"ended by {signal.Signals(os.WTERMSIG(status)).name}; the last case is {last!r}"
    return report or ("" if status == 0 else f"exit {status}; the last case is {last!r}")


def _run_child(base: Path, run_cases: Callable[[Callable[[bytes], Path]], None]) -> None:
    code = 1
    try:
        sink = os.open(os.devnull, os.O_RDWR)  # what native code prints of a damaged file
        for handle in (0, 1, 2):
            os.dup2(sink, handle)
        sys.setrecursionlimit(1000)
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (has + MOST_BYTES, has + MOST_BYTES))
        signal.signal(signal.SIGPROF, _raise_slow)
        number = 0

        def begin(case: bytes) -> Path:
            nonlocal number
            shutil.rmtree(base / "work", ignore_errors=True)
            (base / "work").mkdir()
            (base / "case").write_bytes(case)
            number += 1
            return base / "work"

        run_cases(begin)
        code = 0
    except BaseException:
        (base / "report").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def _raise_slow(*_: object) -> None:
    raise Slow
