"""Code that runs on the nodes of a Ray cluster: each step is a task, and an actor owns the worker servers of a node.

The inputs of a step are sent as blobs, and stay in the store of the node. Its outputs are sent back in chunks.
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

# The size of the chunks in which files are sent through Ray's object store.
CHUNK_BYTES = 64 << 20
REQUEST = "input.json"
# The files in a step's folder that are sent back in addition to `outputs/`.
RETURNED_FILES = ("output.json", LOG)

# References to the chunks of a file in Ray's object store, in order.
ChunkRefs = list[Any]


@dataclass(frozen=True)
class NodeTask:
    """A step as it is sent to a node.

    `inputs` contains (path in the folder, digest) of each file and folder. The path of a folder ends in a slash.
    """

    server: Server
    module: str
    seconds: float | None
    request: str
    inputs: tuple[tuple[str, str], ...]
    store: str


@dataclass(frozen=True)
class NodeTaskResult:
    """The result of a step on a node. `files` contains (path in the folder, digest, chunks) of each file."""

    answer: WorkerExit
    files: tuple[tuple[str, str, ChunkRefs], ...]


class DigestMismatchError(Exception):
    """A file that arrived with other bytes than were sent."""


def describe() -> Toolchains:
    """Return the version of tflbuild and the toolchain of every step kind on this machine."""
    return {"": {"tflbuild": __version__}, **toolchains()}


def open_store(root: str) -> Store:
    """Return the store of this machine: in the folder `root`, or the user's store for ""."""
    return Store(Path(root) if root else store_root())


def put_file(path: Path) -> ChunkRefs:
    """Put a file into Ray's object store, and return the references to its chunks."""
    chunks = []
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            chunks.append(ray.put(chunk))
    return chunks


def get_file(chunks: ChunkRefs, path: Path, digest: str) -> None:
    """Write a file from Ray's object store.

    Raises:
        DigestMismatchError: The file has another digest.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(ray.get(chunk))
    if (actual := hash_file(path)) != digest:
        raise DigestMismatchError(f"{path.name} had the digest {digest[:12]} when sent, and {actual[:12]} on arrival")


class _WarmServer:
    """A worker server (`runtime.worker_server`) that several threads may use."""

    def __init__(self, name: Server, folder: Path) -> None:
        self.server = WorkerServerProcess(name, folder)
        self.gone: MachineError | None = None
        self._lock = threading.Lock()
        self._waiting: dict[int, SimpleQueue[WorkerExit | MachineError]] = {}
        self._asked = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, module: str, folder: Path, seconds: float | None) -> WorkerExit:
        """Run a step and return how it ended.

        Raises:
            MachineError: The server has ended.
        """
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
    """The actor of a node, which keeps the worker servers running between steps."""

    def __init__(self, root: str) -> None:
        self.store = open_store(root)
        self.scratch = self.store.open_scratch()
        self._servers: dict[Server, _WarmServer] = {}
        self._lock = threading.Lock()

    def describe(self) -> Toolchains:
        """Return the version of tflbuild and the toolchains of this node."""
        return describe()

    def lacking(self, digests: Sequence[str]) -> list[str]:
        """Return the digests of the blobs that the store of this node lacks."""
        return [digest for digest in digests if not self.store.has(digest)]

    def run(self, server: Server, module: str, folder: str, seconds: float | None) -> WorkerExit:
        """Run a step in a worker, and return how it ended.

        Raises:
            MachineError: The worker server has ended.
        """
        with self._lock:
            warm = self._servers.get(server)
            if warm is None or warm.gone is not None:
                warm = self._servers[server] = _WarmServer(server, self.scratch.folder)
        return warm.ask(module, Path(folder), seconds)

    def close(self) -> None:
        """End the worker servers and remove their folder."""
        with self._lock:
            for warm in self._servers.values():
                warm.server.close()
            self.scratch.close()


def run_step(work: NodeTask, keeper: Any, blobs: Mapping[str, ChunkRefs]) -> NodeTaskResult:
    """Run a step on this node: store the blobs that were sent, make its folder, run it, and send its outputs back."""
    store = open_store(work.store)
    scratch = store.open_scratch()
    try:
        for digest, chunks in blobs.items():
            path = scratch.folder / digest
            get_file(chunks, path, digest)
            store.add_blob(path, digest)
        folder = scratch.folder / work.module
        lay_out(work, folder, store)
        reference = keeper.run.remote(work.server, work.module, str(folder), work.seconds)
        # ray.get would release the CPUs of this task while it waits.
        answer = reference.future().result()
        files = [folder / name for name in RETURNED_FILES if (folder / name).exists()]
        files += walk_files(folder / "outputs")
        sent = [(str(file.relative_to(folder)), hash_file(file), put_file(file)) for file in files]
        return NodeTaskResult(answer, tuple(sent))
    finally:
        scratch.close()


def lay_out(work: NodeTask, folder: Path, store: Store) -> None:
    """Make the folder of a step, with links to blobs as inputs.

    Raises:
        FileNotFoundError: The store of this node lacks a blob.
    """
    (folder / "inputs").mkdir(parents=True)
    (folder / "outputs").mkdir()
    (folder / REQUEST).write_text(work.request)
    for name, digest in work.inputs:
        path = folder / "inputs" / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif store.has(digest):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(store.blob(digest))
        else:
            raise FileNotFoundError(f"the node's store lost {digest}")
