"""The corridor: the one file that sees every room.

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

NOT_BUILT, GATE_FAILED = "not built", "gate failed"  # verdicts of variants whose folders need no record of a failure


@dataclass(frozen=True)
class VariantResult:
    """The end of one variant: its row for tables, its line for a person, its error if it has one.

    `found` is what was tried, where that was asked for; `steps` are its recipe's steps by role, as they ended.
    """

    row: SweepRow
    line: str
    ran: bool
    files: tuple[Path, ...] = ()
    error: TflbuildError | None = None
    found: SearchResult | None = None
    recipe: str = ""
    steps: Mapping[str, StepResult] = field(default_factory=dict)


def preview_build(overrides: Sequence[str], *, multirun: bool) -> tuple[PreparedBuild, list[StepPreview], Store]:
    """What a build would do, without doing it."""
    store = Store(store_root())
    with disk_errors(store.root):
        prepared = prepare_plan(overrides, multirun=multirun, store=store)
        return prepared, preview_plan(prepared.plan, store), store


@contextmanager
def open_executor(limits: Limits) -> Iterator[tuple[Executor, Console]]:
    """An executor over the user's store, that shows what it does."""
    store = Store(store_root())
    with (
        disk_errors(store.root),
        open_console() as console,
        Executor(store, console.show, limits) as executor,
    ):
        yield executor, console


def connect(executor: Executor, shared: RemoteCacheSettings | None, cluster: Cluster | None = None) -> None:
    """Give the executor what the recipes name beside this machine. Raises MachineError for a missing package."""
    if cluster is not None and executor.elsewhere is None:
        package_version("ray")
        executor.elsewhere = RayCluster(cluster)
    if shared is None or not shared.usable or executor.limits.offline or executor.exchange is not None:
        return
    if shared.access == "objects":
        package_version("obstore")
    executor.connect(open_remote(shared), push=shared.push, seconds=shared.seconds)


def build(overrides: Sequence[str], limits: Limits) -> tuple[PreparedBuild, list[VariantResult]]:
    """The whole corridor, for one variant; a sweep goes it batch by batch (pipeline/sweep_batches.py)."""
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
    """Execute and report: one outcome a job, in their order."""
    store = executor.store
    recipes = [one.recipe for one in prepared.resolved]
    requests = open_folders(recipes, prepared.places, prepared.plan.goals, store)
    results = executor.execute(prepared.plan)
    settled = [
        run_search(one, describe_environment(), places, executor, say)
        if all(results[step].ok for step in goals.values())
        else (one, None)
        for one, places, goals in zip(prepared.resolved, prepared.places, prepared.plan.goals, strict=True)
    ]
    plan = prepared.plan
    if any(found is not None for _, found in settled):
        plan = make_plan([one for one, _ in settled], describe_environment())
        results = executor.execute(plan)
    with disk_errors(store.root):
        git = read_state()
        reports = []
        for (one, found), places, goals, request in zip(settled, prepared.places, plan.goals, requests, strict=True):
            roles = {role: results[step] for role, step in goals.items()}
            outcome = report_variant(one, found, places, roles, store, git, request)
            if outcome.error is not None and outcome.row.verdict not in (NOT_BUILT, GATE_FAILED):
                record_failure(one.recipe, store, request, outcome.row.verdict, outcome.error)
            reports.append(replace(outcome, recipe=one.recipe.name, steps=roles))
    waiting = iter(reports)
    return [
        make_refused_result(prepared.refused[index]) if index in prepared.refused else next(waiting)
        for index in range(len(reports) + len(prepared.refused))
    ]


def make_refused_result(refused: RefusedVariant) -> VariantResult:
    """The row of a job that was not begun."""
    row = SweepRow(refused.variant, "refused", None, refused.overrides)
    return VariantResult(row, str(refused.error), ran=False, error=refused.error)


def execute_all(executor: Executor, plan: Plan, places: KeyLocations) -> dict[str, StepResult]:
    """The results of a plan for one variant, by role. Raises TflbuildError for the first step that fails."""
    results = executor.execute(plan)
    for step_id, result in results.items():
        if result.failure is not None:
            raise convert_failure(plan.steps[step_id].title, result.failure, places, None)
    return {role: results[step_id] for role, step_id in plan.goals[0].items()}


