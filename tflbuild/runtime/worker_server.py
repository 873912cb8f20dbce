"""The worker server: a process that imports the large packages once and forks a new worker for each step.

    python -m tflbuild.runtime.worker_server tensorflow|litert

Requests are JSON lines on standard input: `{"id", "module", "folder", "seconds"}`. Answers are written to the file
descriptor that standard output had at the start: first `{"ready", "seconds", "unconfined"}`, then for each request
`{"id", "exit", "signal", "verdict", "seconds", "peak_bytes"}`. The server ends when standard input ends. Its workers
end with it.

The server has one thread and runs no TensorFlow operation, so it is safe to fork it. Every worker starts in the same
state, so the names that Keras numbers are the same in every build.
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
from tflbuild.runtime.confinement import UNCONFINED_MODULES, confine, find_missing_confinement
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
# The recipe decides how long a training takes, so its limit is only a safeguard.
STEP_SECONDS = {"steps.training.tf_optimize": 7 * 24 * 3600.0}
MEMORY_FRACTION = 0.9
# How often the server looks for processes that a step left running: the children of each that it ends become its own.
MAX_ORPHAN_GENERATIONS = 8
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def run_child(module: str, folder: Path, memory: int) -> None:
    """Run one step in this process, confined, and end the process. The function never returns.

    The answer is written to `output.json`. The exit code is 0 if it has facts, 1 if it has an error, and
    `DISK_FULL_EXIT` if it could not be written because the disk is full.

    Args:
        module: The worker module of the step, relative to `tflbuild`.
        folder: The folder of the step.
        memory: The maximum that the process may allocate, in bytes.
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
    """Use the folder of a step as the working directory and for temporary files, and its log for the output."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null_device = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null_device, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    own_folder.append(folder)
    step_progress.begin(folder)
    # Some steps import tf_keras, which must not find settings of the user.
    os.environ[KERAS_HOME] = str(folder / KERAS_FOLDER)
    # TensorFlow does not remove its temporary files, and a worker ends without cleaning up.
    tempfile.tempdir = str(folder)
    # Native libraries and other programs put temporary files there.
    os.environ["TMPDIR"] = str(folder)
    # The process that started the server decides what an interrupt ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer_request(module: str, folder: Path, memory: int | None = None) -> tuple[int, dict[str, Any]]:
    """Run the code of a step.

    Args:
        module: The worker module of the step, relative to `tflbuild`.
        folder: The folder of the step.
        memory: The maximum that the process may allocate, in bytes. None: the process is not confined.

    Returns:
        The exit code and the answer: `{"facts": ...}` or `{"error": ...}`.
    """
    try:
        return 0, {"facts": run_step(module, folder, memory)}
    except WorkerError as error:
        traceback.print_exc()
        return 1, {"error": error.fields}
    except SystemExit as error:
        return 1, {"error": {"kind": "build", "what": f"the code called sys.exit({error.code!r})"}}
    except Exception as error:
        # Describe the error first: the traceback could not be printed on a full disk.
        answer = {"error": _describe_unexpected(error)}
        traceback.print_exc()
        return 1, answer


def run_step(module: str, folder: Path, memory: int | None) -> dict[str, Any]:
    """Run the code of a step, and return its facts. If the process is confined, they list the restrictions.

    An error in `kept_errors` is raised instead of an exception that results from it.
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


def _describe_unexpected(error: Exception) -> dict[str, Any]:
    text = str(error).strip() or type(error).__name__
    disk_is_full = isinstance(error, OSError) and error.errno in DISK_ERRORS
    if disk_is_full or DISK_FULL in text.lower():
        return {"kind": "environment", "what": DISK_FULL, "next_step": DISK_ADVICE}
    if isinstance(error, MemoryError):
        return {"kind": "environment", "what": "out of memory", "why": text}
    return {"kind": "build", "what": text.split("\n")[0][:400], "why": type(error).__name__}


@dataclass(frozen=True)
class _RunningStep:
    """A step that runs: the id of its request, its module, its start time, and the seconds that it may take."""

    request: int
    module: str
    started: float
    seconds: float


