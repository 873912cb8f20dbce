"""A process that imports the heavy packages once and forks a fresh child for each step.

    python -m tflbuild.runtime.worker_server tensorflow|litert

Requests come as JSON lines on standard input, `{"id", "module", "folder"}`; answers leave on the
file descriptor that standard output had at the start: first `{"ready", "seconds"}`, then for each
request `{"id", "exit", "signal", "seconds", "peak_bytes"}`. When standard input ends, everything
ends: children do not outlive their server, nor the server its parent.

The server runs one thread and no TensorFlow operation, so that forking it is safe; a child starts
from the same state every time, which is what makes Keras's numbered names repeatable.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflbuild.core.worker_protocol import DISK_ADVICE, DISK_FULL, DISK_FULL_EXIT
from tflbuild.runtime import step_progress
from tflbuild.runtime.confinement import FREE, confine, find_missing_confinement
from tflbuild.runtime.step_contract import (
    WorkerError,
    adopt_orphans,
    end_with_parent,
    kept_errors,
    own_folder,
    read_request,
)

PRELOAD = {
    "tensorflow": (
        "numpy",
        "tensorflow",
        "keras",
        "keras.src.export.saved_model",
        "keras.src.saving.saving_lib",
        "tensorflow.lite.python.lite",
    ),
    "litert": (
        "numpy",
        "ai_edge_litert.interpreter",
        "ai_edge_litert.schema_py_generated",
        "litert_quantizer.quantizer",
        "litert_quantizer.recipe",
    ),
}
KERAS_HOME, KERAS_FOLDER = "KERAS_HOME", "keras-settings"
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
POLL_SECONDS = 0.25
SECONDS_PER_STEP = 3600.0
SECONDS_OF = {"steps.training.tf_optimize": 7 * 24 * 3600.0}  # how long a training may take is for its recipe to say
MEMORY_SHARE = 0.9
MOST_GENERATIONS = 8  # of processes that a step left running
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def run_child(module: str, folder: Path, memory: int) -> None:
    """Do one step, confined, and end the process: exit 0 with facts, 1 with an error, in output.json.

    `memory` is the most that it may allocate, in bytes.

    Whatever happens, nothing returns from here into the server's loop.
    """
    code = 1
    try:
        end_with_parent()
        enter(folder)
        code, answer = answer_request(module, folder, memory)
        (folder / "output.json").write_text(json.dumps(answer))
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        code = DISK_FULL_EXIT if error.errno in DISK_ERRORS else 1
    finally:
        os._exit(code)


def enter(folder: Path) -> None:
    """Make the folder this process's own: working directory, log for its output, nothing to read."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    own_folder.append(folder)
    step_progress.begin(folder)
    os.environ[KERAS_HOME] = str(folder / KERAS_FOLDER)  # where tf_keras, which steps import late, finds no settings
    tempfile.tempdir = str(folder)  # TensorFlow leaves files there, and a child ends without cleaning up
    os.environ["TMPDIR"] = str(folder)  # where native libraries and other programs put temporary files
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer_request(module: str, folder: Path, memory: int | None = None) -> tuple[int, dict[str, Any]]:
    """Run the step's code; (exit code, answer). The process is confined for good where `memory` is its limit."""
    try:
        return 0, {"facts": run_step(module, folder, memory)}
    except WorkerError as error:
        traceback.print_exc()
        return 1, {"error": error.fields}
    except SystemExit as error:
        return 1, {"error": {"kind": "build", "what": f"the code called sys.exit({error.code!r})"}}
    except Exception as error:
        answer = {"error": _unexpected(error)}
        traceback.print_exc()
        return 1, answer


def run_step(module: str, folder: Path, memory: int | None) -> dict[str, Any]:
    """Return a step's facts, and what it was `confined` in.

    Raises a kept error rather than the one that followed from it.
    """
    request = read_request(folder)
    confined = [] if memory is None else confine(request, module, memory)
    try:
        facts: dict[str, Any] = importlib.import_module(f"tflbuild.{module}").run(request)
    except Exception as error:
        if kept_errors and error not in kept_errors:
            raise kept_errors[0] from error
        raise
    if kept_errors:
        raise kept_errors[0]
    return facts if memory is None else {**facts, "confined": confined}


def _unexpected(error: Exception) -> dict[str, Any]:
    text = str(error).strip() or type(error).__name__
    full = isinstance(error, OSError) and error.errno in DISK_ERRORS
    if full or DISK_FULL in text.lower():
        return {"kind": "environment", "what": DISK_FULL, "next_step": DISK_ADVICE}
    if isinstance(error, MemoryError):
        return {"kind": "environment", "what": "out of memory", "why": text}
    return {"kind": "build", "what": text.split("\n")[0][:400], "why": type(error).__name__}


