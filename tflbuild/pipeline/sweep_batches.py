"""A sweep, batch by batch: each is one plan, or goes job by job to a launcher of Hydra's.

The basic sweeper has one batch, all jobs at once. Others look at what came of a batch before they ask for the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tflbuild.config import hydra_plugins
from tflbuild.config.composing.compose import Composer
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.default_launcher import NAME
from tflbuild.config.composing.hydra_setup import Job, SweepPlugins
from tflbuild.config.composing.unused_keys import mark_keys_used_by_other_variants
from tflbuild.core.objective import Objective
from tflbuild.errors import TflbuildError
from tflbuild.execute.executor import Executor
from tflbuild.execute.run_limits import Limits
from tflbuild.pipeline import build as pipeline
from tflbuild.pipeline import launched_jobs
from tflbuild.pipeline.build import VariantResult, connect, execute_and_report, open_executor
from tflbuild.pipeline.output_folders import withdraw, withdraw_on_error
from tflbuild.pipeline.preparation import (
    PreparedBuild,
    RefusedVariant,
    check_objectives,
    describe_environment,
    observe_configuration,
    prepare_jobs,
)
from tflbuild.plan.planner import make_plan
from tflbuild.report.console import Console
from tflbuild.report.sweep_progress import SweepProgress
from tflbuild.report.sweeps.sweep_record import collect_manifest_figures
from tflbuild.report.variant_summary import SweepRow, label_variants


@dataclass(frozen=True)
class BuildResult:
    """What came of a command: one outcome a job.

    `stopped` is why a sweeper ended early. Not `repeatable` is one that may find other jobs the next time.
    """

    prepared: PreparedBuild
    outcomes: Sequence[VariantResult]
    stopped: TflbuildError | None = None
    repeatable: bool = True


def build(overrides: Sequence[str], limits: Limits, *, multirun: bool) -> BuildResult:
    """One variant, or a sweep. A job that fails fails alone. Raises TflbuildError where nothing can be built."""
    if not multirun:
        prepared, outcomes = pipeline.build(overrides, limits)
        return BuildResult(prepared, outcomes)
    with open_executor(limits) as (executor, console):
        return run_sweep(overrides, executor, console)


def run_sweep(overrides: Sequence[str], executor: Executor, console: Console) -> BuildResult:
    """Every job that the sweeper asks for."""
    read = observe_configuration()
    composer = Composer(list(overrides))
    drive = composer.drive()
    batches = BatchRunner(composer, drive, executor, console, read)
    stopped = None
    if drive.batches is not None:
        for batch in drive.batches:
            batches.run(batch)
    else:
        aims = hydra_plugins.objectives_of(drive, KeyLocations(composer.recipe, composer.overrides))
        folder = executor.scratch.folder / "sweeper"
        folder.mkdir()
        stopped = hydra_plugins.find_jobs(composer, drive, folder, lambda found: batches.values(found, aims))
    return batches.built(stopped)


class BatchRunner:
    """What was built so far. A job that is asked for again is not built again."""

    def __init__(
        self,
        composer: Composer,
        drive: SweepPlugins,
        executor: Executor,
        console: Console,
        read: dict[str, list[int] | None],
    ) -> None:
        self.composer = composer
        self.drive = drive
        self.executor = executor
        self.console = console
        self.read = read
        self.prepared: list[PreparedBuild] = []
        self.outcomes: dict[tuple[str, ...], VariantResult] = {}

    def run(self, batch: Sequence[Job]) -> list[VariantResult]:
        """The outcome of each job."""
        new = [job for job in dict.fromkeys(map(tuple, batch)) if job not in self.outcomes]
        if new:
            shared = len(new) > 1 or self.drive.batches is None
            composed = [self.composer.compose(list(job), shared=shared) for job in new]
            known = self.drive.batches is not None and len(self.drive.batches) == 1
            composed = mark_keys_used_by_other_variants(composed, complete=known)
            with withdraw_on_error(composed, self.executor.store):
                prepared = prepare_jobs(composed, self.read, self.executor.store)
            for index, refused in prepared.refused.items():
                withdraw(composed[index], self.executor.store, refused.error)
            said = {note for before in self.prepared for note in before.notes}
            for note in prepared.notes:
                if note not in said:
                    self.console.say(note)
            self.prepared.append(prepared)
            check_objectives(self.prepared, complete=not hydra_plugins.may_differ(self.composer, self.drive))
            self.outcomes |= zip(new, self._carry_out(prepared), strict=True)
        return [self.outcomes[tuple(job)] for job in batch]

    def _carry_out(self, prepared: PreparedBuild) -> list[VariantResult]:
        connect(self.executor, prepared.shared, prepared.cluster)
        if self.drive.launcher != NAME and prepared.resolved:
            return launched_jobs.launch(self.drive, prepared, self.executor, self.console.say)
        rows = [SweepRow(one.recipe.variant, "", None, one.recipe.overrides) for one in prepared.resolved]
        self.console.follow(SweepProgress(label_variants(rows), prepared.plan), self.executor.jobs)
        return execute_and_report(prepared, self.executor, self.console.say)

    def values(
        self, batch: Sequence[Job], aims: Sequence[Objective]
    ) -> list[hydra_plugins.Value | hydra_plugins.MissingObjectiveError]:
        """What a sweeper is told of each job."""
        if self.executor.limits.fail_fast and any(one.error is not None for one in self.outcomes.values()):
            raise hydra_plugins.StopSweep
        return [objective_values(outcome, aims) for outcome in self.run(batch)]

    def built(self, stopped: TflbuildError | None) -> BuildResult:
        """The whole of it. Raises the first refusal where nothing but refusals came of it."""
        prepared = merge_batches(self.prepared)
        prepared.require_any()
        return BuildResult(prepared, list(self.outcomes.values()), stopped, repeatable=self.drive.batches is not None)


def objective_values(
    outcome: VariantResult, aims: Sequence[Objective]
) -> hydra_plugins.Value | hydra_plugins.MissingObjectiveError:
    """The figures of the objectives, in their order; what did not pass has none, however good it is."""
    if outcome.error is not None or outcome.row.manifest is None:
        return hydra_plugins.MissingObjectiveError(f"{outcome.row.name}: {outcome.row.verdict}")
    known = collect_manifest_figures(outcome.row.manifest)
    missing = [one.figure for one in aims if one.cost(known) is None]
    if missing:
        return hydra_plugins.MissingObjectiveError(f"{outcome.row.name}: {', '.join(missing)} was not measured")
    found = tuple(known[one.figure] for one in aims)
    return found if len(found) > 1 else found[0] if found else None


def merge_batches(several: Sequence[PreparedBuild]) -> PreparedBuild:
    """Batches as if they had been one. Jobs are counted on."""
    if len(several) == 1:
        return several[0]
    resolved = tuple(one for prepared in several for one in prepared.resolved)
    refused: dict[int, RefusedVariant] = {}
    counted = 0
    for prepared in several:
        refused |= {counted + index: one for index, one in prepared.refused.items()}
        counted += len(prepared.resolved) + len(prepared.refused)
    return PreparedBuild(
        resolved=resolved,
        places=tuple(places for prepared in several for places in prepared.places),
        plan=make_plan(resolved, describe_environment()),
        read={path: stat for prepared in several for path, stat in prepared.read.items()},
        environment=frozenset(name for prepared in several for name in prepared.environment),
        refused=refused,
        shared=several[0].shared,
        cluster=several[0].cluster,
        notes=tuple(dict.fromkeys(note for prepared in several for note in prepared.notes)),
    )
