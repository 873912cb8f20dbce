"""Check the gates of a recipe and of its targets, and suggest fixes for gates that are missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.freezing.freeze import freeze
from tflbuild.core.gates import Gate
from tflbuild.core.recipe import Recipe
from tflbuild.core.step_result import Failure, StepResult
from tflbuild.core.verdict import Verdict
from tflbuild.errors import GateError, TflbuildError
from tflbuild.pipeline.search_stage import evaluate_gates
from tflbuild.report.verdict_text import problems, target_gates, verdicts_of
from tflbuild.search.fixes import Fix, MeasuredSizes, find_gate_fixes

# The number of fixes that an error names. `tflbuild doctor` tries more.
SUGGESTED_FIXES = 4


@dataclass(frozen=True)
class GateCheck:
    """The result of checking an artifact: verdicts and gates.

    `own` are the gates of the recipe, `targets` those of targets.
    `wrong` maps a target to the faults that fail the build.
    """

    recipe: Recipe
    verdicts: Sequence[Verdict]
    own: Sequence[Gate]
    targets: Sequence[Gate]
    wrong: Mapping[str, Sequence[str]]

    @property
    def gates(self) -> list[Gate]:
        """Return all gates, those of targets last."""
        return [*self.own, *self.targets]

    @property
    def missed(self) -> list[Gate]:
        """Return the gates that are missed."""
        return [gate for gate in self.gates if not gate.passed]

    @property
    def passed(self) -> bool:
        """Return whether nothing fails the build."""
        return not self.wrong and all(gate.passed for gate in self.own)

    @property
    def faults(self) -> list[str]:
        """Return what fails the build on targets, a line each."""
        return [line for lines in self.wrong.values() for line in lines]

    def as_failure(self) -> Failure:
        """Return what fails the build as a failure without a step."""
        missed = [gate for gate in self.own if not gate.passed]
        keys = [*(f"verify.gates.{gate.name}" for gate in missed), *(f"target.{name}" for name in self.wrong)]
        return Failure(
            kind="gate",
            what=f"{self.recipe.name}/{self.recipe.variant} was built and does not pass its gates",
            where=", ".join(keys),
            why="\n".join([*(gate.text() for gate in missed), *self.faults]),
        )

    def as_error(self, next_step: str) -> GateError:
        """Return what fails the build as an error."""
        failure = self.as_failure()
        return GateError(failure.what, where=failure.where, why=failure.why, next_step=next_step)


def check_gates(recipe: Recipe, roles: Mapping[str, StepResult], locations: KeyLocations) -> GateCheck:
    """Compare what the steps of a variant measured with its gates.

    Raises:
        RecipeError: for a gate on an output that the model does not have.
    """
    verdicts = verdicts_of(recipe, roles)
    gates = evaluate_gates(recipe, {role: result.facts for role, result in roles.items()}, locations)
    return GateCheck(recipe, verdicts, gates, target_gates(recipe, verdicts), problems(recipe, verdicts))


def list_fixes(gate_check: GateCheck, roles: Mapping[str, StepResult]) -> list[Fix]:
    """Return the fixes that may help against the missed gates, the cheapest first. Some may not compose."""
    sizes = MeasuredSizes(int(roles["package"].facts["float_bytes"]), int(roles["check"].facts["bytes"]))
    return find_gate_fixes(gate_check.recipe, gate_check.missed, sizes)


def suggest_fixes(gate_check: GateCheck, roles: Mapping[str, StepResult], locations: KeyLocations) -> list[str]:
    """Return lines that name the cheapest fixes for the missed gates. Fixes that do not compose are left out."""
    if not gate_check.missed:
        return []
    if all(is_uncertain(gate) for gate in gate_check.missed):
        return ["what helps: more evaluation samples (verify.dataset); the estimate passes, its interval is too wide"]
    fixes = filter_composable(gate_check.recipe, list_fixes(gate_check, roles), locations, SUGGESTED_FIXES)
    lines = [f"{fix.overrides}: {fix.text}" if fix.overrides else fix.text for fix in fixes]
    if any(fix.overrides and not fix.searches for fix in fixes):
        lines.append("`tflbuild doctor` with the same arguments tries these fixes and reports which ones pass")
    return ["what may help, the cheapest first:", *(f"- {line}" for line in lines)] if lines else []


def is_uncertain(gate: Gate) -> bool:
    """Return whether the estimate passes a gate, but the bound of its interval does not."""
    return gate.bound is not None and replace(gate, bound=None).passed


def filter_composable(recipe: Recipe, fixes: Sequence[Fix], locations: KeyLocations, limit: int) -> list[Fix]:
    """Return the first fixes that compose and change the recipe.

    Fixes without overrides are for the user to carry out, and are kept.

    Args:
        recipe: The recipe that was built.
        fixes: The fixes, the cheapest first.
        locations: The overrides of the command line, and where the keys of the recipe are written.
        limit: The maximum number of fixes. A search is returned in addition.
    """
    known_recipes, composable = [drop_variant_name(recipe)], list[Fix]()
    for fix in fixes:
        if len(composable) == limit and not fix.searches:
            continue
        if fix.overrides:
            other = compose_with(fix.overrides, locations)
            if other is None or other in known_recipes:
                continue
            known_recipes.append(other)
        composable.append(fix)
    return composable


def compose_with(overrides: str, locations: KeyLocations) -> Recipe | None:
    """Return the recipe with more overrides and without the name of its variant; None if it does not compose."""
    try:
        composed = compose([*locations.overrides, *overrides.split()])
        return drop_variant_name(freeze(composed[0])) if len(composed) == 1 else None
    except TflbuildError:
        return None


def drop_variant_name(recipe: Recipe) -> Recipe:
    """Return a recipe without the name and the overrides of its variant, so that two recipes can be compared."""
    return replace(recipe, variant="", overrides=())
