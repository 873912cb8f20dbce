"""A worker server that does all steps in one process: emulated_server.py tensorflow|litert.

An emulator translates the instructions of TensorFlow as they are first run. The children that a real server forks would
translate them again, for each step: half a minute where this takes two seconds. The protocol, the modules of the steps
and their requests are those of `tflbuild.runtime.worker_server`; user code is not kept from reading undeclared files.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machines import PROGRAM

from tflbuild.runtime import parallel_shards, worker_server
from tflbuild.runtime.step_contract import kept_errors


def answer(answers: int, value: dict[str, Any]) -> None:
    """Send an answer to the parent."""
    os.write(answers, json.dumps(value).encode() + b"\n")


@contextmanager
def entered(folder: Path) -> Iterator[None]:
    """Make the folder this process's own for one step; what the step imported from it is forgotten afterwards."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    before = os.dup(1), os.dup(2)
    paths, modules = list(sys.path), set(sys.modules)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    kept_errors.clear()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, descriptor in zip((1, 2), before, strict=True):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        os.close(log)
        os.chdir("/")
        sys.path[:] = paths
        for name in set(sys.modules) - modules:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


def run_step(request: dict[str, Any]) -> dict[str, Any]:
    """Do one step, and return the answer that the parent expects of a child that ended."""
    started, folder = time.monotonic(), Path(request["folder"])
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()  # numbered names begin again, as in a fresh child
    with entered(folder):
        code, content = worker_server.answer_request(request["module"], folder)
        (folder / "output.json").write_text(json.dumps(content))
    seconds = time.monotonic() - started
    return {"id": request["id"], "exit": code, "signal": None, "verdict": "", "seconds": seconds, "peak_bytes": 0}


def main(name: str) -> None:
    """Import what the server of this name imports, then serve until standard input ends."""
    sys.executable = os.environ[PROGRAM]
    answers = os.dup(1)
    os.dup2(2, 1)
    parallel_shards.cores = lambda: 1  # a shard would be a process of its own
    started = time.monotonic()
    try:
        worker_server.preload(name)
    except Exception as error:
        traceback.print_exc()
        answer(answers, {"ready": False, "why": f"{type(error).__name__}: {error}"})
        return
    answer(answers, {"ready": True, "seconds": time.monotonic() - started})
    for line in sys.stdin:
        answer(answers, run_step(json.loads(line)))


if __name__ == "__main__":
    main(sys.argv[1])
