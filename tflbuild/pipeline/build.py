"""The pipeline: run all stages of a build, from overrides to results.

compose -> freeze -> resolve -> plan -> execute -> report
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tflbuild.cluster.ray_server import RayCluster
from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.core.cluster_settings import Cluster
from tflbuild.core.digest import Json
from tflbuild.core.recipe import Recipe
from tflbuild.core.remote_cache_settings import RemoteCacheSettings
from tflbuild.core.search_result import SearchResult
from tflbuild.core.secrets import redact
from tflbuild.core.step import Plan
from tflbuild.core.step_result import Failure, StepResult
from tflbuild.errors import BY_KIND, GateError, StepError, TflbuildError
from tflbuild.execute.executor import Executor
from tflbuild.execute.plan_preview import StepPreview, preview_plan
from tflbuild.execute.run_limits import Limits
from tflbuild.locations import store_root
from tflbuild.pipeline.gate_check import check_gates, suggest_fixes
from tflbuild.pipeline.output_folders import open_folders, record_failure, withdraw, withdraw_on_error
from tflbuild.pipeline.preparation import (
    PreparedBuild,
    RefusedVariant,
    describe_environment,
    observe_configuration,
    prepare_jobs,
    prepare_plan,
)
from tflbuild.pipeline.search_stage import evaluate_budget, limit_key, run_search
from tflbuild.pipeline.tracked_files import used_packages
from tflbuild.plan.planner import make_plan
from tflbuild.report.console import Console, open_console
from tflbuild.report.git_state import read_state
from tflbuild.report.manifest import make_manifest
from tflbuild.report.output_files import disk_errors, log_file, variant_folder, write_logs, write_outputs
from tflbuild.report.variant_summary import SweepRow, show_path, summarize
from tflbuild.report.verdict_text import verdicts_json
from tflbuild.resolve.input_digests import ResolvedRecipe
from tflbuild.resolve.toolchain import package_version
from tflbuild.storage.remote_storage import open_remote
from tflbuild.storage.store import Store
from tflbuild.unchanged_build import write_unchanged_note

# The results of variants whose output folders need no record of a failure.
NOT_BUILT, GATE_FAILED = "not built", "gate failed"


@dataclass(frozen=True)
class VariantResult:
    """The result of one variant: its row in tables, its line on the screen, and its error if it has one.

    `search` is the result of its search, None for a recipe without one. `steps` maps roles to the results of steps.
    """

    row: SweepRow
    line: str
    ran: bool
    files: tuple[Path, ...] = ()
    error: TflbuildError | None = None
    search: SearchResult | None = None
    recipe: str = ""
    steps: Mapping[str, StepResult] = field(default_factory=dict)


def preview_build(overrides: Sequence[str], *, multirun: bool) -> tuple[PreparedBuild, list[StepPreview], Store]:
    """Plan a build and return its preview. Nothing is run.

    Returns:
        The prepared build, the preview of every step, and the store that was read.

    Raises:
        TflbuildError: for a recipe that is not valid, or for a full or unwritable disk.
    """
    store = Store(store_root())
    with disk_errors(store.root):
        prepared = prepare_plan(overrides, multirun=multirun, store=store)
        return prepared, preview_plan(prepared.plan, store), store


@contextmanager
def open_executor(limits: Limits) -> Iterator[tuple[Executor, Console]]:
    """Open an executor over the user's store, and the console that shows its progress."""
    store = Store(store_root())
    with (
        disk_errors(store.root),
        open_console() as console,
        Executor(store, console.show, limits) as executor,
    ):
        yield executor, console


def connect(executor: Executor, shared: RemoteCacheSettings | None, cluster: Cluster | None = None) -> None:
    """Connect the executor to the remote cache and to the cluster that the recipes name.

    Raises:
        MachineError: for a Python package that the remote cache or the cluster needs and that is missing.
    """
    if cluster is not None and executor.remote_executor is None:
        package_version("ray")
        executor.remote_executor = RayCluster(cluster)
    if shared is None or not shared.usable or executor.limits.offline or executor.remote_cache is not None:
        return
    if shared.access == "objects":
        package_version("obstore")
    executor.connect(open_remote(shared), push=shared.push, seconds=shared.seconds)


def build(overrides: Sequence[str], limits: Limits) -> tuple[PreparedBuild, list[VariantResult]]:
    """Run all stages for one variant. `sweep_batches.build` runs a sweep, batch by batch.

    Raises:
        TflbuildError: for an invalid recipe, or for a machine that cannot build it. A step that fails does not raise.
    """
    with open_executor(limits) as (executor, console):
        read = observe_configuration()
        composed = compose(list(overrides))
        with withdraw_on_error(composed, executor.store):
            prepared = prepare_jobs(composed, read, executor.store)
            prepared.require_any()
            connect(executor, prepared.shared, prepared.cluster)
        for index, refused in prepared.refused.items():
            withdraw(composed[index], executor.store, refused.error)
        for note in prepared.notes:
            console.say(note)
        return prepared, execute_and_report(prepared, executor, console.say)


