"""The process that communicates with Ray. It receives requests like a worker server, and runs each as a Ray task.

    python -m tflbuild.cluster.ray_gateway

The first line on standard input contains the settings of the cluster and the path of the store. Answers have the format
of `runtime.worker_server`. There are three more: `{"slots"}`, the number of steps that the nodes can run at once,
`{"notice"}`, a text for the user, and `{"error"}`, after which the process ends.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tflbuild.cluster.ray_node import (
    REQUEST,
    RETURNED_FILES,
    DigestMismatchError,
    NodeTask,
    NodeTaskResult,
    get_file,
    put_file,
    run_step,
)
from tflbuild.cluster.ray_node_pool import NoNodeError, RayNode, RayNodePool
from tflbuild.core.cluster_settings import Cluster
from tflbuild.errors import MachineError, TflbuildError
from tflbuild.execute.worker_process import WorkerExit
from tflbuild.registry.step_kinds import KINDS
from tflbuild.storage.store import Store

CONNECT_SECONDS = 5.0
POLL_SECONDS = 1.0
# How long to wait for Ray at the end. The executor waits longer for this process.
FAREWELL_SECONDS = 2.0
SERVERS = {kind.module: kind.server for kind in KINDS.values()}


class AnswerWriter:
    """A writer of answers to the executor, which several threads may use."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def say(self, value: dict[str, Any]) -> None:
        """Write an answer as one line of JSON."""
        with self._lock:
            os.write(self._descriptor, json.dumps(value).encode() + b"\n")

    def fail(self, error: TflbuildError) -> None:
        """Write an error, which is the last answer."""
        fields = {"what": error.what, "where": error.where, "why": error.why, "next_step": error.next_step}
        self.say({"error": fields})


