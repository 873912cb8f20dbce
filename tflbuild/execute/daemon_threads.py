"""A pool of daemon threads, which do not delay the end of the process.

The interpreter waits at exit for the threads of `concurrent.futures`; it does not wait for daemon threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

PATIENCE_SECONDS = 0.3


class DaemonThreadPool:
    """A pool of at most `size` daemon threads, which are started when jobs are submitted. Jobs must not raise."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job. Jobs start in the order in which they were submitted."""
        self._jobs.put(job)
        with self._lock:
            if len(self._threads) < self._size:
                thread = threading.Thread(target=self._work, daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """End the threads. Jobs that still run after PATIENCE_SECONDS are abandoned."""
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
