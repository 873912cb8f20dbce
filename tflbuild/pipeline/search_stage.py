"""The stage of a search: check which schemes a recipe allows, run the search, and check its budget."""

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
    environment: KeyEnvironment,
    locations: KeyLocations,
    executor: Executor,
    say: Callable[[str], None],
) -> tuple[ResolvedRecipe, SearchResult | None]:
    """Run the search of a recipe.

    Returns:
        The recipe with the quantization that the search chose, and the result of the search.
        The recipe is unchanged if no trial met the budget.
        A recipe without a search is returned unchanged, with None.

    Raises:
        RecipeError: for a limit on an output that the model does not have.
    """

    if resolved.recipe.search is None:
        return resolved, None

    def refuse(recipe: Recipe) -> str:
        error = find_contradiction(recipe, locations)
        return "" if error is None else error.what

    trials = TrialBuilds(resolved, environment, executor, refuse, say)
    with report_unknown_outputs(resolved.recipe, locations):
        search = replace(SchemeSearch(trials).find(), confidence=trials.confidence)
    if search.chosen is None:
        return resolved, search
    return replace(
        resolved, recipe=search_candidates.make_final_recipe(resolved.recipe, search.chosen.quantization)
    ), search


def find_contradiction(recipe: Recipe, locations: KeyLocations) -> RecipeError | None:
    """Return the contradiction in a recipe whose quantization is decided, or None."""
    try:
        require_algorithm(recipe.quantization, RecipeErrors(locations))
        check_quantization(recipe, RecipeErrors(locations))
    except RecipeError as error:
        return error
    return None


def require_candidates(recipe: Recipe, locations: KeyLocations) -> None:
    """Raise RecipeError for a search whose schemes are all invalid for the recipe."""
    search = recipe.search
    if search is None:
        return
    usable = search_candidates.list_usable_schemes(search)
    refused = {
        scheme: find_contradiction(
            search_candidates.make_trial_recipe(recipe, search_candidates.make_single(scheme, search)), locations
        )
        for scheme in usable
    }
    if not all(refused.values()):
        return
    reasons = {scheme: "it has only float32 inputs and outputs" for scheme in search.schemes if scheme not in usable}
    reasons |= {scheme: error.what for scheme, error in refused.items() if error is not None}
    # The errors of calibrated schemes come first: their advice, such as a dataset, makes most schemes valid.
    errors = [refused[scheme] for scheme in sorted(refused, key=lambda scheme: scheme not in CALIBRATED)]
    raise RecipeError(
        "quantization=auto has no scheme that it may try",
        where=locations.find("quantization.schemes"),
        why="\n".join(f"{scheme}: {reason}" for scheme, reason in reasons.items()),
        next_step=errors[0].next_step if errors and errors[0] is not None else "quantization.schemes=[int8,...]",
    )


def limit_key(recipe: Recipe, name: str, limit: float) -> str:
    """Return the recipe key that sets a limit: the one of the budget, or the one of the gate if that is stricter."""
    budget = {} if recipe.search is None else dict(recipe.search.budget)
    return f"quantization.budget.{name}" if budget.get(name) == limit else f"verify.gates.{name}"


def evaluate_gates(recipe: Recipe, facts: Mapping[str, Mapping[str, Json]], locations: KeyLocations) -> list[Gate]:
    """Evaluate the gates of a recipe on what its steps measured.

    Raises:
        RecipeError: for a gate on an output that does not exist, and for class names in two orders.
    """
    check_class_names(recipe, facts, RecipeErrors(locations))
    with report_unknown_outputs(recipe, locations):
        return evaluate(recipe.verify.gates, facts, recipe.verify.confidence)


def evaluate_budget(search: SearchResult | None, roles: Mapping[str, StepResult]) -> SearchResult | None:
    """Evaluate the budget of a search on samples that the search did not see. Returns None if there was no search."""
    if search is None:
        return None
    facts = {role: result.facts for role, result in roles.items()}
    return replace(search, reported=tuple(evaluate(search.budget, facts, search.confidence)))


@contextmanager
def report_unknown_outputs(recipe: Recipe, locations: KeyLocations) -> Iterator[None]:
    """Turn NotMeasuredError, a limit on an output that does not exist, into a RecipeError."""
    try:
        yield
    except NotMeasuredError as error:
        is_budget = recipe.search is not None and error.limit in dict(recipe.search.budget)
        output = error.limit.removeprefix("outputs.").rpartition(".")[0]
        raise RecipeError(
            f"there is no output '{output}'",
            where=locations.find(f"{'quantization.budget' if is_budget else 'verify.gates'}.outputs.{output}"),
            why=nearest(output, error.outputs),
            next_step=f"the outputs are: {', '.join(error.outputs)}",
        ) from None
