"""Schema -> Recipe, the part that says what a sweep is judged by; and what the variants of one have in common."""

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
    """The objectives in their order; `metrics` are the user's own by name. Raises RecipeError for what is no figure."""
    frozen: list[Objective] = []
    for told in sweep.objectives:
        figure, _, direction = told.rpartition(":")
        if direction not in DIRECTIONS or not figure:
            raise refusals.refuse(
                f"'{told}' is no objective",
                KEY,
                why="an objective is a figure, a colon and the side that is better",
                next_step=f"{figure or direction}:min or {figure or direction}:max",
            )
        require_figure(figure, metrics, refusals)
        if figure in [one.figure for one in frozen]:
            raise refusals.refuse(f"'{figure}' is an objective twice", KEY, next_step="name it once")
        frozen.append(Objective(figure, direction))
    return tuple(frozen)


def require_figure(figure: str, metrics: Collection[str], refusals: RecipeErrors) -> None:
    """Raises RecipeError for what nothing measures under that name."""
    known = [*FIGURES, *(f"metrics.{name}" for name in metrics)]
    output, _, last = figure.removeprefix("outputs.").rpartition(".")
    if figure in known or (figure.startswith("outputs.") and output and last in WORST_OF_OUTPUTS):
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
    names = [one.partition(".")[2] for one in list_figure_names(target)] if target else known
    raise refusals.refuse(
        f"'{figure}' is no figure that is measured",
        KEY,
        why=nearest(figure, [*known, *list_figure_names(), *list_figure_names(target)] if target else known),
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
    """Raises RecipeError for variants of a sweep with different objectives, and for one that none of them measures.

    `to_prove` says what to install where a target can only be held against rules here, "" where it can be proven.
    Not `complete`: others follow, which may measure what these do not.
    """
    aims = list(dict.fromkeys(recipe.objectives for recipe in recipes))
    if len(aims) > 1:
        raise RecipeError(
            "the variants of this sweep have different objectives",
            where=locations[0].find(KEY),
            why="\n".join(", ".join(one.text for one in aim) or "none, so accuracy and bytes" for aim in aims),
            next_step="one list for all of them, on the command line: sweep.objectives=[...]",
        )
    for objective in aims[0] if aims and complete else ():
        if split_target(objective.figure)[0]:
            require_reported(objective.figure, recipes, locations[0].find(KEY), to_prove)
            continue
        needed = [missing_measurement(recipe, objective.figure) for recipe in recipes]
        if all(needed):
            raise RecipeError(
                f"no variant of this sweep measures '{objective.figure}'",
                where=locations[0].find(KEY),
                why=f"it takes {needed[0]}",
                next_step="add that, or leave the objective out",
            )


def require_reported(figure: str, recipes: Sequence[Recipe], where: str, to_prove: Callable[[Target], str]) -> None:
    """Raises RecipeError for a target's figure that no variant will have: no such target, no such figure, no proof."""
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
    known = list(dict.fromkeys(one for target in having for one in list_target_figures(target, proves=True)))
    if own not in known:
        raise RecipeError(
            f"target={name} reports no '{own}'",
            where=where,
            why=nearest(own, known).partition("known: ")[0],
            next_step=f"known of it: {', '.join(known)}" if known else "leave the objective out",
        )
    raise RecipeError(
        f"no variant of this sweep measures '{figure}'",
        where=where,
        why=f"it is had by proving the target, which nothing here can: rules tell {', '.join(COUNTED)} at most",
        next_step=to_prove(having[0]),
    )


def missing_measurement(recipe: Recipe, figure: str) -> str:
    """What a variant lacks for a figure to be measured; "" where it has it."""
    if figure in LATENCIES:
        return "" if recipe.benchmark.kind == "host" else "benchmark=host"
    if figure in ACCURACIES:
        return "" if recipe.verify.kind == "classification" else "verify=classification"
    if figure in SIZE_FIGURES or recipe.verify.kind != "none":
        return ""
    return "verify=parity or verify=classification"