class RayGateway:
    """The gateway that sends steps to nodes and collects their results. Each step has a thread of its own."""

    def __init__(self, cluster: Cluster, store: Store, speaker: AnswerWriter) -> None:
        self.cluster = cluster
        self.store = store
        self.speaker = speaker
        self.nodes = RayNodePool(cluster, speaker.say)
        self.task = ray.remote(run_step)

    def carry(self, request: dict[str, Any]) -> None:
        """Run a step on a node with a free slot, and write how it ended."""
        started = time.monotonic()
        try:
            node = self.nodes.take()
        except NoNodeError as error:
            self.speaker.fail(error)
            return
        try:
            answer = self._run(request, node)
        except DigestMismatchError as error:
            self.nodes.refuse(node, str(error))
            answer = self._lost(node, error, started)
        except Exception as error:
            # The error is Ray's, or a task on a node raised it. The step has not failed, but its run was lost.
            self.nodes.rest(node, first_line(error))
            answer = self._lost(node, error, started)
        else:
            self.nodes.give_back(node)
        self.speaker.say({**asdict(answer), "id": request["id"]})

    def _lost(self, node: RayNode, error: Exception, started: float) -> WorkerExit:
        reason = f"its run on node {node.name} was lost: {first_line(error)}"
        return WorkerExit(0, None, None, "", time.monotonic() - started, 0, lost=reason)

    def _run(self, request: dict[str, Any], node: RayNode) -> WorkerExit:
        folder = Path(request["folder"])
        inputs = dict(read_inputs(folder / "inputs", self.store))
        work = NodeTask(
            server=SERVERS[request["module"]],
            module=request["module"],
            seconds=request["seconds"],
            request=(folder / REQUEST).read_text(),
            inputs=tuple((name, digest) for name, (digest, _) in inputs.items()),
            store=self.cluster.store,
        )
        paths = {digest: path for digest, path in inputs.values() if digest}
        lacking = ray.get(node.keeper.lacking.remote(list(paths)))
        blobs = {digest: put_file(paths[digest]) for digest in lacking}
        task = self.task.options(
            num_cpus=self.cluster.cpus,
            memory=self.cluster.memory or None,
            resources=dict(self.cluster.resources) or None,
            max_retries=0,
            name=f"tflbuild {request['module']}",
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        done: NodeTaskResult = ray.get(task.remote(work, node.keeper, blobs))
        for name, digest, chunks in done.files:
            if (name not in RETURNED_FILES and not name.startswith("outputs/")) or ".." in Path(name).parts:
                raise DigestMismatchError(f"a step has no file '{name}'")
            get_file(chunks, folder / name, digest)
        return done.answer


def read_inputs(folder: Path, store: Store) -> Any:
    """Yield (path in the folder, (digest, path of the bytes)) of every file and folder below a folder.

    The path of a folder ends in a slash, and its digest is "".
    """
    blobs = store.root / "cas"
    for parent, folders, files in os.walk(folder, followlinks=True):
        parent_path = Path(parent)
        for name in sorted(folders):
            yield f"{(parent_path / name).relative_to(folder)}/", ("", parent_path / name)
        for name in sorted(files):
            path = (parent_path / name).resolve()
            digest = path.name if path.is_relative_to(blobs.resolve()) else store.stats.digest(path)
            yield str((parent_path / name).relative_to(folder)), (digest, path)


def first_line(error: Exception) -> str:
    """Return the first line of the cause of a Ray error. The other lines are a stack trace or advice."""
    cause = getattr(error, "cause", None) or error
    text = str(cause).strip().split("\n")[0]
    return f"{type(cause).__name__}: {text}"[:300]


def connect(address: str) -> None:
    """Connect to a running Ray cluster. No cluster is started.

    Raises:
        MachineError: The cluster does not answer, or this machine belongs to none.
    """
    where = address or os.environ.get("RAY_ADDRESS", "") or "auto"
    endpoint = re.fullmatch(r"(?:ray://)?(\[[^]]+\]|[^/:]+):(\d+)", where)
    try:
        # Ray itself would try to connect for minutes.
        if endpoint is not None:
            socket.create_connection((endpoint[1].strip("[]"), int(endpoint[2])), CONNECT_SECONDS).close()
        ray.init(address=where, log_to_driver=False, logging_level="ERROR")
    except Exception as error:
        raise MachineError(
            f"no Ray cluster answers at '{where}'" if where != "auto" else "this machine belongs to no Ray cluster",
            where="executor.address",
            why=first_line(error),
            next_step="ray start --head on one machine and ray start --address=HOST:6379 on this one and the others;"
            " or executor.address=ray://HOST:10001 to reach it from outside; or executor=local",
        ) from None


def serve(gateway: RayGateway) -> None:
    """Handle requests until standard input ends, or the cluster has not answered for too long."""
    pending = b""
    while True:
        if select.select([0], [], [], POLL_SECONDS)[0]:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                threading.Thread(target=gateway.carry, args=(json.loads(line),), daemon=True).start()
        if (silence := gateway.nodes.silence()) is not None:
            gateway.speaker.fail(silence)
            return


def read_settings() -> dict[str, Any]:
    """Return the settings in the first line of standard input.

    The line is read byte by byte, so that no byte of the next line is consumed.
    """
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or b"\n"
    settings: dict[str, Any] = json.loads(line)
    return settings


def main() -> None:
    """Connect to the cluster, handle requests, and disconnect."""
    speaker = AnswerWriter(os.dup(1))
    os.dup2(2, 1)
    settings = read_settings()
    options = settings["cluster"]
    cluster = Cluster(**{**options, "resources": tuple((name, amount) for name, amount in options["resources"])})
    try:
        connect(cluster.address)
    except MachineError as error:
        speaker.fail(error)
        return
    gateway = RayGateway(cluster, Store(Path(settings["store"])), speaker)
    serve(gateway)
    leaving = threading.Thread(target=leave, args=(gateway,), daemon=True)
    leaving.start()
    # If the cluster is gone, disconnecting would take longer.
    leaving.join(FAREWELL_SECONDS)
    sys.stderr.flush()
    os._exit(0)


def leave(gateway: RayGateway) -> None:
    """Disconnect from the cluster. Steps that still run are ended."""
    gateway.nodes.close()
    ray.shutdown()


if __name__ == "__main__":
    main()
