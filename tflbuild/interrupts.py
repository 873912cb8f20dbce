"""Ctrl-C and SIGTERM, once. An exception alone can be lost: Python ignores what is raised inside a finalizer or
a fork's callback, so what waits also asks.
"""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_asked = False


def listen() -> None:
    """Turn the first signal into KeyboardInterrupt; further ones are ignored while it is cleaned up after."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def check() -> None:
    """Raises KeyboardInterrupt if a signal came, even where its exception went unseen."""
    if _asked:
        raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    global _asked
    _asked = True
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # cleaning up takes a moment, and is not to be cut short
    raise KeyboardInterrupt
