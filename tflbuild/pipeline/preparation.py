"""The stages compose, freeze, resolve and plan: from overrides to one plan."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tflbuild.config.composing.compose import Composed, compose
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
    """The first four rooms' result: recipes resolved, everything planned, nothing run.

    `read` is the stat record of all that was read, from before it was read. Of a sweep's jobs, by their place, some
    may be refused: the product of choices has holes. `shared` is the store that others share, `cluster`
    what takes the steps, None for this machine.
    """

    resolved: tuple[ResolvedRecipe, ...]
    places: tuple[KeyLocations, ...]
    plan: Plan
    read: Mapping[str, Stat | None]
    environment: frozenset[str]
    refused: Mapping[int, RefusedVariant]
    shared: RemoteCacheSettings | None
    cluster: Cluster | None = None
    notes: tuple[str, ...] = ()

    def require_any(self) -> None:
        """Raises the first refusal where all jobs are refused."""
        if not self.resolved and self.refused:
            raise self.refused[0].error


@dataclass(frozen=True)
class RefusedVariant:
    """A job of a sweep that contradicts itself, or names what is not there."""

    variant: str
    overrides: tuple[str, ...]
    error: RecipeError


def prepare_plan(overrides: Sequence[str], *, multirun: bool, store: Store) -> PreparedBuild:
    """Compose, freeze, resolve, plan. Raises TflbuildError for whatever is wrong with the recipe.

    A sweep goes on without the jobs that are refused, unless all are.
    """
    read = observe_configuration()
    prepared = prepare_jobs(compose(list(overrides), multirun=multirun), read, store)
    if multirun:
        check_objectives([prepared])
    prepared.require_any()
    return prepared


def observe_configuration() -> dict[str, Stat | None]:
    """The stat record of all that composition reads, to be taken before it does."""
    return {path: observe(path) for path in configuration_paths()}


def check_objectives(batches: Sequence[PreparedBuild], *, complete: bool = True) -> None:
    """Raises RecipeError for objectives that differ among the recipes of a sweep, or that none of them measures, where
    those that may come later would not either: `complete`."""
    pairs = [pair for one in batches for pair in zip(one.resolved, one.places, strict=True)]
    recipes, places = [one.recipe for one, _ in pairs], [place for _, place in pairs]
    require_same_objectives(recipes, places, lambda target: find_tool(target).to_prove, complete=complete)


def prepare_jobs(composed: Sequence[Composed], read: dict[str, Stat | None], store: Store) -> PreparedBuild:
    """The same from what was composed, refusals included; `read` grows."""
    shared, cluster = freeze_store(composed), freeze_executor(composed)
    store.believe(shared)
    stats, walked = FrozenStatCache(store.stats.folder), set[Path]()
    accepted: dict[int, ResolvedRecipe] = {}
    refused: dict[int, RefusedVariant] = {}
    for index, one in enumerate(composed):
        try:
            accepted[index] = _accept(one, stats, read, walked)
        except RecipeError as error:
            refused[index] = RefusedVariant(one.variant, one.overrides, error)
    resolved = tuple(accepted.values())
    unread = [tuple(one.key for one in composed[index].unread) for index in accepted]
    places = tuple(replace(composed[at].places, unread=keys) for at, keys in zip(accepted, unread, strict=True))
    return PreparedBuild(
        resolved=resolved,
        places=places,
        plan=make_plan(resolved, describe_environment()),
        read=read,
        environment=frozenset(name for one in composed for name in one.environment) | tool_variables(resolved),
        refused=refused,
        shared=shared,
        cluster=cluster,
        notes=(*note_unused_keys(composed[index].unread for index in accepted), *note_unconfirmed(shared)),
    )


def tool_variables(resolved: Sequence[ResolvedRecipe]) -> frozenset[str]:
    """The variables that decide what can prove the recipes' targets here, and what a shared store may give."""
    tools = [find_tool(target) for one in resolved for target in one.recipe.targets]
    return frozenset({TRUSTED_KEYS, *(name for tool in tools for name in tool.environment)})


def _accept(one: Composed, stats: FrozenStatCache, read: dict[str, Stat | None], walked: set[Path]) -> ResolvedRecipe:
    """Freeze and resolve; notes the stat record of what is read, ahead of it."""
    recipe = freeze(one)
    require_candidates(recipe, one.places)
    with locate_errors(one.places):
        require_tools(recipe)
        read |= {path: observe(path) for path in input_paths(recipe, walked) if path not in read}
        return resolve(recipe, stats)


def describe_environment() -> KeyEnvironment:
    """What this machine contributes to keys."""
    return KeyEnvironment(toolchain=toolchain, host=name_host(), cpu=describe_cpu(), session=SESSION, tool=find_tool)


def require_one_artifact(prepared: PreparedBuild) -> None:
    """Raises UsageError for a recipe whose targets get an artifact each: a question is about one."""
    if len(prepared.resolved) + len(prepared.refused) != 1:
        raise UsageError(
            "the recipe's targets get an artifact each, and this is asked of one",
            where="command line",
            next_step="name a target: target=gpu",
        )


@contextmanager
def locate_errors(places: KeyLocations) -> Iterator[None]:
    """Errors that name a key also say where it was written."""
    try:
        yield
    except RecipeError as error:
        error.where = places.find(error.where)
        raise