def execute_and_report(prepared: PreparedBuild, executor: Executor, say: Callable[[str], None]) -> list[VariantResult]:
    """Execute a plan and write the outputs of its variants. Return the results in the order of the jobs."""
    store = executor.store
    recipes = [resolved.recipe for resolved in prepared.resolved]
    requests = open_folders(recipes, prepared.locations, prepared.plan.goals, store)
    results = executor.execute(prepared.plan)
    searched = [
        run_search(resolved, describe_environment(), locations, executor, say)
        if all(results[step].ok for step in goals.values())
        else (resolved, None)
        for resolved, locations, goals in zip(prepared.resolved, prepared.locations, prepared.plan.goals, strict=True)
    ]
    plan = prepared.plan
    if any(search is not None for _, search in searched):
        plan = make_plan([resolved for resolved, _ in searched], describe_environment())
        results = executor.execute(plan)
    with disk_errors(store.root):
        git = read_state()
        reports = []
        for (resolved, search), locations, goals, request in zip(
            searched, prepared.locations, plan.goals, requests, strict=True
        ):
            roles = {role: results[step] for role, step in goals.items()}
            outcome = report_variant(resolved, search, locations, roles, store, git, request)
            if outcome.error is not None and outcome.row.verdict not in (NOT_BUILT, GATE_FAILED):
                record_failure(resolved.recipe, store, request, outcome.row.verdict, outcome.error)
            reports.append(replace(outcome, recipe=resolved.recipe.name, steps=roles))
    waiting = iter(reports)
    return [
        make_refused_result(prepared.refused[index]) if index in prepared.refused else next(waiting)
        for index in range(len(reports) + len(prepared.refused))
    ]


def make_refused_result(refused: RefusedVariant) -> VariantResult:
    """Return the result of a job that was refused."""
    row = SweepRow(refused.variant, "refused", None, refused.overrides)
    return VariantResult(row, str(refused.error), ran=False, error=refused.error)


def execute_all(executor: Executor, plan: Plan, locations: KeyLocations) -> dict[str, StepResult]:
    """Execute a plan of one variant and return the results of its steps by role.

    Raises:
        TflbuildError: for the first step that fails.
    """
    results = executor.execute(plan)
    for step_id, result in results.items():
        if result.failure is not None:
            raise convert_failure(plan.steps[step_id].title, result.failure, locations, None)
    return {role: results[step_id] for role, step_id in plan.goals[0].items()}


def report_variant(
    resolved: ResolvedRecipe,
    search: SearchResult | None,
    locations: KeyLocations,
    roles: Mapping[str, StepResult],
    store: Store,
    git: dict[str, Json] | None,
    request: str,
) -> VariantResult:
    """Write the outputs of a variant, check its gates, and return its result.

    Args:
        resolved: The recipe, with the quantization that its search chose.
        search: The result of its search, None for a recipe without one.
        locations: Where the keys of the recipe are written.
        roles: The results of its steps by role.
        store: The store that has the outputs of the steps.
        git: The state of the user's git repository, None outside of one.
        request: The digest of everything that decides what the build makes.

    Raises:
        MachineError: for an output folder that cannot be written to.
        RecipeError: for a gate on an output that the model does not have.
    """
    recipe = resolved.recipe
    folder = variant_folder(recipe)
    ran = any(result.status == "ran" for result in roles.values())
    failed = {role: result for role, result in roles.items() if result.failure is not None}
    if failed:
        write_logs(folder, store, failed)
        role, result = next(iter(failed.items()))
        assert result.failure is not None
        error = convert_failure(role, result.failure, locations, log_file(folder, role) if result.log else None)
        row = SweepRow(recipe.variant, f"failed in {role}", None, recipe.overrides)
        return VariantResult(row, str(error), ran, error=error)
    if not all(result.ok for result in roles.values()):
        return make_skipped_result(recipe, ran)
    if search is not None and search.chosen is None:
        return make_failed_search_result(recipe, search, ran, locations)
    gate_check = check_gates(recipe, roles, locations)
    verdicts, search = verdicts_json(gate_check.verdicts), evaluate_budget(search, roles)
    manifest = make_manifest(
        resolved, roles, used_packages(), gate_check.gates, verdicts, gate_check.faults, git, search
    )
    manifest["request"] = request
    written = write_outputs(folder, store, roles, manifest, accepted=gate_check.passed)
    line = summarize(written.model, manifest)
    if not gate_check.passed:
        note = f"the artifact is kept for study: {show_path(written.model)}"
        gate_error = gate_check.as_error("\n".join([note, *suggest_fixes(gate_check, roles, locations)]))
        row = SweepRow(recipe.variant, GATE_FAILED, manifest, recipe.overrides)
        return VariantResult(row, line, ran, written.files, gate_error, search)
    verdict = "ok" if manifest["verification"] == "passed" else str(manifest["verification"])
    row = SweepRow(recipe.variant, verdict, manifest, recipe.overrides)
    return VariantResult(row, line, ran, written.files, search=search)


