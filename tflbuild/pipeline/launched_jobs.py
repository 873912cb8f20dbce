"""Variants built job by job, by a launcher of Hydra's, over the same store.

What a job is to build is frozen before it is launched, and lies in a file; what came of it, it leaves in another.
Launchers end with the first job that is lost, and may take others with them, so their own answer is not asked for: a
job without an answer is launched again, those that had begun one by one, and one that is lost twice is a row.
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
FAILED = "failed"  # beside the orders, once a job has


@dataclass(frozen=True)
class LaunchedJob:
    """What a job is to do, and where: the frozen recipe, and what the command line said of the run."""

    resolved: ResolvedRecipe
    places: KeyLocations
    store: Path
    folder: Path
    limits: Limits
    shared: RemoteCacheSettings | None
    cluster: Cluster | None
    secrets: tuple[str, ...]
    key: bytes


def launch(
    drive: SweepPlugins, prepared: PreparedBuild, executor: Executor, say: Callable[[str], None]
) -> list[VariantResult]:
    """Every job's outcome, in their order. Raises MachineError for a launcher that starts none."""
    folder = executor.scratch.folder / "jobs"
    folder.mkdir()
    files = []
    for place, (one, places) in enumerate(zip(prepared.resolved, prepared.places, strict=True)):
        order = LaunchedJob(
            resolved=one,
            places=places,
            store=executor.store.root,
            folder=Path.cwd(),
            limits=executor.limits,
            shared=prepared.shared,
            cluster=prepared.cluster,
            secrets=known_secrets(),
            key=current_key(),
        )
        files.append(folder / f"{place:05}")
        files[-1].touch(mode=0o600)
        files[-1].write_bytes(pickle.dumps(order))
    recipes = [one.recipe for one in prepared.resolved]
    try:
        with _telling(dict(zip(files, recipes, strict=True)), say):
            lost = LaunchRounds(drive, folder / "launcher").finish(files)
    except BaseException:
        end_jobs()
        raise
    done = iter([_outcome(file, recipe, drive, lost) for file, recipe in zip(files, recipes, strict=True)])
    shutil.rmtree(folder)
    total = len(files) + len(prepared.refused)
    return [
        make_refused_result(prepared.refused[index]) if index in prepared.refused else next(done)
        for index in range(total)
    ]


class LaunchRounds:
    """Launches jobs until each has answered, or was lost twice."""

    def __init__(self, drive: SweepPlugins, folder: Path) -> None:
        self.drive = drive
        self.folder = folder
        folder.mkdir()

    def finish(self, jobs: Sequence[Path]) -> dict[Path, str]:
        """The jobs that were lost, and why."""
        lost: dict[Path, str] = {}
        together, alone = list(jobs), list[Path]()
        while together:
            why, left, begun = self.launch(together)
            if len(left) == len(jobs) and not begun:
                raise MachineError(
                    f"hydra/launcher={self.drive.launcher} started no job",
                    why=why,
                    next_step="see hydra.launcher.*; without hydra/launcher the sweep is built here, as one plan",
                )
            if not begun and len(left) == len(together):
                return lost | dict.fromkeys(left, why or "the launcher did not start it")
            alone += begun
            together = [job for job in left if job not in begun]
        for job in alone:
            why, left, _ = self.launch([job])
            lost |= dict.fromkeys(left, why or "its process ended without an answer")
        return lost

    def launch(self, jobs: Sequence[Path]) -> tuple[str, list[Path], list[Path]]:
        """(what the launcher complained of, the jobs without an answer, those of them that had begun)."""
        for job in jobs:
            _beside(job, BEGUN).unlink(missing_ok=True)
        why = hydra_plugins.launch(self.drive, self.folder, run_job, jobs)
        for job in jobs:
            _await_end(job)
        left = [job for job in jobs if not _beside(job, ANSWER).exists()]
        return why, left, [job for job in left if _beside(job, BEGUN).exists()]


