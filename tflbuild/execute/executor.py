"""Plan -> StepResults: hits from the store, misses in the children of worker servers.

One thread, one loop. The executor knows no kind of step beyond its row in `steps.kinds`.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from tflbuild import interrupts
from tflbuild.core.digest import Json
from tflbuild.core.result import Failure, StepResult
from tflbuild.core.step import FileInput, Plan, Step, hash_action
from tflbuild.core.work import DISK_ADVICE, DISK_FULL, DISK_FULL_EXIT
from tflbuild.errors import MachineError
from tflbuild.execute.events import Event, Noticed, StepEnded, StepStarted, StepWaits
from tflbuild.execute.exchange import Exchange
from tflbuild.execute.server import Answer, WorkerServer
from tflbuild.steps.kinds import KINDS, LOG, Server
from tflbuild.storage.remote import Remote
from tflbuild.storage.store import Record, Store

LOCK_POLL_SECONDS = 0.05
INTERRUPT_POLL_SECONDS = 1.0


def input_digests(step: Step, results: Mapping[str, StepResult]) -> dict[str, str]:
    """What each input of a step is known by, once what comes before it is done."""
    digests = {}
    for port in step.inputs:
        if isinstance(port, FileInput):
            digests[port.name] = port.digest
        else:
            digests[port.name] = results[port.step_id].outputs[port.output]
    return digests


def result_of(step: Step, record: Record, status: Any) -> StepResult:
    """A record as a result: unstable outputs are known by what the step says they hold, else by its key."""
    kind = KINDS[step.kind]
    told = record.facts.get("content", {})
    outputs = {
        name: (told.get(name) or record.key) if name in kind.unstable else output.digest
        for name, output in record.outputs.items()
    }
    return StepResult(
        step_id=step.id,
        status=status,
        key=record.key,
        outputs=outputs,
        facts=record.facts,
        elapsed=record.elapsed,
        log=record.outputs[LOG].digest if LOG in record.outputs else "",
    )


@dataclass
class _Running:
    """A step that a child is working on."""

    step: Step
    key: str
    action: Mapping[str, Json]
    folder: Path
    lock: FileLock
    server: WorkerServer


class Executor:
    """Runs plans, one after another. Use it as a context manager: leaving it ends every process it started."""

    def __init__(
        self, store: Store, on_event: Callable[[Event], None], jobs: int | None = None, *, offline: bool = False
    ) -> None:
        self.store = store
        self.offline = offline
        self.on_event = on_event
        self.jobs = jobs or len(os.sched_getaffinity(0))
        self.scratch = store.open_scratch()
        self.servers: dict[Server, WorkerServer] = {}
        self.selector = selectors.DefaultSelector()
        self.running: dict[int, _Running] = {}
        self.results: dict[str, StepResult] = {}
        self.exchange: Exchange | None = None
        self._waiting: set[str] = set()
        self._missed: set[str] = set()  # looked up once; looked up again under the lock
        self._sent = 0

    @contextmanager
    def hiding(self, kinds: Collection[str]) -> Iterator[None]:
        """Steps of these kinds that run meanwhile are shown to no one."""
        shown = self.on_event
        self.on_event = lambda event: (
            shown(event) if isinstance(event, Noticed) or event.step.kind not in kinds else None
        )
        try:
            yield
        finally:
            self.on_event = shown

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for server in self.servers.values():
            server.close()
        for running in self.running.values():
            running.lock.release()
        try:
            if self.exchange is not None and kind is None:
                self.exchange.finish()
        finally:
            if self.exchange is not None:
                self.exchange.close()
            self.selector.close()
            self.scratch.close()

    def connect(self, remote: Remote, *, push: bool) -> None:
        """Ask a shared store from now on for what the local one lacks."""
        folder = self.scratch.folder / "incoming"
        self.exchange = Exchange(self.store, folder, remote, lambda event: self.on_event(event), push=push)
        self.selector.register(self.exchange, selectors.EVENT_READ)

    def warm_up(self, name: Server) -> None:
        """Start a server before it is needed."""
        if name not in self.servers:
            server = WorkerServer(name, self.scratch.folder)
            self.servers[name] = server
            self.selector.register(server, selectors.EVENT_READ)

    def execute(self, plan: Plan) -> dict[str, StepResult]:
        """Every step's result. A failed step's dependants are skipped; all else goes on.

        A step of an earlier plan is not done again: its result stands.
        """
        todo = {step_id: step for step_id, step in plan.steps.items() if step_id not in self.results}
        while todo or self.running:
            interrupts.check()
            blocked = self._advance(todo)
            if self.running or blocked or (self.exchange is not None and self.exchange.busy):
                self._collect(LOCK_POLL_SECONDS if blocked else INTERRUPT_POLL_SECONDS)
        return self.results

    def _advance(self, todo: dict[str, Step]) -> bool:
        """Start or settle what can be; True when a step waits for another process."""
        blocked = False
        for step_id, step in list(todo.items()):
            if any(upstream not in self.results for upstream in step.upstream()):
                continue
            if any(not self.results[upstream].ok for upstream in step.upstream()):
                self._end(step, StepResult(step_id=step_id, status="skipped"))
                del todo[step_id]
                continue
            action = step.action(input_digests(step, self.results))
            key = hash_action(action)
            origin = self.exchange.origin(key) if self.exchange is not None else ""
            record = self._find(step, key) if origin or step_id not in self._missed else None
            if record is not None:
                self._end(step, replace(result_of(step, record, "hit"), origin=origin))
                del todo[step_id]
                continue
            self._missed.add(step_id)
            if self.exchange is not None and self.exchange.fetching(step, key):
                continue
            if self.offline and KINDS[step.kind].network and not step.inputs:
                self._end(step, StepResult(step_id=step_id, status="failed", failure=_needs_network(step)))
                del todo[step_id]
                continue
            if len(self.running) >= self.jobs:
                continue
            if self._start(step, key, action):
                del todo[step_id]
                self._warm_up_quick(todo)
            else:
                blocked = True
        return blocked

    def _find(self, step: Step, key: str) -> Record | None:
        """The record of a key, unless it holds something else than the step expects."""
        record = self.store.find(key)
        return None if record is None or _unexpected(step, record) else record

    def _warm_up_quick(self, todo: Mapping[str, Step]) -> None:
        """LiteRT's server starts while TensorFlow's does; it costs little where it is not needed."""
        if any(KINDS[step.kind].server == "litert" for step in todo.values()):
            self.warm_up("litert")

    def _start(self, step: Step, key: str, action: Mapping[str, Json]) -> bool:
        lock = self.store.try_lock(key)
        if lock is None:
            if step.id not in self._waiting:
                self._waiting.add(step.id)
                self.on_event(StepWaits(step))
            return False
        record = self._find(step, key)  # the process that held the lock may have made it
        if record is not None:
            lock.release()
            self._end(step, result_of(step, record, "hit"))
            return True
        kind = KINDS[step.kind]
        self.warm_up(kind.server)
        server = self.servers[kind.server]
        self._sent += 1
        folder = self.scratch.folder / f"{self._sent:03}-{step.kind}"
        self._lay_out(step, folder)
        self.running[self._sent] = _Running(step, key, action, folder, lock, server)
        server.send(self._sent, kind.module, folder)
        self.on_event(StepStarted(step))
        return True

    def _lay_out(self, step: Step, folder: Path) -> None:
        (folder / "inputs").mkdir(parents=True)
        (folder / "outputs").mkdir()
        names: dict[str, str] = {}
        labels: dict[str, str] = {}
        for port in step.inputs:
            if isinstance(port, FileInput):
                source = Path(port.path)
                names[port.name] = f"{port.name}{source.suffix}"
                labels[port.name] = _short(source)
                _lay_out_file(port, folder / "inputs" / names[port.name])
                continue
            names[port.name] = f"{port.name}{Path(port.output).suffix}"
            labels[port.name] = port.label or port.output
            record = self.store.read(self.results[port.step_id].key)
            if record is None:
                raise MachineError(
                    "the store lost a result while it was used", where=str(self.store.root), next_step="build again"
                )
            self.store.lay_out(record.outputs[port.output], folder / "inputs" / names[port.name])
        request = {"params": dict(step.params), "inputs": names, "labels": labels, "section": step.section}
        (folder / "input.json").write_text(json.dumps(request))

    def _collect(self, timeout: float) -> None:
        for ready, _ in self.selector.select(timeout):
            server = ready.fileobj
            if isinstance(server, Exchange):
                server.receive()
                continue
            assert isinstance(server, WorkerServer)
            for answer in server.receive():
                self._settle(self.running.pop(answer.id), answer)

    def _settle(self, running: _Running, answer: Answer) -> None:
        try:
            failure, facts = read_answer(running.folder, answer)
            failure = failure or self._changed_inputs(running.step)
            if failure is not None:
                log = self._keep_log(running.folder)
                result = StepResult(
                    step_id=running.step.id, status="failed", elapsed=answer.seconds, log=log, failure=failure
                )
            else:
                result = self._publish(running, facts, answer)
        finally:
            running.lock.release()
        shutil.rmtree(running.folder, ignore_errors=True)
        self._end(running.step, result)

    def _changed_inputs(self, step: Step) -> Failure | None:
        for port in step.inputs:
            if isinstance(port, FileInput) and not _still(self.store, port):
                return Failure(
                    kind="recipe",
                    what=f"'{_short(Path(port.path))}' changed while it was used",
                    why="its bytes are not those that the plan was made for",
                    next_step="build again when it is written",
                )
        return None

    def _publish(self, running: _Running, facts: Mapping[str, Json], answer: Answer) -> StepResult:
        kind = KINDS[running.step.kind]
        outputs = {name: running.folder / "outputs" / name for name in kind.outputs}
        missing = [name for name, path in outputs.items() if not path.exists()]
        if missing:
            raise AssertionError(f"the worker '{kind.module}' left out {missing}")
        outputs[LOG] = running.folder / LOG
        measured = {**facts, "peak_bytes": answer.peak_bytes}
        step = running.step
        wrong = bool(step.expect)  # what stands there was not what is expected
        record = self.store.publish(running.key, running.action, outputs, measured, answer.seconds, replace=wrong)
        if unexpected := _unexpected(step, record):
            return StepResult(step_id=step.id, status="failed", failure=unexpected)
        if self.exchange is not None:
            self.exchange.send(step.kind, record)
        return result_of(step, record, "ran")

    def _keep_log(self, folder: Path) -> str:
        """The digest of a failed step's log; nothing else of it is kept."""
        path = folder / LOG
        return self.store.keep(path).digest if path.exists() else ""

    def _end(self, step: Step, result: StepResult) -> None:
        self.results[step.id] = result
        self.on_event(StepEnded(step, result))


