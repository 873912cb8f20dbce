"""What runs on the nodes of a Ray cluster: steps are tasks, a node's warm servers belong to an actor.

What a step reads comes as blobs, by digest, and stays in the node's store; what it made goes back in pieces.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import ray

from tflbuild import __version__
from tflbuild.core.step_kind import Server
from tflbuild.core.untrusted_files import hash_file
from tflbuild.errors import MachineError
from tflbuild.execute.events import Notice
from tflbuild.execute.worker_process import WorkerExit, WorkerServerProcess
from tflbuild.locations import store_root
from tflbuild.registry.step_kinds import LOG
from tflbuild.resolve.toolchain import Toolchains, toolchains
from tflbuild.storage.digest_cache import walk_files
from tflbuild.storage.store import Store

PIECE_BYTES = 64 << 20  # of a file, through Ray's object store
REQUEST = "input.json"
BACK = ("output.json", LOG)  # what comes back of a step's folder, beside `outputs/`

Pieces = list[Any]  # references to the parts of a file, in order


@dataclass(frozen=True)
class NodeTask:
    """A step as a node gets it. `inputs` are (path in the folder, digest); a folder ends in a slash."""

    server: Server
    module: str
    seconds: float | None
    request: str
    inputs: tuple[tuple[str, str], ...]
    store: str


@dataclass(frozen=True)
class NodeTaskResult:
    """How it ended, and its files: (path in the folder, digest, pieces)."""

    answer: WorkerExit
    files: tuple[tuple[str, str, Pieces], ...]


class DigestMismatchError(Exception):
    """Bytes arrived that are not those that were sent."""


def describe() -> Toolchains:
    """What results depend on, on this machine: of tflbuild itself and of every kind of step."""
    return {"": {"tflbuild": __version__}, **toolchains()}


def open_store(root: str) -> Store:
    """The store of the machine that this runs on."""
    return Store(Path(root) if root else store_root())


def put_file(path: Path) -> Pieces:
    """A file, into Ray's object store."""
    pieces = []
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            pieces.append(ray.put(piece))
    return pieces


def get_file(pieces: Pieces, path: Path, digest: str) -> None:
    """A file, out of it. Raises CorruptError when it has another digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(ray.get(piece))
    if (found := hash_file(path)) != digest:
        raise DigestMismatchError(f"{path.name} was {digest[:12]} when it was sent, and {found[:12]} when it came")


class _WarmServer:
    """A worker server (`runtime.worker_server`), and those who wait for its answers."""

    def __init__(self, name: Server, folder: Path) -> None:
        self.server = WorkerServerProcess(name, folder)
        self.gone: MachineError | None = None
        self._lock = threading.Lock()
        self._waiting: dict[int, SimpleQueue[WorkerExit | MachineError]] = {}
        self._asked = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, module: str, folder: Path, seconds: float | None) -> WorkerExit:
        """Have one step done. Raises MachineError when the server is gone."""
        answers: SimpleQueue[WorkerExit | MachineError] = SimpleQueue()
        with self._lock:
            if self.gone is not None:
                raise self.gone
            self._asked += 1
            self._waiting[self._asked] = answers
            self.server.send(self._asked, module, folder, seconds)
        answer = answers.get()
        if isinstance(answer, MachineError):
            raise answer
        return answer

    def _listen(self) -> None:
        try:
            while True:
                for answer in self.server.receive():
                    if not isinstance(answer, Notice):
                        with self._lock:
                            waiting = self._waiting.pop(answer.id)
                        waiting.put(answer)
        except MachineError as error:
            with self._lock:
                self.gone = error
                for answers in self._waiting.values():
                    answers.put(error)
            self.server.close()


class NodeActor:
    """The actor of a node: it keeps servers warm from step to step."""

    def __init__(self, root: str) -> None:
        self.store = open_store(root)
        self.scratch = self.store.open_scratch()
        self._servers: dict[Server, _WarmServer] = {}
        self._lock = threading.Lock()

    def describe(self) -> Toolchains:
        return describe()

    def lacking(self, digests: Sequence[str]) -> list[str]:
        """The blobs that this node's store has not."""
        return [digest for digest in digests if not self.store.has(digest)]

    def run(self, server: Server, module: str, folder: str, seconds: float | None) -> WorkerExit:
        """One step, in a child of a warm server. Raises MachineError when the server is gone."""
        with self._lock:
            warm = self._servers.get(server)
            if warm is None or warm.gone is not None:
                warm = self._servers[server] = _WarmServer(server, self.scratch.folder)
        return warm.ask(module, Path(folder), seconds)

    def close(self) -> None:
        """End the servers, and leave nothing behind."""
        with self._lock:
            for warm in self._servers.values():
                warm.server.close()
            self.scratch.close()


def run_step(work: NodeTask, keeper: Any, blobs: Mapping[str, Pieces]) -> NodeTaskResult:
    """The task: take what came, lay the step out, have it done, send back what it made."""
    store = open_store(work.store)
    scratch = store.open_scratch()
    try:
        for digest, pieces in blobs.items():
            path = scratch.folder / digest
            get_file(pieces, path, digest)
            store.add_blob(path, digest)
        folder = scratch.folder / work.module
        lay_out(work, folder, store)
        asked = keeper.run.remote(work.server, work.module, str(folder), work.seconds)
        answer = asked.future().result()  # ray.get would give this task's CPUs away meanwhile
        files = [folder / name for name in BACK if (folder / name).exists()]
        files += walk_files(folder / "outputs")
        sent = [(str(file.relative_to(folder)), hash_file(file), put_file(file)) for file in files]
        return NodeTaskResult(answer, tuple(sent))
    finally:
        scratch.close()


def lay_out(work: NodeTask, folder: Path, store: Store) -> None:
    """The folder that a child finds, its inputs links to blobs. Raises FileNotFoundError where one lacks."""
    (folder / "inputs").mkdir(parents=True)
    (folder / "outputs").mkdir()
    (folder / REQUEST).write_text(work.request)
    for name, digest in work.inputs:
        place = folder / "inputs" / name
        if name.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        elif store.has(digest):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(store.blob(digest))
        else:
            raise FileNotFoundError(f"the node's store lost {digest}")
