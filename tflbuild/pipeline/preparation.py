"""The stages compose, freeze, resolve and plan: from overrides to one plan."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.composed_variant import Composed
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.unused_keys import note_unused_keys
from tflbuild.config.freezing.freeze import freeze
from tflbuild.config.freezing.freeze_executor import freeze_executor
from tflbuild.config.freezing.freeze_store import freeze_store, note_unconfirmed
from tflbuild.config.freezing.freeze_sweep import require_same_objectives
from tflbuild.core.cluster_settings import Cluster
from tflbuild.core.remote_cache_settings import TRUSTED_KEYS, RemoteCacheSettings
from tflbuild.core.step import Plan
from tflbuild.errors import RecipeError, UsageError
from tflbuild.pipeline.search_stage import require_candidates
from tflbuild.pipeline.tracked_files import configuration_paths, input_paths
from tflbuild.plan.plan_builder import KeyEnvironment
from tflbuild.plan.planner import make_plan
from tflbuild.resolve.input_digests import ResolvedRecipe, resolve
from tflbuild.resolve.machine_identity import describe_cpu, name_host
from tflbuild.resolve.target_tools import find_tool, require_tools
from tflbuild.resolve.toolchain import toolchain
from tflbuild.storage.digest_cache import FrozenStatCache
from tflbuild.storage.store import Store
from tflbuild.unchanged_build import Stat, observe

SESSION = uuid.uuid4().hex


@dataclass(frozen=True)
class PreparedBuild:
    """The result of the first four stages: resolved recipes and one plan. Nothing has run.

    `read` has the stat record of every file that was read, taken before it was read.
    `refused` maps the index of a job to its refusal, since some combinations of a sweep are invalid.
    `shared` is the remote cache. `cluster` runs the steps; without one, this machine does.
    """

    resolved: tuple[ResolvedRecipe, ...]
    locations: tuple[KeyLocations, ...]
    plan: Plan
    read: Mapping[str, Stat | None]
    environment: frozenset[str]
    refused: Mapping[int, RefusedVariant]
    shared: RemoteCacheSettings | None
    cluster: Cluster | None = None
    notes: tuple[str, ...] = ()

    def require_any(self) -> None:
        """Raise the first refusal if all jobs are refused."""
        if not self.resolved and self.refused:
            raise self.refused[0].error


@dataclass(frozen=True)
class RefusedVariant:
    """A job of a sweep whose recipe is invalid or names a file that does not exist."""

    variant: str
    overrides: tuple[str, ...]
    error: RecipeError


def prepare_plan(overrides: Sequence[str], *, multirun: bool, store: Store) -> PreparedBuild:
    """Compose, freeze, resolve and plan a command.

    A sweep goes on without the jobs that are refused, unless all of them are.

    Raises:
        TflbuildError: for an invalid recipe, or for a sweep whose jobs are all refused.
    """
    read = observe_configuration()
    prepared = prepare_jobs(compose(list(overrides), multirun=multirun), read, store)
    if multirun:
        check_objectives([prepared])
    prepared.require_any()
    return prepared


def observe_configuration() -> dict[str, Stat | None]:
    """Return the stat record of every file that composition reads. Call it before composition.

    A change of a file during composition is then noticed by the next build.
    """
    return {path: observe(path) for path in configuration_paths()}


def check_objectives(batches: Sequence[PreparedBuild], *, complete: bool = True) -> None:
    """Check that all recipes of a sweep have the same objectives, and that some recipe measures each of them.

    Args:
        batches: The prepared builds of the sweep so far.
        complete: False if a later batch may measure an objective that none measures yet.

    Raises:
        RecipeError: for different objectives, or for an objective that no recipe measures.
    """
    recipes = [resolved.recipe for prepared in batches for resolved in prepared.resolved]
    locations = [recipe_locations for prepared in batches for recipe_locations in prepared.locations]
    require_same_objectives(recipes, locations, lambda target: find_tool(target).to_prove, complete=complete)


def prepare_jobs(composed: Sequence[Composed], read: dict[str, Stat | None], store: Store) -> PreparedBuild:
    """Freeze, resolve and plan composed jobs. Invalid jobs are returned in `refused`.

    Args:
        composed: The composed jobs.
        read: Stat records, to which those of the inputs are added in place.
        store: The store, whose remote cache is set.

    Raises:
        TflbuildError: for settings of the remote cache or of the cluster that are wrong or differ between jobs.
    """
    shared, cluster = freeze_store(composed), freeze_executor(composed)
    store.trust(shared)
    stats, walked = FrozenStatCache(store.stats.folder), set[Path]()
    accepted: dict[int, ResolvedRecipe] = {}
    refused: dict[int, RefusedVariant] = {}
    for index, job in enumerate(composed):
        try:
            accepted[index] = _accept(job, stats, read, walked)
        except RecipeError as error:
            refused[index] = RefusedVariant(job.variant, job.overrides, error)
    resolved = tuple(accepted.values())
    locations = tuple(
        replace(composed[index].locations, unused_keys=tuple(unused.key for unused in composed[index].unused_keys))
        for index in accepted
    )
    return PreparedBuild(
        resolved=resolved,
        locations=locations,
        plan=make_plan(resolved, describe_environment()),
        read=read,
        environment=frozenset(name for job in composed for name in job.environment) | tool_variables(resolved),
        refused=refused,
        shared=shared,
        cluster=cluster,
        notes=(*note_unused_keys(composed[index].unused_keys for index in accepted), *note_unconfirmed(shared)),
    )


def tool_variables(resolved: Sequence[ResolvedRecipe]) -> frozenset[str]:
    """Return the environment variables that decide what is proven here and what a remote cache may provide."""
    tools = [find_tool(target) for variant in resolved for target in variant.recipe.targets]
    return frozenset({TRUSTED_KEYS, *(name for tool in tools for name in tool.environment)})


def _accept(
    composed: Composed, stats: FrozenStatCache, read: dict[str, Stat | None], walked: set[Path]
) -> ResolvedRecipe:
    """Freeze and resolve a job. Adds the stat records of its inputs to `read` before the inputs are read."""
    recipe = freeze(composed)
    require_candidates(recipe, composed.locations)
    with locate_errors(composed.locations):
        require_tools(recipe)
        read |= {path: observe(path) for path in input_paths(recipe, walked) if path not in read}
        return resolve(recipe, stats)


def describe_environment() -> KeyEnvironment:
    """Return what this machine contributes to cache keys: toolchain, host, CPU and target tools."""
    return KeyEnvironment(toolchain=toolchain, host=name_host(), cpu=describe_cpu(), session=SESSION, tool=find_tool)


def require_one_artifact(prepared: PreparedBuild) -> None:
    """Check that a recipe makes one artifact, as analysis commands require.

    Raises:
        UsageError: for a recipe that makes an artifact for each target.
    """
    if len(prepared.resolved) + len(prepared.refused) != 1:
        raise UsageError(
            "the recipe makes an artifact for each target, and this command needs exactly one artifact",
            where="command line",
            next_step="name a target: target=gpu",
        )


@contextmanager
def locate_errors(locations: KeyLocations) -> Iterator[None]:
    """Add to errors that name a recipe key where the key is written."""
    try:
        yield
    except RecipeError as error:
        error.where = locations.find(error.where)
        raise