def _unexpected(step: Step, record: Record) -> Failure | None:
    """Why a result is not the one that the recipe pins, when it is not."""
    for name, digest in step.expect:
        if record.outputs[name].digest != digest:
            return Failure(
                kind="recipe",
                what=f"'{step.params.get('handle', name)}' is not the model that the recipe pins",
                where="source.sha256",
                why=f"its digest is {record.outputs[name].digest}\npinned is     {digest}",
                next_step="find out why it changed before you pin the new one",
            )
    return None


def _needs_network(step: Step) -> Failure:
    return Failure(
        kind="environment",
        what=f"'{step.params.get('handle', '')}' is not in the store, and --offline forbids fetching it",
        where="source.handle",
        next_step="build once without --offline; what was fetched then stays in the store",
    )


def _lay_out_file(port: FileInput, place: Path) -> None:
    """A link; chosen files are copied, so that code which looks around itself sees nothing else."""
    if not port.files:
        place.symlink_to(port.path)
        return
    for name, path in port.files:
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, file)


def _still(store: Store, port: FileInput) -> bool:
    try:
        if port.files:
            return store.stats.digest_of_files({name: Path(path) for name, path in port.files}) == port.digest
        return store.stats.digest_of(Path(port.path)) == port.digest
    except OSError:
        return False


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return path.name


