"""The process that speaks with Ray: requests come in as they do to a worker server, each becomes a task of a node.

    python -m tflbuild.cluster.ray_gateway

The first line on standard input says which cluster, and where the store is. Answers are those of
`runtime.worker_server`, and also `{"slots"}`, how many steps the nodes take at once, `{"notice"}` for the user, and
`{"error"}`, the last.
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
    BACK,
    REQUEST,
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
FAREWELL_SECONDS = 2.0  # less than the executor waits for this process
SERVERS = {kind.module: kind.server for kind in KINDS.values()}


class AnswerWriter:
    """Lines to the executor, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def say(self, value: dict[str, Any]) -> None:
        """One line."""
        with self._lock:
            os.write(self._descriptor, json.dumps(value).encode() + b"\n")

    def fail(self, error: TflbuildError) -> None:
        """The last line: nothing more can be done here."""
        told = {"what": error.what, "where": error.where, "why": error.why, "next_step": error.next_step}
        self.say({"error": told})


class RayGateway:
    """Carries steps to nodes and back. Each is a thread's, from its request to its answer."""

    def __init__(self, cluster: Cluster, store: Store, speaker: AnswerWriter) -> None:
        self.cluster = cluster
        self.store = store
        self.speaker = speaker
        self.nodes = RayNodePool(cluster, speaker.say)
        self.task = ray.remote(run_step)

    def carry(self, request: dict[str, Any]) -> None:
        """Have a step done by a node that has room; say how it ended."""
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
        except Exception as error:  # Ray's own, and whatever a node's task raised: the step did not fail, its run did
            self.nodes.rest(node, first_line(error))
            answer = self._lost(node, error, started)
        else:
            self.nodes.give_back(node)
        self.speaker.say({**asdict(answer), "id": request["id"]})

    def _lost(self, node: RayNode, error: Exception, started: float) -> WorkerExit:
        why = f"its run on node {node.name} was lost: {first_line(error)}"
        return WorkerExit(0, None, None, "", time.monotonic() - started, 0, lost=why)

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
        for name, digest, pieces in done.files:
            if (name not in BACK and not name.startswith("outputs/")) or ".." in Path(name).parts:
                raise DigestMismatchError(f"a step has no file '{name}'")
            get_file(pieces, folder / name, digest)
        return done.answer


def read_inputs(folder: Path, store: Store) -> Any:
    """(path in the folder, (digest, where the bytes lie)) of every file; folders have no digest and end in a slash."""
    blobs = store.root / "cas"
    for parent, folders, files in os.walk(folder, followlinks=True):
        place = Path(parent)
        for name in sorted(folders):
            yield f"{(place / name).relative_to(folder)}/", ("", place / name)
        for name in sorted(files):
            path = (place / name).resolve()
            digest = path.name if path.is_relative_to(blobs.resolve()) else store.stats.digest(path)
            yield str((place / name).relative_to(folder)), (digest, path)


def first_line(error: Exception) -> str:
    """The last thing that an error of Ray says is what happened; the rest is a stack, or advice."""
    cause = getattr(error, "cause", None) or error
    text = str(cause).strip().split("\n")[0]
    return f"{type(cause).__name__}: {text}"[:300]


def connect(address: str) -> None:
    """Join a cluster that is there; none is ever started. Raises MachineError."""
    where = address or os.environ.get("RAY_ADDRESS", "") or "auto"
    endpoint = re.fullmatch(r"(?:ray://)?(\[[^]]+\]|[^/:]+):(\d+)", where)
    try:
        if endpoint is not None:  # Ray itself would try for minutes
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
    """Until standard input ends, or the cluster has been silent for too long."""
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
    """The first line; byte by byte, so that nothing of the next one is taken."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or b"\n"
    settings: dict[str, Any] = json.loads(line)
    return settings


def main() -> None:
    """Connect, say so, serve, and leave the cluster as it was."""
    speaker = AnswerWriter(os.dup(1))
    os.dup2(2, 1)
    settings = read_settings()
    told = settings["cluster"]
    cluster = Cluster(**{**told, "resources": tuple((name, amount) for name, amount in told["resources"])})
    try:
        connect(cluster.address)
    except MachineError as error:
        speaker.fail(error)
        return
    gateway = RayGateway(cluster, Store(Path(settings["store"])), speaker)
    serve(gateway)
    leaving = threading.Thread(target=leave, args=(gateway,), daemon=True)
    leaving.start()
    leaving.join(FAREWELL_SECONDS)  # a cluster that is gone would keep it for longer
    sys.stderr.flush()
    os._exit(0)


def leave(gateway: RayGateway) -> None:
    """What is still at work ends with this."""
    gateway.nodes.close()
    ray.shutdown()


if __name__ == "__main__":
    main()
