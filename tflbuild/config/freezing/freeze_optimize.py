"""Freeze the section of a recipe that describes training before conversion."""

from __future__ import annotations

import math

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.freeze_data import freeze_dataset
from tflbuild.config.schema import schema_optimize as schema
from tflbuild.core.recipe import Optimize

ORDER = [step.value for step in schema.OptimizeStep]
HALF = 0.5


def freeze_optimize(optimize: schema.OptimizeConfig, refusals: RecipeErrors) -> Optimize | None:
    """Return the training before conversion, or None without steps.

    Raises:
        RecipeError: for steps in a wrong order, missing samples or labels, and numbers out of range.
    """
    steps = tuple(step.value for step in optimize.steps)
    if not steps:
        return None
    if list(steps) != [step for step in ORDER if step in steps]:
        raise refusals.refuse(
            f"optimize.steps is [{', '.join(steps)}]",
            "optimize.steps",
            why="each step keeps what the ones before it made, in this order alone: " + ", ".join(ORDER),
            next_step=f"optimize.steps=[{','.join(step for step in ORDER if step in steps)}]",
        )
    require_numbers(optimize, refusals)
    dataset = freeze_dataset(optimize.dataset, "optimize.dataset", refusals)
    if dataset is None:
        raise refusals.refuse(
            f"optimize.steps=[{', '.join(steps)}] has no training samples",
            "optimize.dataset",
            next_step="dataset@optimize.dataset=npz optimize.dataset.path=..., or optimize=none",
        )
    loss = optimize.loss.value
    if loss != "source_mse" and not dataset.label:
        raise refusals.refuse(
            f"optimize.loss={loss} has no labels",
            "optimize.dataset.label",
            next_step="name the array: optimize.dataset.label=label; or optimize.loss=source_mse, which needs none",
        )
    return Optimize(
        steps=steps,
        dataset=dataset,
        epochs=optimize.epochs,
        batch=optimize.batch,
        learning_rate=optimize.learning_rate,
        optimizer=optimize.optimizer.value,
        loss=loss,
        seed=optimize.seed,
        sparsity=pruned_share(optimize, refusals) if "prune" in steps else None,
        pattern=optimize.pattern.value if "prune" in steps else None,
        clusters=optimize.clusters if "cluster" in steps else None,
    )


def require_numbers(optimize: schema.OptimizeConfig, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a number out of range."""
    for name in ("epochs", "batch"):
        value = getattr(optimize, name)
        refusals.require(value >= 1, f"optimize.{name}", value, "at least 1")
    rate = optimize.learning_rate
    refusals.require(math.isfinite(rate) and rate > 0, "optimize.learning_rate", rate, "above 0")
    refusals.require(0 <= optimize.seed < 2**31, "optimize.seed", optimize.seed, "from 0 to 2147483647")
    refusals.require(0 < optimize.sparsity < 1, "optimize.sparsity", optimize.sparsity, "between 0 and 1")
    refusals.require(2 <= optimize.clusters <= 256, "optimize.clusters", optimize.clusters, "from 2 to 256")


def pruned_share(optimize: schema.OptimizeConfig, refusals: RecipeErrors) -> float:
    """Return the fraction of weights that pruning sets to zero. The pattern two_of_four means one half."""
    if "sparsity" in type(optimize).unused:
        return HALF
    if optimize.pattern is schema.Pattern.two_of_four and optimize.sparsity != HALF:
        raise refusals.refuse(
            f"optimize.pattern=two_of_four leaves one half, and optimize.sparsity is {optimize.sparsity}",
            "optimize.sparsity",
            next_step="optimize.sparsity=0.5, or optimize.pattern=any",
        )
    return optimize.sparsity