def run_job(file: str) -> None:
    """Build the variant of an order, in the process of a launcher, and leave its outcome beside the order.

    A job that is launched twice waits for the other, and finds the answer.
    """
    place = Path(file)
    if not place.exists():
        return  # the sweep is over: it did not wait for a job that its launcher gave up
    with FileLock(_beside(place, LOCK)):
        if _beside(place, ANSWER).exists():
            return
        _beside(place, BEGUN).write_text(str(os.getpid()))
        order: LaunchedJob = pickle.loads(place.read_bytes())
        use_key(lambda: order.key)
        forget_secrets(order.secrets)
        os.chdir(order.folder)
        failed = place.with_name(FAILED)
        stop = order.limits.fail_fast and failed.exists()
        outcome = make_skipped_result(order.resolved.recipe, ran=False) if stop else _build(order)
        if outcome.error is not None:
            failed.touch()
        if place.exists():
            replace_bytes(_beside(place, ANSWER), pickle.dumps(outcome))


def _build(order: LaunchedJob) -> VariantResult:
    recipe = order.resolved.recipe
    try:
        with Executor(Store(order.store), lambda event: None, order.limits) as executor:
            plan = make_plan([order.resolved], describe_environment())
            prepared = PreparedBuild((order.resolved,), (order.places,), plan, {}, frozenset(), {}, order.shared)
            executor.store.believe(order.shared)
            connect(executor, order.shared, order.cluster)
            (outcome,) = execute_and_report(prepared, executor, lambda text: None)
        return outcome
    except TflbuildError as error:
        return _failure(recipe, "failed", error)
    except (Exception, SystemExit) as error:  # the row says it; the others go on
        why = f"{type(error).__name__}: {error}"
        return _failure(recipe, "failed", StepError(f"the job of {recipe.name}/{recipe.variant} ended", why=why))


def _failure(recipe: Recipe, verdict: str, error: TflbuildError) -> VariantResult:
    row = SweepRow(recipe.variant, verdict, None, recipe.overrides)
    return VariantResult(row, str(error), ran=True, error=error, recipe=recipe.name)


def _outcome(file: Path, recipe: Recipe, drive: SweepPlugins, lost: dict[Path, str]) -> VariantResult:
    if file not in lost:
        outcome: VariantResult = pickle.loads(_beside(file, ANSWER).read_bytes())
        return replace(outcome, files=tuple(Path(path) for path in outcome.files))
    error = StepError(
        f"the job of {recipe.name}/{recipe.variant} was lost twice",
        where=f"hydra/launcher={drive.launcher}",
        why=lost[file],
        next_step="when memory runs out, the system ends processes: fewer at once, or leave hydra/launcher out;"
        " what was finished is in the store",
    )
    return _failure(recipe, "lost", error)


def end_jobs() -> None:
    """End every process that a launcher started on this machine, as after Ctrl-C: some of them wait for no one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    for pid in found - {os.getpid()}:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _await_end(job: Path) -> None:
    """Return when no process works on a job: a launcher that gives up leaves others running."""
    lock = FileLock(_beside(job, LOCK))
    while _beside(job, BEGUN).exists() and not _beside(job, ANSWER).exists():
        interrupts.check()
        try:
            lock.acquire(timeout=POLL_SECONDS)
        except Timeout:
            continue
        lock.release()
        return


def _beside(job: Path, suffix: str) -> Path:
    return job.with_name(job.name + suffix)


@contextmanager
def _telling(jobs: dict[Path, Recipe], say: Callable[[str], None]) -> Iterator[None]:
    """Say of each job that it has ended, when it has: launchers block until all have."""
    over = threading.Event()

    def tell() -> None:
        waiting = dict(jobs)
        while waiting:
            last = over.is_set()
            for file in [file for file in waiting if _beside(file, ANSWER).exists()]:
                recipe = waiting.pop(file)
                say(f"{len(jobs) - len(waiting)} of {len(jobs)} jobs  {recipe.name}/{recipe.variant}")
            if last:
                return
            over.wait(POLL_SECONDS)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