def report_variant(
    resolved: ResolvedRecipe,
    found: SearchResult | None,
    places: KeyLocations,
    roles: Mapping[str, StepResult],
    store: Store,
    git: dict[str, Json] | None,
    request: str,
) -> VariantResult:
    """Write what a variant came to, and say it."""
    recipe = resolved.recipe
    folder = variant_folder(recipe)
    ran = any(result.status == "ran" for result in roles.values())
    failed = {role: result for role, result in roles.items() if result.failure is not None}
    if failed:
        write_logs(folder, store, failed)
        role, result = next(iter(failed.items()))
        assert result.failure is not None
        error = convert_failure(role, result.failure, places, log_file(folder, role) if result.log else None)
        row = SweepRow(recipe.variant, f"failed in {role}", None, recipe.overrides)
        return VariantResult(row, str(error), ran, error=error)
    if not all(result.ok for result in roles.values()):
        return make_skipped_result(recipe, ran)
    if found is not None and found.chosen is None:
        return make_failed_search_result(recipe, found, ran, places)
    judgement = check_gates(recipe, roles, places)
    verdicts, found = verdicts_json(judgement.verdicts), evaluate_budget(found, roles)
    manifest = make_manifest(resolved, roles, used_packages(), judgement.gates, verdicts, judgement.faults, git, found)
    manifest["request"] = request
    written = write_outputs(folder, store, roles, manifest, accepted=judgement.passed)
    line = summarize(written.model, manifest)
    if not judgement.passed:
        kept = f"the artifact is kept for study: {show_path(written.model)}"
        gate_error = judgement.as_error("\n".join([kept, *suggest_fixes(judgement, roles, places)]))
        row = SweepRow(recipe.variant, GATE_FAILED, manifest, recipe.overrides)
        return VariantResult(row, line, ran, written.files, gate_error, found)
    verdict = "ok" if manifest["verification"] == "passed" else str(manifest["verification"])
    row = SweepRow(recipe.variant, verdict, manifest, recipe.overrides)
    return VariantResult(row, line, ran, written.files, found=found)


def make_skipped_result(recipe: Recipe, ran: bool) -> VariantResult:
    """The row of a variant that --fail-fast left out."""
    stopped = StepError(
        f"{recipe.name}/{recipe.variant} was not built",
        why="--fail-fast stopped at another variant's failure",
        next_step="the same command goes on from here",
    )
    row = SweepRow(recipe.variant, NOT_BUILT, None, recipe.overrides)
    return VariantResult(row, "", ran, error=stopped, recipe=recipe.name)


def make_failed_search_result(recipe: Recipe, found: SearchResult, ran: bool, places: KeyLocations) -> VariantResult:
    """A search that nothing was good enough for, or in which nothing could be measured."""
    measured = [trial for trial in found.trials if trial.gates]
    if not measured:
        failure = next(trial.failure for trial in found.trials if trial.failure is not None)
        row = SweepRow(recipe.variant, "nothing measured", None, recipe.overrides)
        return VariantResult(
            row, "", ran, error=convert_failure("quantization=auto", failure, places, None), found=found
        )
    nearest_one = max(measured, key=lambda trial: trial.fidelity)
    missed = [gate.text() for gate in nearest_one.gates if not gate.passed] or [nearest_one.collapse]
    error = GateError(
        f"nothing that quantization=auto tried for {recipe.name}/{recipe.variant} meets the budget",
        where=", ".join(places.find(limit_key(recipe, name, limit)) for name, limit in found.budget),
        why="\n".join([f"the most faithful was {nearest_one.label}:", *missed]),
        next_step="a wider budget, more schemes (quantization.schemes) or more trials (quantization.trials)",
    )
    row = SweepRow(recipe.variant, "budget not met", None, recipe.overrides)
    return VariantResult(row, "", ran, error=error, found=found)


def convert_failure(role: str, failure: Failure, places: KeyLocations, log: Path | None) -> TflbuildError:
    """A step's failure as the error that its kind names, with the key's place and the step's log."""
    where = f"step '{role}'" + (f", {places.find(failure.where)}" if failure.where else "")
    where += "" if log is None else f"\nits log: {show_path(log)}"
    kind = BY_KIND.get(failure.kind, StepError)
    return kind(failure.what, where=where, why=failure.why, next_step=failure.next_step)


def remember_build(
    arguments: Sequence[str],
    prepared: PreparedBuild,
    outcomes: Sequence[VariantResult],
    more: Sequence[Path],
    answer: str,
    warnings: str,
) -> None:
    """Let the same command, run again, say `answer` at once while neither the outcomes' files nor `more` change.

    `warnings` and the notes of the plan go to standard error."""
    if any(one.recipe.benchmark.kind == "android" for one in prepared.resolved):
        return  # which device is attached shows when it is asked
    written = [str(file) for files in (*(outcome.files for outcome in outcomes), more) for file in files]
    environment = {name: os.environ.get(name) for name in prepared.environment}
    said = "".join(f"{note}\n" for note in prepared.notes) + warnings
    tied = any(one.row.manifest and one.row.manifest["tied_to_cpu"] for one in outcomes)
    timed = any(one.recipe.targets or one.recipe.benchmark.kind != "none" for one in prepared.resolved)
    machine = [name for name, counts in (("cpu", tied), ("host", timed)) if counts]
    write_unchanged_note(arguments, prepared.read, written, environment, redact(answer), redact(said), machine)
