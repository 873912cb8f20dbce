"""The executor: takes the results of a plan's steps from the store, and runs the other steps in workers.

It is a loop in a single thread. Everything that it knows about a step kind is its row in `registry.step_kinds`.
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
from tflbuild.core.digest import Json
from tflbuild.core.remote_cache_settings import DEFAULT_SECONDS
from tflbuild.core.step import Action, Plan, Step
from tflbuild.core.step_result import Failure, StepResult
from tflbuild.execute.answer_reader import describe_offline_failure, describe_pin_mismatch, read_answer
from tflbuild.execute.cache_lookup import find_record, input_digests, list_inherited_origins, make_result
from tflbuild.execute.events import Event, Notice, StepAdvanced, StepEnded, StepRetried, StepStarted, StepWaiting
from tflbuild.execute.memory_budget import MemoryBudget
from tflbuild.execute.remote_cache import RemoteCache
from tflbuild.execute.run_limits import Limits, count_cores, measure_free_memory
from tflbuild.execute.signing_keys import open_signatures
from tflbuild.execute.step_folder import make_step_folder, read_progress, sum_input_bytes
from tflbuild.execute.step_outputs import check_outputs, store_log, store_outputs
from tflbuild.execute.worker_process import RemoteExecutor, ServerDiedError, StepServer, WorkerExit, WorkerServerProcess
from tflbuild.registry.step_kinds import KINDS
from tflbuild.storage.remote_storage import RemoteStorage
from tflbuild.storage.store import Store

LOCK_POLL_SECONDS = 0.05
INTERRUPT_POLL_SECONDS = 1.0
# After so many deaths of the same worker server, the run ends with an error.
MAX_SERVER_DEATHS = 3


@dataclass
class _RunningStep:
    """A step that a worker is running. `fraction` is its progress when it was last read, from 0 to 1."""

    step: Step
    actions: tuple[Action, ...]
    folder: Path
    lock: FileLock
    server: StepServer
    input_bytes: int
    fraction: float | None = None


class Executor:
    """The part that runs plans, one after another.

    Use it as a context manager: at the end of the block, every process that it started is killed.

    Args:
        store: The store that results are read from and written to.
        on_event: Receives the events of the run, in the thread that calls `execute`.
        limits: The limits of the run.
    """

    def __init__(self, store: Store, on_event: Callable[[Event], None], limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self.on_event = on_event
        self.jobs = limits.jobs or count_cores()
        self.memory = MemoryBudget(limits.memory or measure_free_memory(), store.root / "memory.json")
        self.scratch = store.open_scratch()
        self.remote_executor: RemoteExecutor | None = None
        self.servers: dict[str, StepServer] = {}
        self.selector = selectors.DefaultSelector()
        self.running: dict[int, _RunningStep] = {}
        self.results: dict[str, StepResult] = {}
        self._todo: dict[str, Step] = {}
        self.remote_cache: RemoteCache | None = None
        # Ids of steps whose lock another process holds, after that was reported.
        self._waiting: set[str] = set()
        # The actions of steps whose inputs are known, by step id.
        self._actions: dict[str, tuple[Action, ...]] = {}
        # Ids of steps that are not in the store. They are looked up once more when their lock is held.
        self._missed: set[str] = set()
        self._retried: set[str] = set()
        # Ids of steps that must run on this machine.
        self._local_only: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._reported_notices: set[str] = set()
        self._sent = 0
        self._stopping = False

    @contextmanager
    def hide_steps(self, kinds: Collection[str]) -> Iterator[None]:
        """Suppress the events of steps of these kinds while the block runs. Notices are still emitted."""
        on_event = self.on_event
        self.on_event = lambda event: (
            on_event(event) if isinstance(event, Notice) or event.step.kind not in kinds else None
        )
        try:
            yield
        finally:
            self.on_event = on_event

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for server in self.servers.values():
            server.close()
        for running in self.running.values():
            running.lock.release()
        try:
            if self.remote_cache is not None and kind is None:
                self.remote_cache.finish()
        finally:
            if self.remote_cache is not None:
                self.remote_cache.close()
            self.selector.close()
            self.memory.save()
            self.scratch.close()

    def connect(self, remote: RemoteStorage, *, push: bool, seconds: float = DEFAULT_SECONDS) -> None:
        """Use a remote cache from now on for results that the local store does not have.

        Args:
            remote: The server.
            push: Upload new results to it.
            seconds: The total time that the run may wait for the server.

        Raises:
            MachineError: A key that signs or checks records cannot be read.
        """
        folder = self.scratch.folder / "incoming"
        keys = open_signatures()
        self.remote_cache = RemoteCache(
            self.store, folder, remote, lambda event: self.on_event(event), push=push, seconds=seconds, signatures=keys
        )
        self.selector.register(self.remote_cache, selectors.EVENT_READ)

    def warm_up(self, step: Step) -> StepServer:
        """Return the server that runs a step. It is started if it does not run yet."""
        cluster = self._choose_cluster(step)
        local_name = KINDS[step.kind].server
        name = local_name if cluster is None else cluster.name
        if name not in self.servers:
            folder = self.scratch.folder
            server = WorkerServerProcess(local_name, folder) if cluster is None else cluster.open(self.store, folder)
            self.servers[name] = server
            self.selector.register(server, selectors.EVENT_READ)
        return self.servers[name]

    def _choose_cluster(self, step: Step) -> RemoteExecutor | None:
        """Return the cluster on which a step runs, None for this machine."""
        if self.remote_executor is None or step.id in self._local_only:
            return None
        return self.remote_executor if self.remote_executor.accepts(step) else None

    def _is_full(self, cluster: RemoteExecutor | None) -> bool:
        """Return whether no further step may start on a cluster, or on this machine for None."""
        count = sum(self._choose_cluster(running.step) is cluster for running in self.running.values())
        return count >= (self.jobs if cluster is None else cluster.slots)

    def execute(self, plan: Plan) -> dict[str, StepResult]:
        """Run a plan and return the result of every step by its id, including the steps of earlier plans.

        If a step fails, the steps that depend on it are skipped, and all other steps still run. A step that an
        earlier plan has run does not run again.

        Raises:
            MachineError: A worker server cannot start, or dies repeatedly, or the store has lost a result.
        """
        self._todo = {step_id: step for step_id, step in plan.steps.items() if step_id not in self.results}
        while self._todo or self.running:
            interrupts.check()
            blocked = self._advance()
            if self.running or blocked or (self.remote_cache is not None and self.remote_cache.busy):
                self._collect(LOCK_POLL_SECONDS if blocked else INTERRUPT_POLL_SECONDS)
                self._report_progress()
        return self.results

    def _advance(self) -> bool:
        """Start or finish every step that is ready. Returns whether a step waits for another process."""
        blocked = False
        full: set[RemoteExecutor | None] = set()
        # Steps that measure time come last: they run with nothing else, and so delay everything after them.
        for step in sorted(self._todo.values(), key=lambda step: KINDS[step.kind].timed):
            if any(upstream not in self.results for upstream in step.upstream()):
                continue
            result = self._result_without_running(step)
            if result is not None:
                self._end(step, result)
                continue
            if self.remote_cache is not None and self._is_requested(step, self.remote_cache):
                continue
            cluster = self._choose_cluster(step)
            if cluster in full or self._is_full(cluster):
                continue
            peak, input_bytes = self._estimate_memory(step)
            if cluster is None and not self.memory.fits(peak):
                # No smaller step may overtake this one, or it might never run.
                full.add(cluster)
            elif self._start(step, peak, input_bytes):
                self._warm_up_litert()
            else:
                blocked = True
        return blocked

    def _result_without_running(self, step: Step) -> StepResult | None:
        """Return the result of a step that need not or must not run, None for a step that must run."""
        skipped = StepResult(step_id=step.id, status="skipped")
        if any(not self.results[upstream].ok for upstream in step.upstream()):
            return skipped
        actions = self._list_actions(step)
        downloaded = self.remote_cache is not None and any(self.remote_cache.origin(action.key) for action in actions)
        if downloaded or step.id not in self._missed:
            record = find_record(step, actions, self.store)
            if record is not None:
                origin = self.remote_cache.origin(record.key) if self.remote_cache is not None else ""
                return replace(make_result(step, record, "hit"), origin=origin)
            self._missed.add(step.id)
        if self._stopping:
            return skipped
        if self.limits.offline and KINDS[step.kind].network and not step.inputs:
            return StepResult(step_id=step.id, status="failed", failure=describe_offline_failure(step))
        return None

    def _list_actions(self, step: Step) -> tuple[Action, ...]:
        """Return the actions of a step whose inputs are known."""
        if step.id not in self._actions:
            self._actions[step.id] = step.list_actions(input_digests(step, self.results))
        return self._actions[step.id]

    def _is_requested(self, step: Step, remote_cache: RemoteCache) -> bool:
        """Request a result, one action after another, and return whether it may still arrive."""
        return any(remote_cache.request(step, action.key) for action in self._list_actions(step))

    def _estimate_memory(self, step: Step) -> tuple[int, int]:
        """Return the expected memory peak of a step and the size of its inputs, in bytes."""
        input_bytes = sum_input_bytes(step, self.store, self.results)
        # A step that is retried may have failed because memory ran out, so nothing else runs at the same time.
        exclusive = KINDS[step.kind].timed or step.id in self._retried
        return (self.memory.total if exclusive else self.memory.estimate(step.kind, input_bytes)), input_bytes

    def _warm_up_litert(self) -> None:
        """Start LiteRT's server while TensorFlow's server starts, if a later step needs it."""
        steps = (step for step in self._todo.values() if KINDS[step.kind].server == "litert")
        if self.remote_executor is None and (step := next(steps, None)) is not None:
            self.warm_up(step)

    def _start(self, step: Step, peak: int, input_bytes: int) -> bool:
        """Send a step to its server. Returns False if another process is running it."""
        actions = self._list_actions(step)
        lock = self.store.try_lock(actions[0].key)
        if lock is None:
            if step.id not in self._waiting:
                self._waiting.add(step.id)
                self.on_event(StepWaiting(step))
            return False
        # The process that held the lock before may have made the result.
        record = find_record(step, actions, self.store)
        if record is not None:
            lock.release()
            self._end(step, make_result(step, record, "hit"))
            return True
        kind = KINDS[step.kind]
        server = self.warm_up(step)
        self._sent += 1
        folder = self.scratch.folder / f"{self._sent:03}-{step.kind}"
        make_step_folder(step, folder, self.store, self.results)
        self.running[self._sent] = _RunningStep(step, actions, folder, lock, server, input_bytes)
        if self._choose_cluster(step) is None:
            self.memory.reserve(self._sent, peak)
        del self._todo[step.id]
        self.on_event(StepStarted(step))
        try:
            server.send(self._sent, kind.module, folder, self.limits.seconds or step.seconds)
        except ServerDiedError as error:
            self._handle_server_death(server, error)
        return True

    def _collect(self, timeout: float) -> None:
        """Wait for answers, at most `timeout` seconds, and handle all that have arrived."""
        for event, _ in self.selector.select(timeout):
            server = event.fileobj
            if isinstance(server, RemoteCache):
                server.receive()
                continue
            assert isinstance(server, StepServer)
            try:
                answers = server.receive()
            except ServerDiedError as error:
                self._handle_server_death(server, error)
                continue
            for answer in answers:
                if isinstance(answer, Notice):
                    self._report_notice(answer)
                else:
                    self._finish_step(answer)

    def _report_notice(self, notice: Notice) -> None:
        """Emit a notice, once although several servers may send it."""
        if notice.text not in self._reported_notices:
            self._reported_notices.add(notice.text)
            self.on_event(notice)

    def _report_progress(self) -> None:
        """Emit an event for every running step whose progress has changed."""
        for running in self.running.values():
            fraction = read_progress(running.folder)
            if fraction != running.fraction:
                running.fraction = fraction
                self.on_event(StepAdvanced(running.step, fraction or 0.0))

    def _handle_server_death(self, server: StepServer, error: ServerDiedError) -> None:
        """Retry the steps of a server that has ended. Its workers ended with it.

        Raises:
            ServerDiedError: The server has ended MAX_SERVER_DEATHS times.
        """
        self._deaths[server.name] += 1
        if self._deaths[server.name] >= MAX_SERVER_DEATHS:
            raise error
        self.selector.unregister(server)
        del self.servers[server.name]
        server.close()
        failure = Failure(kind="environment", what=error.what, why=error.why, next_step=error.next_step)
        for number, running in list(self.running.items()):
            if running.server is server:
                self._retry(self._remove_running(number), failure)

    def _remove_running(self, number: int) -> _RunningStep:
        """Remove a step from the running ones and release its memory. Its lock is still held."""
        self.memory.release(number)
        return self.running.pop(number)

    def _retry(self, running: _RunningStep, failure: Failure) -> None:
        """Run a step again, with nothing else at the same time. If it was retried before, record the failure."""
        step = running.step
        if step.id not in self._retried:
            self._retried.add(step.id)
            self._requeue(running, failure.what)
            return
        running.lock.release()
        shutil.rmtree(running.folder, ignore_errors=True)
        self._end(step, StepResult(step_id=step.id, status="failed", failure=failure))

    def _requeue(self, running: _RunningStep, reason: str) -> None:
        """Put a started step back among the steps to run."""
        running.lock.release()
        shutil.rmtree(running.folder, ignore_errors=True)
        self._todo = {running.step.id: running.step, **self._todo}
        self.on_event(StepRetried(running.step, reason))

    def _finish_step(self, answer: WorkerExit) -> None:
        """Store the result of a step whose worker has ended, or record its failure, or retry it."""
        running = self._remove_running(answer.id)
        step = running.step
        if not answer.lost:
            self.memory.learn(step.kind, running.input_bytes, answer.peak_bytes)
        failure, facts = read_answer(running.folder, answer)
        if failure is not None and failure.transient and step.id not in self._retried:
            self._retry(running, failure)
            return
        if facts.get("tied") and self._choose_cluster(step) is not None:
            # The result was made on another CPU.
            self._requeue(running, "its result depends on the CPU, so it runs on this machine")
            self._local_only.add(step.id)
            return
        try:
            failure = failure or check_outputs(self.store, step, running.folder)
            if failure is not None:
                log = store_log(self.store, running.folder)
                result = StepResult(step_id=step.id, status="failed", elapsed=answer.seconds, log=log, failure=failure)
            else:
                result = self._publish(running, facts, answer)
        finally:
            running.lock.release()
        shutil.rmtree(running.folder, ignore_errors=True)
        self._end(step, result)

    def _publish(self, running: _RunningStep, facts: Mapping[str, Json], answer: WorkerExit) -> StepResult:
        """Store the outputs of a successful step, and queue their upload."""
        step = running.step
        origins = list_inherited_origins(step, self.results)
        record = store_outputs(self.store, step, running.actions, running.folder, facts, answer, origins)
        if failure := describe_pin_mismatch(step, record):
            return StepResult(step_id=step.id, status="failed", failure=failure)
        if self.remote_cache is not None:
            self.remote_cache.send(step.kind, record)
        return make_result(step, record, "ran")

    def _end(self, step: Step, result: StepResult) -> None:
        self._todo.pop(step.id, None)
        self.results[step.id] = result
        self._stopping = self._stopping or (self.limits.fail_fast and result.status == "failed")
        self.on_event(StepEnded(step, result))
