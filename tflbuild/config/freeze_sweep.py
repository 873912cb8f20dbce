"""Schema -> Recipe, the part that says what a sweep is judged by; and what the variants of one have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tflbuild.config import schema
from tflbuild.config.mistakes import Places
from tflbuild.config.refusals import Refusals
from tflbuild.core.gates import ACCURACIES, LATENCIES, WHOLE, WORST_OF_OUTPUTS
from tflbuild.core.objective import DIRECTIONS, Objective
from tflbuild.core.recipe import Recipe
from tflbuild.errors import RecipeError, nearest

KEY = "sweep.objectives"
FIGURES = (*WHOLE, *WORST_OF_OUTPUTS, *ACCURACIES, *LATENCIES)


def freeze_objectives(sweep: schema.Sweep, metrics: Collection[str], refusals: Refusals) -> tuple[Objective, ...]:
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


def require_figure(figure: str, metrics: Collection[str], refusals: Refusals) -> None:
    """Raises RecipeError for what nothing measures under that name."""
    known = [*FIGURES, *(f"metrics.{name}" for name in metrics)]
    output, _, last = figure.removeprefix("outputs.").rpartition(".")
    if figure in known or (figure.startswith("outputs.") and output and last in WORST_OF_OUTPUTS):
        return
    raise refusals.refuse(
        f"'{figure}' is no figure that is measured",
        KEY,
        why=nearest(figure, known),
        next_step=f"choose one of: {', '.join(known)}, or outputs.NAME.snr_db for one output",
    )


def require_one_aim(recipes: Sequence[Recipe], places: Sequence[Places]) -> None:
    """Raises RecipeError for variants of a sweep with different objectives, and for one that none of them measures."""
    aims = list(dict.fromkeys(recipe.objectives for recipe in recipes))
    if len(aims) > 1:
        raise RecipeError(
            "the variants of this sweep have different objectives",
            where=places[0].find(KEY),
            why="\n".join(", ".join(one.text for one in aim) or "none, so accuracy and bytes" for aim in aims),
            next_step="one list for all of them, on the command line: sweep.objectives=[...]",
        )
    for objective in aims[0] if aims else ():
        needed = [needs(recipe, objective.figure) for recipe in recipes]
        if all(needed):
            raise RecipeError(
                f"no variant of this sweep measures '{objective.figure}'",
                where=places[0].find(KEY),
                why=f"it takes {needed[0]}",
                next_step="add that, or leave the objective out",
            )


def needs(recipe: Recipe, figure: str) -> str:
    """What a variant lacks for a figure to be measured; "" where it has it."""
    if figure in LATENCIES:
        return "" if recipe.benchmark.kind == "host" else "benchmark=host"
    if figure in ACCURACIES:
        return "" if recipe.verify.kind == "classification" else "verify=classification"
    if figure in WHOLE or recipe.verify.kind != "none":
        return ""
    return "verify=parity or verify=classification"
