"""Plan -> StepResults: hits from the store, misses in the children of worker servers.

One thread, one loop. The executor knows no kind of step beyond its row in `registry.step_kinds`.
"""

from __future__ import annotations

import selectors
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from tflbuild import interrupts
from tflbuild.core.cpu_dependence import add_cpu_dependence
from tflbuild.core.digest import Json
from tflbuild.core.remote_cache_settings import DEFAULT_SECONDS
from tflbuild.core.secrets import hide_json
from tflbuild.core.step import Action, Plan, Step
from tflbuild.core.step_result import Failure, StepResult
from tflbuild.execute.answer_reader import (
    describe_pin_mismatch,
    find_missing,
    find_special_files,
    needs_network,
    read_answer,
    redact_file,
)
from tflbuild.execute.cache_lookup import find_record, input_digests, list_inherited_origins, result_of
from tflbuild.execute.events import Event, Notice, StepAdvanced, StepEnded, StepRetried, StepStarted, StepWaiting
from tflbuild.execute.memory_budget import MemoryBudget
from tflbuild.execute.remote_cache import RemoteCache
from tflbuild.execute.run_limits import Limits, count_cores, measure_free_memory
from tflbuild.execute.signing_keys import open_signatures
from tflbuild.execute.step_folder import changed_input, input_bytes, make_step_folder, read_progress
from tflbuild.execute.worker_process import RemoteExecutor, ServerDiedError, StepServer, WorkerExit, WorkerServerProcess
from tflbuild.registry.step_kinds import KINDS, LOG
from tflbuild.storage.remote_storage import RemoteStorage
from tflbuild.storage.store import Store

LOCK_POLL_SECONDS = 0.05
INTERRUPT_POLL_SECONDS = 1.0
MOST_DEATHS = 3  # of a server, before it is given up


@dataclass
class _Running:
    """A step that a child is working on."""

    step: Step
    actions: tuple[Action, ...]
    folder: Path
    lock: FileLock
    server: StepServer
    input_bytes: int
    share: float | None = None  # of its work that was done when it was last looked at


