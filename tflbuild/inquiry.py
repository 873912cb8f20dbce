"""The verbs that ask something of a recipe: a plan of their own, executed, and the one answer of its last step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tflbuild.config.mistakes import Places
from tflbuild.core.digest import Json
from tflbuild.core.recipe import Recipe
from tflbuild.errors import RecipeError
from tflbuild.execute.limits import Limits
from tflbuild.pipeline import connect, execute_all, open_executor, prepare_plan, surroundings
from tflbuild.plan.inquiries import Inquiry, make_advice, make_sensitivity
from tflbuild.report.outputs import prepare, variant_folder

Require = Callable[[Recipe, Places], None]


@dataclass(frozen=True)
class Answer:
    """What a question's step found, and the recipe that it was asked of."""

    recipe: Recipe
    found: Mapping[str, Json]


def sensitivity(overrides: Sequence[str], limits: Limits) -> Answer:
    """What quantizing each operator alone costs. Raises TflbuildError for a recipe that cannot say."""
    return _ask(overrides, limits, _require_sensitive, make_sensitivity, "sensitivity")


def advise(overrides: Sequence[str], limits: Limits) -> Answer:
    """Whether the calibration samples are enough. Raises TflbuildError for a recipe without any."""
    return _ask(overrides, limits, _require_samples, make_advice, "advise")


def _ask(overrides: Sequence[str], limits: Limits, require: Require, make: Inquiry, role: str) -> Answer:
    with open_executor(limits) as (executor, _):
        prepared = prepare_plan(overrides, multirun=False, store=executor.store)
        resolved, places = prepared.resolved[0], prepared.places[0]
        require(resolved.recipe, places)
        prepare(variant_folder(resolved.recipe))
        connect(executor, prepared.shared, prepared.cluster)
        plan = make(resolved, surroundings())
        found = execute_all(executor, plan, places)[role].facts
    return Answer(resolved.recipe, {name: value for name, value in found.items() if name != "peak_bytes"})


def _require_sensitive(recipe: Recipe, places: Places) -> None:
    unquantized = recipe.quantization.scheme == "none" or recipe.search is not None
    if unquantized or recipe.verify.dataset is None:
        lacks = "quantization" if unquantized else "verify"
        raise RecipeError(
            f"sensitivity needs {'a scheme' if lacks == 'quantization' else 'evaluation data'}",
            where=places.find(lacks),
            why="each operator is quantized alone, and the outputs compared on evaluation samples",
            next_step="quantization=int8" if lacks == "quantization" else "verify=parity verify.dataset.path=...",
        )


def _require_samples(recipe: Recipe, places: Places) -> None:
    if recipe.dataset is None:
        raise RecipeError(
            "advise needs calibration data",
            where=places.find("dataset"),
            why="it says whether the samples are enough, and there are none",
            next_step="dataset=npz dataset.path=...",
        )