@dataclass(frozen=True)
class _Child:
    """A step at work: the request that it answers, its module, when it started and the seconds it may take."""

    request: int
    module: str
    started: float
    seconds: float


class ForkServer:
    """The loop: requests in, children out, answers back."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.children: dict[int, _Child] = {}  # by pid
        self.spared: set[int] = set()  # processes that outlive their step by design: the server of adb
        self.verdicts: dict[int, str] = {}  # pid -> why this server ended it
        self.pending = b""
        self.memory_limit = int(total_memory() * MEMORY_SHARE)

    def answer(self, value: dict[str, Any]) -> None:
        os.write(self.answers, json.dumps(value).encode() + b"\n")

    def serve(self) -> None:
        """Until standard input ends."""
        wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            readable, _, _ = select.select([0, wake], [], [], POLL_SECONDS if self.children else None)
            if wake in readable:
                os.read(wake, 4096)
            self.reap()
            self.enforce_limits()
            if 0 in readable and not self.accept():
                return

    def accept(self) -> bool:
        chunk = os.read(0, 1 << 16)
        if not chunk:
            return False
        *lines, self.pending = (self.pending + chunk).split(b"\n")
        for line in lines:
            self.start(json.loads(line))
        return True

    def start(self, request: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self.answers)
            run_child(request["module"], Path(request["folder"]), self.memory_limit)
        limit = request["seconds"] or SECONDS_OF.get(request["module"], SECONDS_PER_STEP)
        self.children[pid] = _Child(request["id"], request["module"], time.monotonic(), limit)

    def reap(self) -> None:
        for pid in list(self.children):
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done == 0:
                continue
            child = self.children.pop(pid)
            self.end_orphans(spare=child.module in FREE)
            self.answer(
                {
                    "id": child.request,
                    "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                    "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                    "verdict": self.verdicts.pop(pid, ""),
                    "seconds": time.monotonic() - child.started,
                    "peak_bytes": usage.ru_maxrss * 1024,
                }
            )

    def enforce_limits(self) -> None:
        for pid, child in self.children.items():
            if time.monotonic() - child.started > child.seconds:
                self.end(pid, f"it ran longer than {child.seconds:g} s")
            elif _resident_bytes(pid) > self.memory_limit:
                self.end(pid, f"it used more than {self.memory_limit / 2**30:.1f} GiB of memory")

    def end_orphans(self, *, spare: bool) -> None:
        """End what a step left running: it would go on without a limit, and change what is being published.

        Orphans come to this process, their subreaper. One of a step that is still at work is ended with them.
        """
        if spare:
            self.spared |= set(_list_children()) - self.children.keys()
        for _ in range(MOST_GENERATIONS):  # the children of an orphan come here when it ends
            orphans = set(_list_children()) - self.spared - self.children.keys()
            for pid in orphans:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def end(self, pid: int, verdict: str) -> None:
        self.verdicts[pid] = verdict
        os.kill(pid, signal.SIGKILL)


def total_memory() -> int:
    """Return the memory of this machine, or of this container where that is less. Bytes."""
    total = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or no limit ("max")
        return total


def _list_children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return []


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def preload(server: str) -> None:
    """Import the packages of a server. Keras reads no settings of the user's: types and layouts are for recipes to say.

    `~/.keras` stays the place of what recipe code downloads through Keras.
    """
    os.environ[KERAS_HOME] = str(Path.cwd() / KERAS_FOLDER)
    for name in PRELOAD[server]:
        importlib.import_module(name)
    if "keras" in sys.modules:
        vars(importlib.import_module("keras.src.backend.config"))["_KERAS_DIR"] = os.path.expanduser("~/.keras")


def main() -> None:
    """Import, say so, serve, and take every child along at the end."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what packages print while they are imported goes to the server's log
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    server = ForkServer(answers)
    started = time.monotonic()
    gc.disable()  # importing makes much and drops little: collecting meanwhile costs a quarter of the time
    try:
        preload(sys.argv[1])
    except Exception as error:
        traceback.print_exc()
        server.answer({"ready": False, "why": f"{type(error).__name__}: {error}"})
        return
    gc.freeze()  # children share these pages, which no collection of theirs will touch
    gc.enable()
    unconfined = find_missing_confinement()
    server.answer({"ready": True, "seconds": time.monotonic() - started, "unconfined": unconfined})
    try:
        server.serve()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for pid in server.children:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