class Executor:
    """Runs plans, one after another. Use it as a context manager: leaving it ends every process it started."""

    def __init__(self, store: Store, on_event: Callable[[Event], None], limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.on_event = on_event
        self.jobs = limits.jobs or count_cores()
        self.memory = MemoryBudget(limits.memory or measure_free_memory(), store.root / "memory.json")
        self.scratch = store.open_scratch()
        self.elsewhere: RemoteExecutor | None = None
        self.servers: dict[str, StepServer] = {}
        self.selector = selectors.DefaultSelector()
        self.running: dict[int, _Running] = {}
        self.results: dict[str, StepResult] = {}
        self._todo: dict[str, Step] = {}
        self.exchange: RemoteCache | None = None
        self._waiting: set[str] = set()
        self._actions: dict[str, tuple[Action, ...]] = {}  # of steps whose inputs are known
        self._missed: set[str] = set()  # looked up once; looked up again under the lock
        self._retried: set[str] = set()
        self._kept_here: set[str] = set()  # steps that no other machine may run
        self._deaths: Counter[str] = Counter()
        self._noticed: set[str] = set()
        self._sent = 0
        self._stopping = False

    @contextmanager
    def hiding(self, kinds: Collection[str]) -> Iterator[None]:
        """Steps of these kinds that run meanwhile are shown to no one."""
        shown = self.on_event
        self.on_event = lambda event: (
            shown(event) if isinstance(event, Notice) or event.step.kind not in kinds else None
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
            self.memory.save()
            self.scratch.close()

    def connect(self, remote: RemoteStorage, *, push: bool, seconds: float = DEFAULT_SECONDS) -> None:
        """Ask a shared store from now on for what the local one lacks, and wait for it that long in all.

        Raises MachineError for keys that cannot be read.
        """
        folder = self.scratch.folder / "incoming"
        self.exchange = RemoteCache(
            self.store,
            folder,
            remote,
            lambda event: self.on_event(event),
            push=push,
            seconds=seconds,
            signatures=open_signatures(),
        )
        self.selector.register(self.exchange, selectors.EVENT_READ)

    def warm_up(self, step: Step) -> StepServer:
        """The server of a step, started unless it is there."""
        away = self._elsewhere(step)
        name = KINDS[step.kind].server if away is None else away.name
        if name not in self.servers:
            folder = self.scratch.folder
            server = (
                WorkerServerProcess(KINDS[step.kind].server, folder) if away is None else away.open(self.store, folder)
            )
            self.servers[name] = server
            self.selector.register(server, selectors.EVENT_READ)
        return self.servers[name]

    def _elsewhere(self, step: Step) -> RemoteExecutor | None:
        """Where a step runs, None for here."""
        if self.elsewhere is None or step.id in self._kept_here:
            return None
        return self.elsewhere if self.elsewhere.takes(step) else None

    def _occupied(self, away: RemoteExecutor | None) -> bool:
        """Whether no more steps may start there, or here."""
        at_work = sum(self._elsewhere(running.step) is away for running in self.running.values())
        return at_work >= (self.jobs if away is None else away.slots)

    def execute(self, plan: Plan) -> dict[str, StepResult]:
        """Every step's result. A failed step's dependants are skipped; all else goes on.

        A step of an earlier plan is not done again: its result stands.
        """
        self._todo = {step_id: step for step_id, step in plan.steps.items() if step_id not in self.results}
        while self._todo or self.running:
            interrupts.check()
            blocked = self._advance()
            if self.running or blocked or (self.exchange is not None and self.exchange.busy):
                self._collect(LOCK_POLL_SECONDS if blocked else INTERRUPT_POLL_SECONDS)
                self._tell_progress()
        return self.results

    def _advance(self) -> bool:
        """Start or settle what can be; True when a step waits for another process."""
        blocked = False
        full: set[RemoteExecutor | None] = set()
        for step in sorted(self._todo.values(), key=lambda one: KINDS[one.kind].timed):
            if any(upstream not in self.results for upstream in step.upstream()):
                continue
            ready = self._foregone(step)
            if ready is not None:
                self._end(step, ready)
                continue
            if self.exchange is not None and self._fetching(step, self.exchange):
                continue
            away = self._elsewhere(step)
            if away in full or self._occupied(away):
                continue
            need, size = self._need(step)
            if away is None and not self.memory.fits(need):
                full.add(away)  # no smaller one may overtake it, or it might never run
            elif self._start(step, need, size):
                self._warm_up_quick()
            else:
                blocked = True
        return blocked

    def _foregone(self, step: Step) -> StepResult | None:
        """The result of a step that need not run, or must not."""
        skipped = StepResult(step_id=step.id, status="skipped")
        if any(not self.results[upstream].ok for upstream in step.upstream()):
            return skipped
        actions = self._list_actions(step)
        brought = self.exchange is not None and any(self.exchange.origin(action.key) for action in actions)
        if brought or step.id not in self._missed:
            record = find_record(step, actions, self.store)
            if record is not None:
                origin = self.exchange.origin(record.key) if self.exchange is not None else ""
                return replace(result_of(step, record, "hit"), origin=origin)
            self._missed.add(step.id)
        if self._stopping:
            return skipped
        if self.limits.offline and KINDS[step.kind].network and not step.inputs:
            return StepResult(step_id=step.id, status="failed", failure=needs_network(step))
        return None

    def _list_actions(self, step: Step) -> tuple[Action, ...]:
        """Return the actions of a step whose inputs are known."""
        if step.id not in self._actions:
            self._actions[step.id] = step.list_actions(input_digests(step, self.results))
        return self._actions[step.id]

    def _fetching(self, step: Step, exchange: RemoteCache) -> bool:
        """Whether a result may still come. The next action is asked for once the shared store lacks the one before."""
        return any(exchange.fetching(step, action.key) for action in self._list_actions(step))

    def _need(self, step: Step) -> tuple[int, int]:
        """The memory that a step is expected to take, and the size of its inputs, in bytes."""
        size = input_bytes(step, self.store, self.results)
        alone = KINDS[step.kind].timed or step.id in self._retried  # which it may have been memory that ended
        return (self.memory.total if alone else self.memory.estimate(step.kind, size)), size

    def _warm_up_quick(self) -> None:
        """LiteRT's server starts while TensorFlow's does; it costs little where it is not needed."""
        quick = (step for step in self._todo.values() if KINDS[step.kind].server == "litert")
        if self.elsewhere is None and (step := next(quick, None)) is not None:
            self.warm_up(step)

    def _start(self, step: Step, need: int, size: int) -> bool:
        """Hand a step to its server; False while another process has it."""
        actions = self._list_actions(step)
        lock = self.store.try_lock(actions[0].key)
        if lock is None:
            if step.id not in self._waiting:
                self._waiting.add(step.id)
                self.on_event(StepWaiting(step))
            return False
        record = find_record(step, actions, self.store)  # the process that held the lock may have made it
        if record is not None:
            lock.release()
            self._end(step, result_of(step, record, "hit"))
            return True
        kind = KINDS[step.kind]
        server = self.warm_up(step)
        self._sent += 1
        folder = self.scratch.folder / f"{self._sent:03}-{step.kind}"
        make_step_folder(step, folder, self.store, self.results)
        self.running[self._sent] = _Running(step, actions, folder, lock, server, size)
        if self._elsewhere(step) is None:
            self.memory.hold(self._sent, need)
        del self._todo[step.id]
        self.on_event(StepStarted(step))
        try:
            server.send(self._sent, kind.module, folder, self.limits.seconds or step.seconds)
        except ServerDiedError as error:
            self._lose(server, error)
        return True

    def _collect(self, timeout: float) -> None:
        for ready, _ in self.selector.select(timeout):
            server = ready.fileobj
            if isinstance(server, RemoteCache):
                server.receive()
                continue
            assert isinstance(server, StepServer)
            try:
                answers = server.receive()
            except ServerDiedError as error:
                self._lose(server, error)
                continue
            for answer in answers:
                if isinstance(answer, Notice):
                    self._notice(answer)
                else:
                    self._settle(answer)

    def _notice(self, notice: Notice) -> None:
        """Pass on what a person should see, once: each server may say the same."""
        if notice.text not in self._noticed:
            self._noticed.add(notice.text)
            self.on_event(notice)

    def _tell_progress(self) -> None:
        for running in self.running.values():
            share = read_progress(running.folder)
            if share != running.share:
                running.share = share
                self.on_event(StepAdvanced(running.step, share or 0.0))

    def _lose(self, server: StepServer, error: ServerDiedError) -> None:
        """A server is gone, and its children with it: begin again. Raises the error when that happens too often."""
        self._deaths[server.name] += 1
        if self._deaths[server.name] >= MOST_DEATHS:
            raise error
        self.selector.unregister(server)
        del self.servers[server.name]
        server.close()
        failure = Failure(kind="environment", what=error.what, why=error.why, next_step=error.next_step)
        for number, running in list(self.running.items()):
            if running.server is server:
                self._retry(self._leave(number), failure)

    def _leave(self, number: int) -> _Running:
        """Take a step out of those that run; its lock is still held."""
        self.memory.release(number)
        return self.running.pop(number)

    def _retry(self, running: _Running, failure: Failure) -> None:
        """What the machine did to a step is tried once more, with nothing beside it; then it is a failure."""
        step = running.step
        if step.id not in self._retried:
            self._retried.add(step.id)
            self._return(running, failure.what)
            return
        running.lock.release()
        shutil.rmtree(running.folder, ignore_errors=True)
        self._end(step, StepResult(step_id=step.id, status="failed", failure=failure))

    def _run_here(self, running: _Running) -> None:
        """Do a step again on this machine: its result depends on the CPU, and the CPU that made it is another's."""
        self._return(running, "its result depends on the CPU, so it runs on this machine")
        self._kept_here.add(running.step.id)

    def _return(self, running: _Running, why: str) -> None:
        """Put a step that was begun back among those to be done."""
        running.lock.release()
        shutil.rmtree(running.folder, ignore_errors=True)
        self._todo = {running.step.id: running.step, **self._todo}
        self.on_event(StepRetried(running.step, why))

    def _settle(self, answer: WorkerExit) -> None:
        running = self._leave(answer.id)
        step = running.step
        if not answer.lost:
            self.memory.learn(step.kind, running.input_bytes, answer.peak_bytes)
        failure, facts = read_answer(running.folder, answer)
        if failure is not None and failure.transient and step.id not in self._retried:
            self._retry(running, failure)
            return
        if facts.get("tied") and self._elsewhere(step) is not None:
            self._run_here(running)
            return
        try:
            failure = failure or changed_input(step, self.store) or find_missing(step, running.folder)
            failure = failure or find_special_files(running.folder)
            if failure is not None:
                log = self._keep_log(running.folder)
                result = StepResult(step_id=step.id, status="failed", elapsed=answer.seconds, log=log, failure=failure)
            else:
                result = self._publish(running, facts, answer)
        finally:
            running.lock.release()
        shutil.rmtree(running.folder, ignore_errors=True)
        self._end(step, result)

    def _publish(self, running: _Running, facts: Mapping[str, Json], answer: WorkerExit) -> StepResult:
        kind = KINDS[running.step.kind]
        outputs = {name: running.folder / "outputs" / name for name in kind.outputs}
        outputs[LOG] = running.folder / LOG
        redact_file(outputs[LOG])
        step = running.step
        measured = add_cpu_dependence({**hide_json(facts), "peak_bytes": answer.peak_bytes}, step.ties)
        action = running.actions[-1 if "tied" in measured else 0]
        pinned = bool(step.expect)  # what stands there was not what is expected
        origins = list_inherited_origins(step, self.results)
        record = self.store.publish(
            action.key, action.content, outputs, measured, answer.seconds, replace=pinned, origins=origins
        )
        if wrong := describe_pin_mismatch(step, record):
            return StepResult(step_id=step.id, status="failed", failure=wrong)
        if self.exchange is not None:
            self.exchange.send(step.kind, record)
        return result_of(step, record, "ran")

    def _keep_log(self, folder: Path) -> str:
        """The digest of a failed step's log; nothing else of it is kept."""
        path = folder / LOG
        redact_file(path)
        return self.store.keep(path).digest if path.is_file() and not path.is_symlink() else ""

    def _end(self, step: Step, result: StepResult) -> None:
        self._todo.pop(step.id, None)
        self.results[step.id] = result
        self._stopping = self._stopping or (self.limits.fail_fast and result.status == "failed")
        self.on_event(StepEnded(step, result))
