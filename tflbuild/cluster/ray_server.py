"""The executor's end of a Ray cluster: a process that speaks with Ray, and which steps go there.

Ray lives in a process of its own: it ends the one it lives in a minute after its cluster is gone, and prints on its
standard error.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from tflbuild.core.cluster_settings import Cluster
from tflbuild.core.step import Step
from tflbuild.errors import MachineError
from tflbuild.execute.events import Notice
from tflbuild.execute.worker_process import StepServer, WorkerExit
from tflbuild.registry.step_kinds import KINDS
from tflbuild.storage.store import Store

NAME = "ray"
BOUND = ("host", "tool")  # parameters that name this machine, or what was found on it
FAREWELL_SECONDS = 3.0


class RayCluster:
    """Where steps go that any machine may do."""

    name = NAME

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._server: RayServer | None = None

    def accepts(self, step: Step) -> bool:
        """Whether a step may run on another machine: not when its key names this one, nor when it reaches out."""
        bound = bool(step.ties) or any(name in step.params for name in BOUND)
        return not KINDS[step.kind].network and not bound

    @property
    def slots(self) -> int:
        """Steps at once; one until the cluster has answered."""
        return 1 if self._server is None else self._server.slots

    def open(self, store: Store, folder: Path) -> RayServer:
        """Connect to the cluster; what is wrong with it comes as the first answer."""
        self._server = RayServer(self.cluster, store, folder)
        return self._server


class RayServer(StepServer):
    """The process of `cluster.ray_gateway`."""

    def __init__(self, cluster: Cluster, store: Store, folder: Path) -> None:
        super().__init__(NAME, folder, ["tflbuild.cluster.ray_gateway"], os.environ)
        self.slots = 1
        assert self.process.stdin is not None
        settings = {"cluster": asdict(cluster), "store": str(store.root)}
        self.process.stdin.write(json.dumps(settings).encode() + b"\n")

    def _parse_answer(self, value: dict[str, Any]) -> WorkerExit | Notice | None:
        if "error" in value:
            raise MachineError(**value["error"])
        if "notice" in value:
            return Notice(value["notice"])
        if "slots" in value:
            self.slots = value["slots"]
            return None
        return super()._parse_answer(value)

    def close(self) -> None:
        """Let Ray take its leave, which ends what is still at work there; then end the process."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(FAREWELL_SECONDS)
        except (BrokenPipeError, TimeoutExpired):
            pass
        super().close()
