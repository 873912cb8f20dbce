"""The parent's end of a worker server: start it, hand it work, read its answers, end it."""

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

PASSED_ON = (
    *("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT"),
    # how to reach a model hub, and as whom; no step but `fetch` reaches out
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("VK_DRIVER_FILES", "VK_ICD_FILENAMES"),  # which Vulkan driver a person chose
    *("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR"),
    CONFINEMENT,
)
FIXED = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TF_CPP_MIN_LOG_LEVEL": "1",
    "CUDA_VISIBLE_DEVICES": "-1",  # conversion is CPU work; a GPU would change the bytes of nothing but the log
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",  # shards are processes; and sums must not depend on the number of cores
}
LOG_TAIL = 2000
UNCONFINED = f"note: steps run without confinement: {{}}; {CONFINEMENT}={TURNED_OFF} accepts that"


@dataclass(frozen=True)
class WorkerExit:
    """How one child ended. `exit` is None when a signal ended it; `lost` says how its machine was."""

    id: int
    exit: int | None
    signal: int | None
    verdict: str
    seconds: float
    peak_bytes: int
    lost: str = ""


class ServerDiedError(MachineError):
    """A server process ended without having been asked to."""


class StepServer:
    """A process that takes steps and answers, in a session of its own so that Ctrl-C reaches the parent alone."""

    def __init__(self, name: str, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"server-{name}.txt"
        path = os.pathsep.join([str(PACKAGE.parent), *_extra_paths()])
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", *command],  # -P: no module is found in the folder of the steps
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
        """The descriptor that becomes readable when there are answers."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def send(self, request: int, module: str, folder: Path, seconds: float | None) -> None:
        """Ask for one step, that may take so long; the server queues what comes before it is ready.

        Raises ServerDiedError when the server is gone.
        """
        assert self.process.stdin is not None
        line = json.dumps({"id": request, "module": module, "folder": str(folder), "seconds": seconds}) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def receive(self) -> list[WorkerExit | Notice]:
        """The answers that have arrived, and what a person should hear.

        Raises ServerDiedError when the server is gone, MachineError when it cannot start.
        """
        chunk = os.read(self.fileno(), 1 << 16)
        if not chunk:
            raise self._died()
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        told = [self._read(json.loads(line)) for line in lines]
        return [one for one in told if one is not None]

    def _read(self, value: dict[str, Any]) -> WorkerExit | Notice | None:
        if "ready" not in value:
            return WorkerExit(**value)
        if not value["ready"]:
            raise MachineError(f"the {self.name} packages cannot be imported", why=value["why"], next_step=_reinstall())
        self.ready = True
        why = value.get("unconfined", "")
        return Notice(UNCONFINED.format(why)) if why else None

    def _died(self) -> ServerDiedError:
        self.process.wait()
        code = self.process.returncode
        ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        tail = self.log.read_text(errors="replace")[-LOG_TAIL:].strip().split("\n")[-3:]
        return ServerDiedError(
            f"the {self.name} worker server ended {ended}", why="\n".join(tail), next_step=_reinstall()
        )

    def close(self) -> None:
        """End the server and every child of it, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class RemoteExecutor(Protocol):
    """Other machines that take steps, `slots` of them at once. To the executor all of them are one server."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int: ...

    def takes(self, step: Step) -> bool:
        """Whether a step may go there."""

    def open(self, store: Store, folder: Path) -> StepServer:
        """The server that brings steps there and back; `folder` is for its log."""


class WorkerServerProcess(StepServer):
    """One worker server (`runtime.worker_server`) on this machine."""

    def __init__(self, name: Server, folder: Path) -> None:
        require_known_mode(os.environ.get(CONFINEMENT, ""))
        environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        super().__init__(name, folder, ["tflbuild.runtime.worker_server", name], environment | FIXED)


def require_known_mode(mode: str) -> None:
    """Raise MachineError for a value of TFLBUILD_CONFINEMENT that means nothing."""
    if mode not in ("", REQUIRED, TURNED_OFF):
        raise MachineError(
            f"{CONFINEMENT} is '{mode}'",
            where="environment",
            next_step=f"{REQUIRED}, {TURNED_OFF}, or leave it out: steps are confined where the kernel can",
        )


def _extra_paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _reinstall() -> str:
    return "check the installation: python -m pip check; then install tflbuild again"
