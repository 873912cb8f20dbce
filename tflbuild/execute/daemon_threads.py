"""Threads that do jobs and never keep a process from ending, which those of `concurrent.futures` do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

PATIENCE_SECONDS = 0.3


class DaemonThreadPool:
    """At most `size` of them, started as jobs come. A job raises nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a job done, after those that came before it."""
        self._jobs.put(job)
        with self._lock:
            if len(self._threads) < self._size:
                thread = threading.Thread(target=self._work, daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """End them, waiting a moment for those at work."""
        end = time.monotonic() + PATIENCE_SECONDS
        with self._lock:
            threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
