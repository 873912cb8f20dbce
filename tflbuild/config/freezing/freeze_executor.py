"""Freeze the settings of the cluster that runs steps, which are not part of the recipe."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from tflbuild.config.composing.composed_variant import Composed
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.core.byte_sizes import read_size
from tflbuild.core.cluster_settings import Cluster
from tflbuild.errors import RecipeError

VARIABLES = {"executor.address": "RAY_ADDRESS"}
# The resources that Ray counts by itself.
OWN = ("CPU", "GPU", "memory", "object_store_memory")


def freeze_executor(composed: Sequence[Composed]) -> Cluster | None:
    """Return the cluster of all variants, or None if this machine runs the steps.

    Raises:
        RecipeError: for settings that are not valid, that differ between variants, or that a file may not set.
    """
    clusters = [_freeze(variant.build.executor, RecipeErrors(variant.locations)) for variant in composed]
    for variant in composed:
        _require_own(variant, RecipeErrors(variant.locations))
    if any(cluster != clusters[0] for cluster in clusters):
        raise RecipeError(
            "the variants of a sweep share one executor",
            where=composed[0].locations.find("executor"),
            why="their steps are one plan",
            next_step="give executor, and every key of it, one value",
        )
    return clusters[0]


def _require_own(composed: Composed, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a cluster, or a folder of its nodes, that a file names.

    A cluster gets all files that steps read, and its answers are unpickled here. So whoever names it runs code as the
    user.
    """
    executor = composed.build.executor
    if not isinstance(executor, schema.RayExecutor):
        return
    for key, value in (("executor.address", executor.address), ("executor.store", executor.store)):
        if value and composed.typed.get(key) != value and value != os.environ.get(VARIABLES.get(key, "")):
            raise refusals.refuse(
                f"'{key}' may not be set in a file",
                key,
                why="a cluster gets all files that steps read, and its answers are trusted",
                next_step=f"if you trust that cluster, set it on the command line: {key}={value}"
                + ("; or set RAY_ADDRESS" if key in VARIABLES else ""),
            )


def _freeze(executor: schema.ExecutorConfig, refusals: RecipeErrors) -> Cluster | None:
    kind = type(executor).kind
    if executor.kind != kind:
        raise refusals.refuse(
            f"'executor.kind' cannot be set to '{executor.kind}'",
            "executor.kind",
            why="it names the option, whose other keys would not fit",
            next_step=f"choose the option: executor={executor.kind}",
        )
    if not isinstance(executor, schema.RayExecutor):
        return None
    refusals.require(executor.slots is None or executor.slots >= 1, "executor.slots", executor.slots, "at least 1")
    cpus = executor.cpus
    refusals.require(
        math.isfinite(cpus) and cpus > 0 and (cpus < 1 or cpus == int(cpus)),
        "executor.cpus",
        cpus,
        "a whole number, or a share of one CPU above 0, as Ray counts them",
    )
    memory = read_size(executor.memory) if executor.memory else 0
    refusals.require(memory is not None, "executor.memory", executor.memory, "a size such as 8G or 512M")
    for name, amount in executor.resources.items():
        refusals.require(math.isfinite(amount) and amount > 0, f"executor.resources.{name}", amount, "above 0")
        if name in OWN:
            raise refusals.refuse(
                f"'{name}' is no resource of your own",
                f"executor.resources.{name}",
                why="Ray counts it by itself",
                next_step="executor.cpus, executor.memory",
            )
    return Cluster(
        address=executor.address,
        slots=executor.slots,
        cpus=cpus,
        memory=memory or 0,
        resources=tuple(sorted(executor.resources.items())),
        store=executor.store,
    )