def _log_lines(folder: Path) -> list[str]:
    try:
        text = (folder / LOG).read_text(errors="replace")
    except OSError:
        return []
    return [line for line in text.split("\n") if line.strip()]


def read_answer(folder: Path, answer: Answer) -> tuple[Failure | None, dict[str, Json]]:
    """A failure, or the facts of a step that went well."""
    if answer.verdict:
        return Failure(kind="build", what="the step was ended", why=answer.verdict), {}
    if answer.signal is not None:
        return _killed(folder, answer.signal), {}
    if answer.exit == DISK_FULL_EXIT:
        return Failure(kind="environment", what=DISK_FULL, where=str(folder.parent), next_step=DISK_ADVICE), {}
    try:
        output = json.loads((folder / "output.json").read_text())
    except (OSError, ValueError):
        tail = _log_lines(folder)[-1:]
        what = f"the step ended with exit code {answer.exit} and no answer"
        return Failure(kind="build", what=what, why="".join(tail)), {}
    if "error" in output:
        return Failure(**output["error"]), {}
    return None, output["facts"]


def _killed(folder: Path, number: int) -> Failure:
    name = signal.Signals(number).name
    tail = "".join(_log_lines(folder)[-1:])
    hint = {
        "SIGKILL": "the system ends processes like this when memory runs out; free some and build again",
        "SIGSEGV": "this is a bug in native code; another engine or op set may avoid it",
        "SIGABRT": "native code gave up on the model; another engine or op set may avoid it",
    }.get(name, "")
    return Failure(kind="build", what=f"the step's process was ended by {name}", why=tail[:400], next_step=hint)
