"""Handling of Ctrl-C and SIGTERM.

The first signal raises KeyboardInterrupt. Python ignores an exception that is raised inside a finalizer or inside a
callback of a fork, so loops that wait also call `check`.
"""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_interrupted = False


def listen() -> None:
    """Raise KeyboardInterrupt at the first signal from now on. Later signals are ignored, so that cleanup finishes."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def check() -> None:
    """Raise KeyboardInterrupt if a signal has arrived, even if its exception was ignored."""
    if _interrupted:
        raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    global _interrupted
    _interrupted = True
    # Cleanup takes a moment and must not be interrupted.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
