"""A limit of CPU time for native code: libraries in C never return for some damaged files."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

# CPU time for reading the description in a file. Reading that of a whole model takes milliseconds.
READ_SECONDS = 2.0


@contextmanager
def limit_time(seconds: float = READ_SECONDS) -> Iterator[None]:
    """End the process by SIGPROF if the block uses more than `seconds` of CPU time.

    Call it in the main thread of a worker. A signal handler in Python would run only after the native call returns, so
    the default action of the kernel is used: it ends the process, and the parent reports the signal as the failure of
    the step.
    """
    previous_action = signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous_action)
