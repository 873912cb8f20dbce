"""Run a sweep batch by batch: each batch is one plan, or its jobs go one by one to a Hydra launcher.

The basic sweeper has one batch with all jobs. Other sweepers use the results of a batch to choose the next one.
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
    """The result of a command, with one outcome for each job.

    `stopped` is the error with which a sweeper ended early.
    `repeatable` is False if the sweeper may choose other jobs the next time.
    """

    prepared: PreparedBuild
    outcomes: Sequence[VariantResult]
    stopped: TflbuildError | None = None
    repeatable: bool = True


def build(overrides: Sequence[str], limits: Limits, *, multirun: bool) -> BuildResult:
    """Build one variant or a sweep. A job that fails does not stop the others.

    Raises:
        TflbuildError: if nothing can be built.
    """
    if not multirun:
        prepared, outcomes = pipeline.build(overrides, limits)
        return BuildResult(prepared, outcomes)
    with open_executor(limits) as (executor, console):
        return run_sweep(overrides, executor, console)


def run_sweep(overrides: Sequence[str], executor: Executor, console: Console) -> BuildResult:
    """Build every job that the sweeper chooses."""
    read = observe_configuration()
    composer = Composer(list(overrides))
    plugins = composer.find_plugins()
    batches = BatchRunner(composer, plugins, executor, console, read)
    stopped = None
    if plugins.batches is not None:
        for batch in plugins.batches:
            batches.run(batch)
    else:
        objectives = hydra_plugins.objectives_of(plugins, KeyLocations(composer.recipe, composer.overrides))
        folder = executor.scratch.folder / "sweeper"
        folder.mkdir()
        stopped = hydra_plugins.find_jobs(composer, plugins, folder, lambda jobs: batches.measure(jobs, objectives))
    return batches.collect(stopped)


class BatchRunner:
    """Builds the batches of a sweep and keeps the results. A job that is chosen again is not built again."""

    def __init__(
        self,
        composer: Composer,
        plugins: SweepPlugins,
        executor: Executor,
        console: Console,
        read: dict[str, list[int] | None],
    ) -> None:
        self.composer = composer
        self.drive = plugins
        self.executor = executor
        self.console = console
        self.read = read
        self.prepared: list[PreparedBuild] = []
        self.outcomes: dict[tuple[str, ...], VariantResult] = {}

    def run(self, batch: Sequence[Job]) -> list[VariantResult]:
        """Build the new jobs of a batch, and return the result of each job."""
        new = [job for job in dict.fromkeys(map(tuple, batch)) if job not in self.outcomes]
        if new:
            shared = len(new) > 1 or self.drive.batches is None
            composed = [self.composer.compose(list(job), shared=shared) for job in new]
            all_jobs_are_known = self.drive.batches is not None and len(self.drive.batches) == 1
            composed = mark_keys_used_by_other_variants(composed, complete=all_jobs_are_known)
            with withdraw_on_error(composed, self.executor.store):
                prepared = prepare_jobs(composed, self.read, self.executor.store)
            for index, refused in prepared.refused.items():
                withdraw(composed[index], self.executor.store, refused.error)
            printed = {note for before in self.prepared for note in before.notes}
            for note in prepared.notes:
                if note not in printed:
                    self.console.say(note)
            self.prepared.append(prepared)
            check_objectives(self.prepared, complete=not hydra_plugins.may_differ(self.composer, self.drive))
            self.outcomes |= zip(new, self._execute(prepared), strict=True)
        return [self.outcomes[tuple(job)] for job in batch]

    def _execute(self, prepared: PreparedBuild) -> list[VariantResult]:
        connect(self.executor, prepared.shared, prepared.cluster)
        if self.drive.launcher != NAME and prepared.resolved:
            return launched_jobs.launch(self.drive, prepared, self.executor, self.console.say)
        recipes = [resolved.recipe for resolved in prepared.resolved]
        rows = [SweepRow(recipe.variant, "", None, recipe.overrides) for recipe in recipes]
        self.console.follow(SweepProgress(label_variants(rows), prepared.plan), self.executor.jobs)
        return execute_and_report(prepared, self.executor, self.console.say)

    def measure(
        self, batch: Sequence[Job], objectives: Sequence[Objective]
    ) -> list[hydra_plugins.Value | hydra_plugins.MissingObjectiveError]:
        """Build a batch and return the figures of the objectives for each job, or why they are missing.

        Raises:
            hydra_plugins.StopSweep: if a job failed under `--fail-fast`.
        """
        if self.executor.limits.fail_fast and any(outcome.error is not None for outcome in self.outcomes.values()):
            raise hydra_plugins.StopSweep
        return [objective_values(outcome, objectives) for outcome in self.run(batch)]

    def collect(self, stopped: TflbuildError | None) -> BuildResult:
        """Return the result of the whole sweep.

        Raises:
            RecipeError: if all jobs were refused.
        """
        prepared = merge_batches(self.prepared)
        prepared.require_any()
        return BuildResult(prepared, list(self.outcomes.values()), stopped, repeatable=self.drive.batches is not None)


def objective_values(
    outcome: VariantResult, objectives: Sequence[Objective]
) -> hydra_plugins.Value | hydra_plugins.MissingObjectiveError:
    """Return the figures of the objectives in their order. A variant that did not pass has no figures."""
    if outcome.error is not None or outcome.row.manifest is None:
        return hydra_plugins.MissingObjectiveError(f"{outcome.row.name}: {outcome.row.verdict}")
    figures = collect_manifest_figures(outcome.row.manifest)
    missing = [objective.figure for objective in objectives if objective.cost(figures) is None]
    if missing:
        return hydra_plugins.MissingObjectiveError(f"{outcome.row.name}: {', '.join(missing)} was not measured")
    values = tuple(figures[objective.figure] for objective in objectives)
    return values if len(values) > 1 else values[0] if values else None


def merge_batches(batches: Sequence[PreparedBuild]) -> PreparedBuild:
    """Merge prepared batches into one prepared build. The jobs are numbered through."""
    if len(batches) == 1:
        return batches[0]
    resolved = tuple(variant for prepared in batches for variant in prepared.resolved)
    refused: dict[int, RefusedVariant] = {}
    count = 0
    for prepared in batches:
        refused |= {count + index: variant for index, variant in prepared.refused.items()}
        count += len(prepared.resolved) + len(prepared.refused)
    return PreparedBuild(
        resolved=resolved,
        locations=tuple(locations for prepared in batches for locations in prepared.locations),
        plan=make_plan(resolved, describe_environment()),
        read={path: stat for prepared in batches for path, stat in prepared.read.items()},
        environment=frozenset(name for prepared in batches for name in prepared.environment),
        refused=refused,
        shared=batches[0].shared,
        cluster=batches[0].cluster,
        notes=tuple(dict.fromkeys(note for prepared in batches for note in prepared.notes)),
    )
