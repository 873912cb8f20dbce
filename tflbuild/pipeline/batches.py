"""A sweep, batch by batch: each is one plan, or goes job by job to a launcher of Hydra's.

The basic sweeper has one batch, all jobs at once. Others look at what came of a batch before they ask for the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tflbuild.config import sweepers
from tflbuild.config.composing.compose import Composer, Drive, Job
from tflbuild.config.composing.mistakes import Places
from tflbuild.config.composing.one_plan import NAME
from tflbuild.config.composing.unread import keep_read_elsewhere
from tflbuild.core.objective import Objective
from tflbuild.errors import TflbuildError
from tflbuild.execute.executor import Executor
from tflbuild.execute.limits import Limits
from tflbuild.pipeline import build as pipeline
from tflbuild.pipeline import jobs
from tflbuild.pipeline.build import (
    Outcome,
    Prepared,
    Refused,
    carry_out,
    connect,
    hold_aims,
    observe_configuration,
    open_executor,
    prepare_all,
)
from tflbuild.pipeline.folders import withdraw, withdraw_on_error
from tflbuild.plan.planner import make_plan
from tflbuild.report.board import Board
from tflbuild.report.console import Console
from tflbuild.report.summary import Row, labels
from tflbuild.report.sweeps.sweep import measured


@dataclass(frozen=True)
class Built:
    """What came of a command: one outcome a job.

    `stopped` is why a sweeper ended early. Not `repeatable` is one that may find other jobs the next time.
    """

    prepared: Prepared
    outcomes: Sequence[Outcome]
    stopped: TflbuildError | None = None
    repeatable: bool = True


def build(overrides: Sequence[str], limits: Limits, *, multirun: bool) -> Built:
    """One variant, or a sweep. A job that fails fails alone. Raises TflbuildError where nothing can be built."""
    if not multirun:
        prepared, outcomes = pipeline.build(overrides, limits)
        return Built(prepared, outcomes)
    with open_executor(limits) as (executor, console):
        return sweep(overrides, executor, console)


def sweep(overrides: Sequence[str], executor: Executor, console: Console) -> Built:
    """Every job that the sweeper asks for."""
    read = observe_configuration()
    composer = Composer(list(overrides))
    drive = composer.drive()
    batches = Batches(composer, drive, executor, console, read)
    stopped = None
    if drive.batches is not None:
        for batch in drive.batches:
            batches.run(batch)
    else:
        aims = sweepers.objectives_of(drive, Places(composer.recipe, composer.overrides))
        folder = executor.scratch.folder / "sweeper"
        folder.mkdir()
        stopped = sweepers.find_jobs(composer, drive, folder, lambda found: batches.values(found, aims))
    return batches.built(stopped)


class Batches:
    """What was built so far. A job that is asked for again is not built again."""

    def __init__(
        self,
        composer: Composer,
        drive: Drive,
        executor: Executor,
        console: Console,
        read: dict[str, list[int] | None],
    ) -> None:
        self.composer = composer
        self.drive = drive
        self.executor = executor
        self.console = console
        self.read = read
        self.prepared: list[Prepared] = []
        self.outcomes: dict[tuple[str, ...], Outcome] = {}

    def run(self, batch: Sequence[Job]) -> list[Outcome]:
        """The outcome of each job."""
        new = [job for job in dict.fromkeys(map(tuple, batch)) if job not in self.outcomes]
        if new:
            shared = len(new) > 1 or self.drive.batches is None
            composed = [self.composer.compose(list(job), shared=shared) for job in new]
            known = self.drive.batches is not None and len(self.drive.batches) == 1
            composed = keep_read_elsewhere(composed, complete=known)
            with withdraw_on_error(composed, self.executor.store):
                prepared = prepare_all(composed, self.read, self.executor.store)
            for index, refused in prepared.refused.items():
                withdraw(composed[index], self.executor.store, refused.error)
            said = {note for before in self.prepared for note in before.notes}
            for note in prepared.notes:
                if note not in said:
                    self.console.say(note)
            self.prepared.append(prepared)
            hold_aims(self.prepared, complete=not sweepers.may_differ(self.composer, self.drive))
            self.outcomes |= zip(new, self._carry_out(prepared), strict=True)
        return [self.outcomes[tuple(job)] for job in batch]

    def _carry_out(self, prepared: Prepared) -> list[Outcome]:
        connect(self.executor, prepared.shared, prepared.cluster)
        if self.drive.launcher != NAME and prepared.resolved:
            return jobs.launch(self.drive, prepared, self.executor, self.console.say)
        rows = [Row(one.recipe.variant, "", None, one.recipe.overrides) for one in prepared.resolved]
        self.console.follow(Board(labels(rows), prepared.plan), self.executor.jobs)
        return carry_out(prepared, self.executor, self.console.say)

    def values(self, batch: Sequence[Job], aims: Sequence[Objective]) -> list[sweepers.Value | sweepers.NoValue]:
        """What a sweeper is told of each job."""
        if self.executor.limits.fail_fast and any(one.error is not None for one in self.outcomes.values()):
            raise sweepers.Enough
        return [value_of(outcome, aims) for outcome in self.run(batch)]

    def built(self, stopped: TflbuildError | None) -> Built:
        """The whole of it. Raises the first refusal where nothing but refusals came of it."""
        prepared = merge(self.prepared)
        prepared.require_any()
        return Built(prepared, list(self.outcomes.values()), stopped, repeatable=self.drive.batches is not None)


def value_of(outcome: Outcome, aims: Sequence[Objective]) -> sweepers.Value | sweepers.NoValue:
    """The figures of the objectives, in their order; what did not pass has none, however good it is."""
    if outcome.error is not None or outcome.row.manifest is None:
        return sweepers.NoValue(f"{outcome.row.name}: {outcome.row.verdict}")
    known = measured(outcome.row.manifest)
    missing = [one.figure for one in aims if one.cost(known) is None]
    if missing:
        return sweepers.NoValue(f"{outcome.row.name}: {', '.join(missing)} was not measured")
    found = tuple(known[one.figure] for one in aims)
    return found if len(found) > 1 else found[0] if found else None


def merge(several: Sequence[Prepared]) -> Prepared:
    """Batches as if they had been one. Jobs are counted on."""
    if len(several) == 1:
        return several[0]
    resolved = tuple(one for prepared in several for one in prepared.resolved)
    refused: dict[int, Refused] = {}
    counted = 0
    for prepared in several:
        refused |= {counted + index: one for index, one in prepared.refused.items()}
        counted += len(prepared.resolved) + len(prepared.refused)
    return Prepared(
        resolved=resolved,
        places=tuple(places for prepared in several for places in prepared.places),
        plan=make_plan(resolved, pipeline.surroundings()),
        read={path: stat for prepared in several for path, stat in prepared.read.items()},
        environment=frozenset(name for prepared in several for name in prepared.environment),
        refused=refused,
        shared=several[0].shared,
        cluster=several[0].cluster,
        notes=tuple(dict.fromkeys(note for prepared in several for note in prepared.notes)),
    )
