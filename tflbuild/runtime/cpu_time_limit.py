"""End this process when native code does not come back: libraries in C loop for ever over some damaged files."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

READ_SECONDS = 2.0  # of CPU time, to read what a file says of itself; whole models take milliseconds


@contextmanager
def limit_time(seconds: float = READ_SECONDS) -> Iterator[None]:
    """End the process by SIGPROF when the block takes more CPU time. For the main thread of a step's own process.

    A handler in Python would wait for the native call to return, so the kernel's own action is used: the parent reports
    the signal as the step's failure.
    """
    before = signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
