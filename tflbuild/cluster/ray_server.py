"""Connection of the executor to a Ray cluster.

Ray runs in a process of its own, because it ends its process a minute after the cluster is gone, and prints to standard
error.
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
# Parameters that identify this machine, or a tool on this machine.
LOCAL_PARAMETERS = ("host", "tool")
FAREWELL_SECONDS = 3.0


class RayCluster:
    """A Ray cluster, which runs the steps whose results do not depend on the machine."""

    name = NAME

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._server: RayServer | None = None

    def accepts(self, step: Step) -> bool:
        """Return whether another machine may run a step.

        It may not if the result depends on this machine, or if the step uses the network.
        """
        local_only = bool(step.ties) or any(name in step.params for name in LOCAL_PARAMETERS)
        return not KINDS[step.kind].network and not local_only

    @property
    def slots(self) -> int:
        """Return how many steps may run at once. It is 1 until the cluster has answered."""
        return 1 if self._server is None else self._server.slots

    def open(self, store: Store, folder: Path) -> RayServer:
        """Connect to the cluster. A fault of the cluster is reported by the first answer."""
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
        """Let Ray disconnect, which ends running steps on the nodes, and then end the process."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(FAREWELL_SECONDS)
        except (BrokenPipeError, TimeoutExpired):
            pass
        super().close()
