"""Freeze the objectives of a sweep, and check that its variants have the same ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.target_figures import (
    COUNTED,
    is_profile,
    is_reported,
    list_figure_names,
    list_target_figures,
)
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.core.gates import ACCURACIES, LATENCIES, SIZE_FIGURES, WORST_OF_OUTPUTS, split_target
from tflbuild.core.objective import DIRECTIONS, Objective
from tflbuild.core.recipe import Recipe, Target
from tflbuild.errors import RecipeError, nearest

KEY = "sweep.objectives"
FIGURES = (*SIZE_FIGURES, *WORST_OF_OUTPUTS, *ACCURACIES, *LATENCIES)


def freeze_objectives(
    sweep: schema.SweepConfig, metrics: Collection[str], refusals: RecipeErrors
) -> tuple[Objective, ...]:
    """Return the objectives of a sweep in their order.

    Args:
        sweep: The section `sweep` of the recipe.
        metrics: The names of the user's own metrics.
        refusals: Makes the errors.

    Raises:
        RecipeError: for a text that is not an objective, and for an unknown figure.
    """
    frozen: list[Objective] = []
    for text in sweep.objectives:
        figure, _, direction = text.rpartition(":")
        if direction not in DIRECTIONS or not figure:
            raise refusals.refuse(
                f"'{text}' is no objective",
                KEY,
                why="an objective is a figure, a colon and the better direction",
                next_step=f"{figure or direction}:min or {figure or direction}:max",
            )
        require_figure(figure, metrics, refusals)
        if figure in [objective.figure for objective in frozen]:
            raise refusals.refuse(f"'{figure}' is an objective twice", KEY, next_step="name it once")
        frozen.append(Objective(figure, direction))
    return tuple(frozen)


def require_figure(figure: str, metrics: Collection[str], refusals: RecipeErrors) -> None:
    """Raise RecipeError for a figure that nothing measures."""
    figures = [*FIGURES, *(f"metrics.{name}" for name in metrics)]
    output, _, last = figure.removeprefix("outputs.").rpartition(".")
    if figure in figures or (figure.startswith("outputs.") and output and last in WORST_OF_OUTPUTS):
        return
    target, own = split_target(figure)
    if target and is_reported(own):
        return
    if not target and is_reported(figure):
        having = [one for one in list_figure_names() if one.endswith(f".{figure}")]
        raise refusals.refuse(
            f"'{figure}' does not name a target",
            KEY,
            next_step=f"{having[0]}, if that one is meant" if having else f"TARGET.{figure}",
        )
    names = [one.partition(".")[2] for one in list_figure_names(target)] if target else figures
    raise refusals.refuse(
        f"'{figure}' is no figure that is measured",
        KEY,
        why=nearest(figure, [*figures, *list_figure_names(), *list_figure_names(target)] if target else figures),
        next_step=f"known of {f'target={target}' if is_profile(target) else 'targets'}: {', '.join(names)}"
        if target
        else f"choose one of: {', '.join(names)}, or outputs.NAME.snr_db for one output, or TARGET.FIGURE",
    )


def require_same_objectives(
    recipes: Sequence[Recipe],
    locations: Sequence[KeyLocations],
    to_prove: Callable[[Target], str] = lambda _: "",
    *,
    complete: bool = True,
) -> None:
    """Check the objectives of a sweep.

    Args:
        recipes: The recipes of the sweep so far.
        locations: Where the keys of each recipe are written.
        to_prove: Returns what must be installed so that a target is proven here, or "".
        complete: False if further recipes follow, which may measure other figures.

    Raises:
        RecipeError: for recipes with different objectives, and for an objective that no recipe measures.
    """
    lists = list(dict.fromkeys(recipe.objectives for recipe in recipes))
    if len(lists) > 1:
        raise RecipeError(
            "the variants of this sweep have different objectives",
            where=locations[0].find(KEY),
            why="\n".join(
                ", ".join(objective.text for objective in objectives) or "none, so accuracy and bytes"
                for objectives in lists
            ),
            next_step="one list for all of them, on the command line: sweep.objectives=[...]",
        )
    for objective in lists[0] if lists and complete else ():
        if split_target(objective.figure)[0]:
            require_reported(objective.figure, recipes, locations[0].find(KEY), to_prove)
            continue
        needed = [missing_measurement(recipe, objective.figure) for recipe in recipes]
        if all(needed):
            raise RecipeError(
                f"no variant of this sweep measures '{objective.figure}'",
                where=locations[0].find(KEY),
                why=f"it needs {needed[0]}",
                next_step="add that, or leave the objective out",
            )


def require_reported(figure: str, recipes: Sequence[Recipe], where: str, to_prove: Callable[[Target], str]) -> None:
    """Raise RecipeError for a target's figure that no variant has: the target, the figure or the proof is missing."""
    name, own = split_target(figure)
    every = {target.name: target for recipe in recipes for target in recipe.targets}
    having = [target for recipe in recipes for target in recipe.targets if target.name == name]
    if any(own in list_target_figures(target, proves=not to_prove(target)) for target in having):
        return
    if not having:
        raise RecipeError(
            f"no variant of this sweep has target '{name}', and an objective is '{figure}'",
            where=where,
            why=nearest(name, every) if every else "none of them has a target",
            next_step=f"{f'target={name}' if is_profile(name) else 'one of their targets'}, or leave the objective out",
        )
    figures = list(dict.fromkeys(one for target in having for one in list_target_figures(target, proves=True)))
    if own not in figures:
        raise RecipeError(
            f"target={name} reports no '{own}'",
            where=where,
            why=nearest(own, figures).partition("known: ")[0],
            next_step=f"known of it: {', '.join(figures)}" if figures else "leave the objective out",
        )
    raise RecipeError(
        f"no variant of this sweep measures '{figure}'",
        where=where,
        why=f"the target must be proven for it, which this machine cannot: rules report {', '.join(COUNTED)} only",
        next_step=to_prove(having[0]),
    )


def missing_measurement(recipe: Recipe, figure: str) -> str:
    """Return the option that a recipe needs to measure a figure, or "" if it measures the figure."""
    if figure in LATENCIES:
        return "" if recipe.benchmark.kind == "host" else "benchmark=host"
    if figure in ACCURACIES:
        return "" if recipe.verify.kind == "classification" else "verify=classification"
    if figure in SIZE_FIGURES or recipe.verify.kind != "none":
        return ""
    return "verify=parity or verify=classification"