class ForkServer:
    """The loop of the server: it reads requests, forks workers, enforces their limits, and writes answers."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        # By process id.
        self.children: dict[int, _RunningStep] = {}
        # Processes that may outlive their step, such as the server of adb.
        self.spared: set[int] = set()
        # Process id -> why this server ended the process.
        self.verdicts: dict[int, str] = {}
        self.pending = b""
        self.memory_limit = int(total_memory() * MEMORY_FRACTION)

    def answer(self, value: dict[str, Any]) -> None:
        """Write one answer as a JSON line."""
        os.write(self.answers, json.dumps(value).encode() + b"\n")

    def serve(self) -> None:
        """Serve requests until standard input ends."""
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
        """Read requests and start their steps. Return False if standard input has ended."""
        chunk = os.read(0, 1 << 16)
        if not chunk:
            return False
        *lines, self.pending = (self.pending + chunk).split(b"\n")
        for line in lines:
            self.start(json.loads(line))
        return True

    def start(self, request: dict[str, Any]) -> None:
        """Fork a worker for a request."""
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self.answers)
            run_child(request["module"], Path(request["folder"]), self.memory_limit)
        limit = request["seconds"] or STEP_SECONDS.get(request["module"], SECONDS_PER_STEP)
        self.children[pid] = _RunningStep(request["id"], request["module"], time.monotonic(), limit)

    def reap(self) -> None:
        """Answer the requests whose workers have ended."""
        for pid in list(self.children):
            ended_pid, status, usage = os.wait4(pid, os.WNOHANG)
            if ended_pid == 0:
                continue
            child = self.children.pop(pid)
            self.end_orphans(keep_running=child.module in UNCONFINED_MODULES)
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
        """End workers that exceed their limit of time or memory."""
        for pid, child in self.children.items():
            if time.monotonic() - child.started > child.seconds:
                self.end(pid, f"it ran longer than {child.seconds:g} s")
            elif _resident_bytes(pid) > self.memory_limit:
                self.end(pid, f"it used more than {self.memory_limit / 2**30:.1f} GiB of memory")

    def end_orphans(self, *, keep_running: bool) -> None:
        """End the processes that a step left running.

        They would run on without a limit, and could change outputs that are being published. The kernel makes this
        process the parent of every orphan. An orphan of a step that still runs is ended too.

        Args:
            keep_running: Whether the orphans may go on, now and later.
        """
        if keep_running:
            self.spared |= set(_list_children()) - self.children.keys()
        # The children of an orphan become children of this process when the orphan ends.
        for _ in range(MAX_ORPHAN_GENERATIONS):
            orphans = set(_list_children()) - self.spared - self.children.keys()
            for pid in orphans:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def end(self, pid: int, verdict: str) -> None:
        """Kill a worker, and remember the reason for its answer."""
        self.verdicts[pid] = verdict
        os.kill(pid, signal.SIGKILL)


def total_memory() -> int:
    """Return the memory of this machine in bytes, or the memory of this container if that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    # There is no container, or it has no limit ("max").
    except (OSError, ValueError):
        return total


def _list_children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    # The kernel was built without CONFIG_PROC_CHILDREN.
    except OSError:
        return []


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def preload(server: str) -> None:
    """Import the packages of a server, without the user's settings for Keras: recipes choose types and layouts.

    Files that user code downloads with Keras still go to `~/.keras`.
    """
    os.environ[KERAS_HOME] = str(Path.cwd() / KERAS_FOLDER)
    for name in PRELOAD[server]:
        importlib.import_module(name)
    if "keras" in sys.modules:
        vars(importlib.import_module("keras.src.backend.config"))["_KERAS_DIR"] = os.path.expanduser("~/.keras")


def main() -> None:
    """Import the packages, report that the server is ready, serve requests, and end all workers."""
    answers = os.dup(1)
    # Text that packages print while they are imported goes to the log of the server.
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    server = ForkServer(answers)
    started = time.monotonic()
    # Imports make many objects and drop few, so garbage collection would take a quarter of their time.
    gc.disable()
    try:
        preload(sys.argv[1])
    except Exception as error:
        traceback.print_exc()
        server.answer({"ready": False, "why": f"{type(error).__name__}: {error}"})
        return
    # Workers share the memory of these objects, as long as their garbage collection does not touch it.
    gc.freeze()
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
