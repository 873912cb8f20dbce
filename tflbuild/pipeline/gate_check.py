"""Whether what was built will do: the gates of a recipe and of its targets, and what may help where they are missed."""

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
from tflbuild.search.fixes import Fix, MeasuredSizes, find_remedies

ADVISED = 4  # remedies that an error names: more are for `tflbuild doctor` to try


@dataclass(frozen=True)
class GateCheck:
    """What an artifact was judged by. `own` are the recipe's gates, `wrong` has what fails the build by target."""

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
        """Return what fails the build as a failure, which has no step."""
        missed = [gate for gate in self.own if not gate.passed]
        places = [*(f"verify.gates.{gate.name}" for gate in missed), *(f"target.{name}" for name in self.wrong)]
        return Failure(
            kind="gate",
            what=f"{self.recipe.name}/{self.recipe.variant} was built and does not pass its gates",
            where=", ".join(places),
            why="\n".join([*(gate.text() for gate in missed), *self.faults]),
        )

    def as_error(self, next_step: str) -> GateError:
        """Return what fails the build as an error."""
        failure = self.as_failure()
        return GateError(failure.what, where=failure.where, why=failure.why, next_step=next_step)


def check_gates(recipe: Recipe, roles: Mapping[str, StepResult], places: KeyLocations) -> GateCheck:
    """Compare what the steps of a variant measured with its gates.

    Raises:
        RecipeError: for a gate on an output that the model does not have.
    """
    verdicts = verdicts_of(recipe, roles)
    gates = evaluate_gates(recipe, {role: result.facts for role, result in roles.items()}, places)
    return GateCheck(recipe, verdicts, gates, target_gates(recipe, verdicts), problems(recipe, verdicts))


def list_remedies(judgement: GateCheck, roles: Mapping[str, StepResult]) -> list[Fix]:
    """Return what may help against the missed gates, the cheapest first, composed or not."""
    sizes = MeasuredSizes(int(roles["package"].facts["float_bytes"]), int(roles["check"].facts["bytes"]))
    return find_remedies(judgement.recipe, judgement.missed, sizes)


def suggest_fixes(judgement: GateCheck, roles: Mapping[str, StepResult], places: KeyLocations) -> list[str]:
    """Return lines that name the cheapest remedies for the missed gates; none is named that does not compose."""
    if not judgement.missed:
        return []
    if all(is_unsure(gate) for gate in judgement.missed):
        return ["what helps: more evaluation samples (verify.dataset); the estimate passes, its interval is too wide"]
    found = filter_composable(judgement.recipe, list_remedies(judgement, roles), places, ADVISED)
    lines = [f"{one.overrides}: {one.text}" if one.overrides else one.text for one in found]
    if any(one.overrides and not one.searches for one in found):
        lines.append("`tflbuild doctor` with the same arguments tries what can be tried, and says what passes")
    return ["what may help, the cheapest first:", *(f"- {line}" for line in lines)] if lines else []


def is_unsure(gate: Gate) -> bool:
    """Return whether the bound of an interval misses a gate that the estimate itself passes."""
    return gate.bound is not None and replace(gate, bound=None).passed


def filter_composable(recipe: Recipe, remedies: Sequence[Fix], places: KeyLocations, most: int) -> list[Fix]:
    """Return the first remedies that compose to another recipe than this one; what a person must do is kept."""
    seen, kept = [drop_variant_name(recipe)], list[Fix]()
    for remedy in remedies:
        if len(kept) == most and not remedy.searches:
            continue
        if remedy.overrides:
            other = compose_with(remedy.overrides, places)
            if other is None or other in seen:
                continue
            seen.append(other)
        kept.append(remedy)
    return kept


def compose_with(overrides: str, places: KeyLocations) -> Recipe | None:
    """Return the recipe with a few more overrides, without its variant's name; None where it does not compose."""
    try:
        composed = compose([*places.overrides, *overrides.split()])
        return drop_variant_name(freeze(composed[0])) if len(composed) == 1 else None
    except TflbuildError:
        return None


def drop_variant_name(recipe: Recipe) -> Recipe:
    """Return a recipe without the name of its variant, to compare what it says."""
    return replace(recipe, variant="", overrides=())
