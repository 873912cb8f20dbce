"""Build the variants of a sweep job by job, with a Hydra launcher, over one store.

The recipe of a job is frozen before the launch and written to an order file. The job writes its result to an answer
file next to it. A launcher stops at the first job that is lost, and may end other jobs with it, so its own return
value is ignored. A job without an answer is launched again: jobs that had begun, one by one, the others together.
A job that is lost twice becomes a row of the sweep.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from tflbuild import interrupts
from tflbuild.config import hydra_plugins
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.hydra_setup import SweepPlugins
from tflbuild.core.cluster_settings import Cluster
from tflbuild.core.recipe import Recipe
from tflbuild.core.remote_cache_settings import RemoteCacheSettings
from tflbuild.core.secrets import current_key, forget_secrets, known_secrets, use_key
from tflbuild.errors import MachineError, StepError, TflbuildError
from tflbuild.execute.executor import Executor
from tflbuild.execute.run_limits import Limits
from tflbuild.pipeline.build import VariantResult, connect, execute_and_report, make_refused_result, make_skipped_result
from tflbuild.pipeline.preparation import PreparedBuild, describe_environment
from tflbuild.plan.planner import make_plan
from tflbuild.report.variant_summary import SweepRow
from tflbuild.resolve.input_digests import ResolvedRecipe
from tflbuild.storage.atomic_files import replace_bytes
from tflbuild.storage.store import Store

POLL_SECONDS = 0.2
BEGUN, ANSWER, LOCK = ".begun", ".answer", ".lock"
# An empty file next to the orders, which exists as soon as one job has failed.
FAILED = "failed"


@dataclass(frozen=True)
class LaunchedJob:
    """The order of one job: the frozen recipe, the working folder, and the settings of the command line."""

    resolved: ResolvedRecipe
    locations: KeyLocations
    store: Path
    folder: Path
    limits: Limits
    shared: RemoteCacheSettings | None
    cluster: Cluster | None
    secrets: tuple[str, ...]
    key: bytes


def launch(
    plugins: SweepPlugins, prepared: PreparedBuild, executor: Executor, say: Callable[[str], None]
) -> list[VariantResult]:
    """Build the variants of a sweep with a Hydra launcher. Return the results in the order of the jobs.

    Raises:
        MachineError: for a launcher that starts no job.
    """
    folder = executor.scratch.folder / "jobs"
    folder.mkdir()
    files = []
    for number, (resolved, locations) in enumerate(zip(prepared.resolved, prepared.locations, strict=True)):
        order = LaunchedJob(
            resolved=resolved,
            locations=locations,
            store=executor.store.root,
            folder=Path.cwd(),
            limits=executor.limits,
            shared=prepared.shared,
            cluster=prepared.cluster,
            secrets=known_secrets(),
            key=current_key(),
        )
        files.append(folder / f"{number:05}")
        files[-1].touch(mode=0o600)
        files[-1].write_bytes(pickle.dumps(order))
    recipes = [resolved.recipe for resolved in prepared.resolved]
    try:
        with _report_ended_jobs(dict(zip(files, recipes, strict=True)), say):
            lost = LaunchRounds(plugins, folder / "launcher").finish(files)
    except BaseException:
        end_jobs()
        raise
    done = iter([_read_result(file, recipe, plugins, lost) for file, recipe in zip(files, recipes, strict=True)])
    shutil.rmtree(folder)
    total = len(files) + len(prepared.refused)
    return [
        make_refused_result(prepared.refused[index]) if index in prepared.refused else next(done)
        for index in range(total)
    ]


class LaunchRounds:
    """Launches jobs until each has an answer or was lost twice."""

    def __init__(self, plugins: SweepPlugins, folder: Path) -> None:
        self.plugins = plugins
        self.folder = folder
        folder.mkdir()

    def finish(self, jobs: Sequence[Path]) -> dict[Path, str]:
        """Launch the jobs. Return the lost jobs, each with the reason.

        Raises:
            MachineError: for a launcher that starts no job.
        """
        lost: dict[Path, str] = {}
        waiting, interrupted = list(jobs), list[Path]()
        while waiting:
            reason, unanswered, begun = self.launch(waiting)
            if len(unanswered) == len(jobs) and not begun:
                raise MachineError(
                    f"hydra/launcher={self.plugins.launcher} started no job",
                    why=reason,
                    next_step="see hydra.launcher.*; without hydra/launcher the sweep is built here, as one plan",
                )
            if not begun and len(unanswered) == len(waiting):
                return lost | dict.fromkeys(unanswered, reason or "the launcher did not start it")
            interrupted += begun
            # A job that had begun may be what ended the launcher, so it is launched again on its own.
            waiting = [job for job in unanswered if job not in begun]
        for job in interrupted:
            reason, unanswered, _ = self.launch([job])
            lost |= dict.fromkeys(unanswered, reason or "its process ended without an answer")
        return lost

    def launch(self, jobs: Sequence[Path]) -> tuple[str, list[Path], list[Path]]:
        """Launch jobs once, and wait until no process works on them.

        Returns:
            The error message of the launcher, the jobs without an answer, and those of them that had begun.
        """
        for job in jobs:
            _sibling_path(job, BEGUN).unlink(missing_ok=True)
        message = hydra_plugins.launch(self.plugins, self.folder, run_job, jobs)
        for job in jobs:
            _await_end(job)
        unanswered = [job for job in jobs if not _sibling_path(job, ANSWER).exists()]
        return message, unanswered, [job for job in unanswered if _sibling_path(job, BEGUN).exists()]


def run_job(file: str) -> None:
    """Build the variant of an order, in a process of the launcher, and write its result next to the order.

    A job that is launched twice waits until its other process ends, and then finds its answer.
    """
    order_file = Path(file)
    # The sweep has ended. It did not wait for this job, since its launcher had stopped waiting for it.
    if not order_file.exists():
        return
    with FileLock(_sibling_path(order_file, LOCK)):
        if _sibling_path(order_file, ANSWER).exists():
            return
        _sibling_path(order_file, BEGUN).write_text(str(os.getpid()))
        order: LaunchedJob = pickle.loads(order_file.read_bytes())
        use_key(lambda: order.key)
        forget_secrets(order.secrets)
        os.chdir(order.folder)
        failed = order_file.with_name(FAILED)
        stop = order.limits.fail_fast and failed.exists()
        outcome = make_skipped_result(order.resolved.recipe, ran=False) if stop else _build(order)
        if outcome.error is not None:
            failed.touch()
        if order_file.exists():
            replace_bytes(_sibling_path(order_file, ANSWER), pickle.dumps(outcome))


def _build(order: LaunchedJob) -> VariantResult:
    recipe = order.resolved.recipe
    try:
        with Executor(Store(order.store), lambda event: None, order.limits) as executor:
            plan = make_plan([order.resolved], describe_environment())
            prepared = PreparedBuild((order.resolved,), (order.locations,), plan, {}, frozenset(), {}, order.shared)
            executor.store.trust(order.shared)
            connect(executor, order.shared, order.cluster)
            (outcome,) = execute_and_report(prepared, executor, lambda text: None)
        return outcome
    except TflbuildError as error:
        return _failure(recipe, "failed", error)
    # Any error of a job becomes a row of the sweep, so that the other jobs go on.
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        return _failure(recipe, "failed", StepError(f"the job of {recipe.name}/{recipe.variant} ended", why=reason))


def _failure(recipe: Recipe, verdict: str, error: TflbuildError) -> VariantResult:
    row = SweepRow(recipe.variant, verdict, None, recipe.overrides)
    return VariantResult(row, str(error), ran=True, error=error, recipe=recipe.name)


def _read_result(file: Path, recipe: Recipe, plugins: SweepPlugins, lost: dict[Path, str]) -> VariantResult:
    if file not in lost:
        outcome: VariantResult = pickle.loads(_sibling_path(file, ANSWER).read_bytes())
        return replace(outcome, files=tuple(Path(path) for path in outcome.files))
    error = StepError(
        f"the job of {recipe.name}/{recipe.variant} was lost twice",
        where=f"hydra/launcher={plugins.launcher}",
        why=lost[file],
        next_step="when memory runs out, the system ends processes: fewer at once, or leave hydra/launcher out;"
        " what was finished is in the store",
    )
    return _failure(recipe, "lost", error)


def end_jobs() -> None:
    """Kill all descendants of this process, as after Ctrl-C. Some of them would go on without their launcher."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        # A process may end between the two system calls.
        with suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    descendants = {os.getpid()}
    while children := {pid for pid, parent in parents.items() if parent in descendants} - descendants:
        descendants |= children
    for pid in descendants - {os.getpid()}:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _await_end(job: Path) -> None:
    """Return when no process works on a job. A launcher that stops early leaves its other jobs running."""
    lock = FileLock(_sibling_path(job, LOCK))
    while _sibling_path(job, BEGUN).exists() and not _sibling_path(job, ANSWER).exists():
        interrupts.check()
        try:
            lock.acquire(timeout=POLL_SECONDS)
        except Timeout:
            continue
        lock.release()
        return


def _sibling_path(job: Path, suffix: str) -> Path:
    return job.with_name(job.name + suffix)


@contextmanager
def _report_ended_jobs(jobs: dict[Path, Recipe], say: Callable[[str], None]) -> Iterator[None]:
    """Print a line for each job as soon as it has ended. Launchers return only when all jobs have ended."""
    finished = threading.Event()

    def report_jobs() -> None:
        waiting = dict(jobs)
        while waiting:
            is_last_round = finished.is_set()
            for file in [file for file in waiting if _sibling_path(file, ANSWER).exists()]:
                recipe = waiting.pop(file)
                say(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs  {recipe.name}/{recipe.variant}")
            if is_last_round:
                return
            finished.wait(POLL_SECONDS)

    reporter = threading.Thread(target=report_jobs, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        finished.set()
        reporter.join()
