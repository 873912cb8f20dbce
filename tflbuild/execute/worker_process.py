"""Control of a worker server from the executor: start it, send it steps, read its answers, end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tflbuild.core.step import Step
from tflbuild.core.step_kind import Server
from tflbuild.core.worker_protocol import CONFINEMENT, REQUIRED, TURNED_OFF
from tflbuild.errors import MachineError
from tflbuild.execute.events import Notice
from tflbuild.locations import PACKAGE
from tflbuild.storage.store import Store

# Environment variables that workers receive from the environment of the user. They receive no others.
PASSED_VARIABLES = (
    *("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT"),
    # The access to a model hub and its credentials. Only the step `fetch` uses the network.
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GOOGLE_APPLICATION_CREDENTIALS"),
    # The Vulkan driver that the user chose.
    *("VK_DRIVER_FILES", "VK_ICD_FILENAMES"),
    *("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR"),
    CONFINEMENT,
)
# Environment variables that have the same value in every worker, so that results do not depend on the user's values.
FIXED_VARIABLES = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TF_CPP_MIN_LOG_LEVEL": "1",
    # Conversion runs on the CPU. A visible GPU would only change the log.
    "CUDA_VISIBLE_DEVICES": "-1",
    "LC_ALL": "C.UTF-8",
    # Shards run in parallel as processes, and sums must not depend on the number of cores.
    "OPENBLAS_NUM_THREADS": "1",
}
# How many characters at the end of a server's log are searched for the last lines that an error shows.
LOG_TAIL = 2000
REINSTALL = "check the installation: python -m pip check; then install tflbuild again"
UNCONFINED = f"note: steps run without confinement: {{}}; set {CONFINEMENT}={TURNED_OFF} to accept that"


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended.

    Attributes:
        id: The number of the request.
        exit: The exit code, None if a signal ended the worker.
        signal: The number of that signal, else None.
        verdict: Why the worker server ended the worker, such as a time limit; else empty.
        seconds: The wall time of the step.
        peak_bytes: The memory peak of the step, in bytes.
        lost: Why the machine of a cluster was lost; else empty.
    """

    id: int
    exit: int | None
    signal: int | None
    verdict: str
    seconds: float
    peak_bytes: int
    lost: str = ""


class ServerDiedError(MachineError):
    """A worker server ended although it was not told to."""


class StepServer:
    """A process that runs steps and reports how they ended.

    It runs in a session of its own, so that Ctrl-C reaches only the parent.
    """

    def __init__(self, name: str, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"server-{name}.txt"
        path = os.pathsep.join([str(PACKAGE.parent), *_list_python_paths()])
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                # With -P, modules are not imported from the current folder, where steps write files.
                [sys.executable, "-P", "-m", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, "PYTHONPATH": path},
                cwd=folder,
                start_new_session=True,
            )
        self.ready = False
        self._pending = b""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the server has answered. Selectors call this method."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def send(self, request: int, module: str, folder: Path, seconds: float | None) -> None:
        """Send a step to the server. The server queues requests that arrive before it is ready.

        Args:
            request: The number of the request, which the answer repeats.
            module: The module that implements the step.
            folder: The folder of the step.
            seconds: The time limit of the step, None for no limit.

        Raises:
            ServerDiedError: The server has ended.
        """
        assert self.process.stdin is not None
        line = json.dumps({"id": request, "module": module, "folder": str(folder), "seconds": seconds}) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._make_death_error() from None

    def receive(self) -> list[WorkerExit | Notice]:
        """Return the answers that have arrived, and notices for the user.

        Raises:
            ServerDiedError: The server has ended.
            MachineError: The server cannot start, because its packages cannot be imported.
        """
        chunk = os.read(self.fileno(), 1 << 16)
        if not chunk:
            raise self._make_death_error()
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        answers = [self._parse_answer(json.loads(line)) for line in lines]
        return [answer for answer in answers if answer is not None]

    def _parse_answer(self, value: dict[str, Any]) -> WorkerExit | Notice | None:
        """Return the exit of a worker, or a notice, or None for a message that only reports that the server is ready.

        Raises:
            MachineError: The server cannot start.
        """
        if "ready" not in value:
            return WorkerExit(**value)
        if not value["ready"]:
            raise MachineError(f"the {self.name} packages cannot be imported", why=value["why"], next_step=REINSTALL)
        self.ready = True
        reason = value.get("unconfined", "")
        return Notice(UNCONFINED.format(reason)) if reason else None

    def _make_death_error(self) -> ServerDiedError:
        """Return the error for a server that has ended, with its exit code and the last lines of its log."""
        self.process.wait()
        code = self.process.returncode
        cause = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        tail = self.log.read_text(errors="replace")[-LOG_TAIL:].strip().split("\n")[-3:]
        return ServerDiedError(f"the {self.name} worker server ended {cause}", why="\n".join(tail), next_step=REINSTALL)

    def close(self) -> None:
        """Kill the server and all its workers immediately."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class RemoteExecutor(Protocol):
    """A cluster that runs up to `slots` steps at once. To the executor, all its machines together are one server."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int: ...

    def accepts(self, step: Step) -> bool:
        """Return whether the cluster may run this step."""

    def open(self, store: Store, folder: Path) -> StepServer:
        """Start the server that sends steps to the cluster and collects their results. Its log is in `folder`."""


class WorkerServerProcess(StepServer):
    """A worker server (`runtime.worker_server`) on this machine.

    Raises:
        MachineError: The variable TFLBUILD_CONFINEMENT has an unknown value.
    """

    def __init__(self, name: Server, folder: Path) -> None:
        require_known_mode(os.environ.get(CONFINEMENT, ""))
        environment = {key: os.environ[key] for key in PASSED_VARIABLES if key in os.environ}
        super().__init__(name, folder, ["tflbuild.runtime.worker_server", name], environment | FIXED_VARIABLES)


def require_known_mode(mode: str) -> None:
    """Check that a value of TFLBUILD_CONFINEMENT is known.

    Raises:
        MachineError: The value is unknown.
    """
    if mode not in ("", REQUIRED, TURNED_OFF):
        raise MachineError(
            f"{CONFINEMENT} is '{mode}'",
            where="environment",
            next_step=f"set it to {REQUIRED} or {TURNED_OFF}, or unset it to confine steps if the kernel supports it",
        )


def _list_python_paths() -> list[str]:
    """Return the folders in the user's PYTHONPATH."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
