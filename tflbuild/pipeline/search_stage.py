"""What pipeline and search have between them: which schemes a recipe allows, how its search ends, its limits held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.class_order_checks import check_class_names
from tflbuild.config.freezing.contradictions import check_quantization
from tflbuild.config.freezing.freeze_quantization import require_algorithm
from tflbuild.core.digest import Json
from tflbuild.core.gates import Gate, NotMeasuredError, evaluate
from tflbuild.core.recipe import Recipe
from tflbuild.core.schemes import CALIBRATED
from tflbuild.core.search_result import SearchResult
from tflbuild.core.step_result import StepResult
from tflbuild.errors import RecipeError, nearest
from tflbuild.execute.executor import Executor
from tflbuild.plan.plan_builder import KeyEnvironment
from tflbuild.resolve.input_digests import ResolvedRecipe
from tflbuild.search import search_candidates
from tflbuild.search.search_strategy import SchemeSearch
from tflbuild.search.trial_builds import TrialBuilds


def run_search(
    resolved: ResolvedRecipe,
    around: KeyEnvironment,
    places: KeyLocations,
    executor: Executor,
    say: Callable[[str], None],
) -> tuple[ResolvedRecipe, SearchResult | None]:
    """The recipe with the quantization that its search ends with; as it is where it asks for none, or none will do."""

    if resolved.recipe.search is None:
        return resolved, None

    def refuse(recipe: Recipe) -> str:
        error = find_contradiction(recipe, places)
        return "" if error is None else error.what

    trials = TrialBuilds(resolved, around, executor, refuse, say)
    with report_unknown_outputs(resolved.recipe, places):
        found = replace(SchemeSearch(trials).find(), confidence=trials.confidence)
    if found.chosen is None:
        return resolved, found
    return replace(
        resolved, recipe=search_candidates.make_final_recipe(resolved.recipe, found.chosen.quantization)
    ), found


def find_contradiction(recipe: Recipe, places: KeyLocations) -> RecipeError | None:
    """Why a recipe contradicts itself, now that its quantization is known."""
    try:
        require_algorithm(recipe.quantization, RecipeErrors(places))
        check_quantization(recipe, RecipeErrors(places))
    except RecipeError as error:
        return error
    return None


def require_candidates(recipe: Recipe, places: KeyLocations) -> None:
    """Raises RecipeError for a search in which no scheme may be tried."""
    search = recipe.search
    if search is None:
        return
    usable = search_candidates.list_usable_schemes(search)
    refused = {
        scheme: find_contradiction(
            search_candidates.make_trial_recipe(recipe, search_candidates.make_single(scheme, search)), places
        )
        for scheme in usable
    }
    if not all(refused.values()):
        return
    reasons = {scheme: "it has float32 inputs and outputs alone" for scheme in search.schemes if scheme not in usable}
    reasons |= {scheme: error.what for scheme, error in refused.items() if error is not None}
    helped = [refused[scheme] for scheme in sorted(refused, key=lambda one: one not in CALIBRATED)]
    raise RecipeError(
        "quantization=auto has nothing that it may try",
        where=places.find("quantization.schemes"),
        why="\n".join(f"{scheme}: {why}" for scheme, why in reasons.items()),
        next_step=helped[0].next_step if helped and helped[0] is not None else "quantization.schemes=[int8,...]",
    )


def limit_key(recipe: Recipe, name: str, limit: float) -> str:
    """The key that sets a limit: the budget's, or the gate's where that is the stricter one."""
    asked = {} if recipe.search is None else dict(recipe.search.budget)
    return f"quantization.budget.{name}" if asked.get(name) == limit else f"verify.gates.{name}"


def evaluate_gates(recipe: Recipe, facts: Mapping[str, Mapping[str, Json]], places: KeyLocations) -> list[Gate]:
    """Return the gates with what was measured.

    Raises:
        RecipeError: for a gate that names an output which there is not, and for class names in two orders.
    """
    check_class_names(recipe, facts, RecipeErrors(places))
    with report_unknown_outputs(recipe, places):
        return evaluate(recipe.verify.gates, facts, recipe.verify.confidence)


def evaluate_budget(found: SearchResult | None, roles: Mapping[str, StepResult]) -> SearchResult | None:
    """Return a search with its budget evaluated on samples that it did not see; None where there was no search."""
    if found is None:
        return None
    facts = {role: result.facts for role, result in roles.items()}
    return replace(found, reported=tuple(evaluate(found.budget, facts, found.confidence)))


@contextmanager
def report_unknown_outputs(recipe: Recipe, places: KeyLocations) -> Iterator[None]:
    """A limit on an output that there is not is a mistake in the recipe."""
    try:
        yield
    except NotMeasuredError as error:
        budget = recipe.search is not None and error.limit in dict(recipe.search.budget)
        output = error.limit.removeprefix("outputs.").rpartition(".")[0]
        raise RecipeError(
            f"there is no output '{output}'",
            where=places.find(f"{'quantization.budget' if budget else 'verify.gates'}.outputs.{output}"),
            why=nearest(output, error.outputs),
            next_step=f"the outputs are: {', '.join(error.outputs)}",
        ) from None
