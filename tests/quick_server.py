"""A worker server for tests of the executor: it answers at once, in the process that asks."""

from __future__ import annotations

import json
import os

from tflbuild.execute.worker_process import StepServer, WorkerExit


class QuickServer(StepServer):
    """Keeps what it is asked for in `at_work`, the oldest first, and wakes the executor for each."""

    def __init__(self, name, facts):
        self.name, self.facts = name, facts
        self.ear, self.mouth = os.pipe()
        self.at_work = []

    def fileno(self):
        return self.ear

    def send(self, request, module, folder, seconds):
        self.at_work.append((request, folder))
        os.write(self.mouth, b".")

    def take(self):
        """Return the number and the folder of the oldest request."""
        os.read(self.ear, 1)
        return self.at_work.pop(0)

    def finish(self, request, folder, text):
        """Write what the step `check` writes, with a text as its output, and return the answer."""
        (folder / "outputs" / "check.json").write_text(text)
        (folder / "log.txt").write_text("")
        (folder / "output.json").write_text(json.dumps({"facts": self.facts}))
        return WorkerExit(request, 0, None, "", 0.1, 1)

    def close(self):
        os.close(self.ear)
        os.close(self.mouth)