def make_skipped_result(recipe: Recipe, ran: bool) -> VariantResult:
    """Return the result of a variant that `--fail-fast` skipped."""
    stopped = StepError(
        f"{recipe.name}/{recipe.variant} was not built",
        why="--fail-fast stopped at another variant's failure",
        next_step="the same command goes on from here",
    )
    row = SweepRow(recipe.variant, NOT_BUILT, None, recipe.overrides)
    return VariantResult(row, "", ran, error=stopped, recipe=recipe.name)


def make_failed_search_result(
    recipe: Recipe, search: SearchResult, ran: bool, locations: KeyLocations
) -> VariantResult:
    """Return the result of a search in which no trial met the budget, or in which no trial could be measured."""
    measured = [trial for trial in search.trials if trial.gates]
    if not measured:
        failure = next(trial.failure for trial in search.trials if trial.failure is not None)
        row = SweepRow(recipe.variant, "nothing measured", None, recipe.overrides)
        return VariantResult(
            row, "", ran, error=convert_failure("quantization=auto", failure, locations, None), search=search
        )
    best = max(measured, key=lambda trial: trial.fidelity)
    missed = [gate.text() for gate in best.gates if not gate.passed] or [best.collapse]
    error = GateError(
        f"nothing that quantization=auto tried for {recipe.name}/{recipe.variant} meets the budget",
        where=", ".join(locations.find(limit_key(recipe, name, limit)) for name, limit in search.budget),
        why="\n".join([f"the most faithful was {best.label}:", *missed]),
        next_step="a wider budget, more schemes (quantization.schemes) or more trials (quantization.trials)",
    )
    row = SweepRow(recipe.variant, "budget not met", None, recipe.overrides)
    return VariantResult(row, "", ran, error=error, search=search)


def convert_failure(role: str, failure: Failure, locations: KeyLocations, log: Path | None) -> TflbuildError:
    """Return the failure of a step as an error of the class that its kind names, with the step's log file.

    Args:
        role: The role of the step.
        failure: The failure, whose `where` is a recipe key or empty.
        locations: Where the keys of the recipe are written.
        log: The log file of the step, None if it has none.
    """
    where = f"step '{role}'" + (f", {locations.find(failure.where)}" if failure.where else "")
    where += "" if log is None else f"\nits log: {show_path(log)}"
    kind = BY_KIND.get(failure.kind, StepError)
    return kind(failure.what, where=where, why=failure.why, next_step=failure.next_step)


def remember_build(
    arguments: Sequence[str],
    prepared: PreparedBuild,
    outcomes: Sequence[VariantResult],
    extra_files: Sequence[Path],
    answer: str,
    warnings: str,
) -> None:
    """Record a build, so that the next run of the command prints `answer` at once while no file of it has changed.

    Args:
        arguments: The command line.
        prepared: The build, with the stat records of what it read. Its notes are repeated on standard error.
        outcomes: The results of its variants, whose output files are watched.
        extra_files: More output files to watch.
        answer: The text for standard output.
        warnings: The text for standard error.
    """
    # The attached device may change without a change of any file.
    if any(resolved.recipe.benchmark.kind == "android" for resolved in prepared.resolved):
        return
    written = [str(file) for files in (*(outcome.files for outcome in outcomes), extra_files) for file in files]
    environment = {name: os.environ.get(name) for name in prepared.environment}
    messages = "".join(f"{note}\n" for note in prepared.notes) + warnings
    cpu_dependent = any(outcome.row.manifest and outcome.row.manifest["tied_to_cpu"] for outcome in outcomes)
    host_specific = any(
        resolved.recipe.targets or resolved.recipe.benchmark.kind != "none" for resolved in prepared.resolved
    )
    machine = [name for name, counts in (("cpu", cpu_dependent), ("host", host_specific)) if counts]
    write_unchanged_note(arguments, prepared.read, written, environment, redact(answer), redact(messages), machine)
