"""Artifacts that are tried: planned and executed like any build, on one executor, so that nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tflbuild.core.digest import Json
from tflbuild.core.gates import Limits, evaluate, show_figure
from tflbuild.core.recipe import Quantization, Recipe, Search
from tflbuild.core.search_result import SearchTrial
from tflbuild.core.step import artifact_role
from tflbuild.core.step_result import StepResult
from tflbuild.execute.executor import Executor
from tflbuild.plan.analysis_plans import make_sensitivities, make_trials
from tflbuild.plan.plan_builder import KeyEnvironment
from tflbuild.resolve.input_digests import ResolvedRecipe
from tflbuild.search.search_candidates import collect_search_limits, describe, make_trial_recipe

TOLD = ("quantize", "check", "verify", "benchmark")  # steps of a trial, which is told of in a line of its own


@dataclass
class TrialBuilds:
    """What has been tried for one recipe. `refuse` says why a recipe contradicts itself, "" when it does not."""

    resolved: ResolvedRecipe
    environment: KeyEnvironment
    executor: Executor
    refuse: Callable[[Recipe], str]
    say: Callable[[str], None]
    tried: dict[Quantization, SearchTrial] = field(default_factory=dict)
    same: dict[Quantization, Quantization] = field(default_factory=dict)  # what makes the same bytes as an earlier one
    excluded: dict[str, str] = field(default_factory=dict)
    _makers: dict[str, Quantization] = field(default_factory=dict)
    _measured: int = 0

    @property
    def search(self) -> Search:
        """What was asked for."""
        assert self.resolved.recipe.search is not None
        return self.resolved.recipe.search

    @property
    def limits(self) -> Limits:
        """What every artifact is held against."""
        return collect_search_limits(self.resolved.recipe)

    @property
    def confidence(self) -> float | None:
        """Return the stricter of the confidences that the budget and the gates demand of accuracies."""
        asked = (self.search.confidence, self.resolved.recipe.verify.confidence)
        return max((one for one in asked if one is not None), default=None)

    @property
    def floats(self) -> bool:
        """Whether operators may stay in float; where there are none, exceptions are int16."""
        recipe = self.resolved.recipe
        return "none" in self.search.schemes and not recipe.full_integer and recipe.opset.arithmetic == "any"

    @property
    def left(self) -> int:
        """How many more may be measured."""
        return self.search.trials - self._measured

    def resolve(self, quantization: Quantization) -> ResolvedRecipe:
        """The recipe with this quantization."""
        return replace(self.resolved, recipe=make_trial_recipe(self.resolved.recipe, quantization))

    def build(self, quantizations: Sequence[Quantization]) -> list[SearchTrial]:
        """Build and check what the recipe allows, all at once. Of two that make the same bytes the first stands."""
        fresh = [one for one in quantizations if one not in self.same and not self._excludes(one)]
        plan = make_trials([self.resolve(one) for one in fresh], self.environment, "check")
        with self.executor.hide_steps(TOLD):
            results = self.executor.execute(plan)
        for quantization, goals in zip(fresh, plan.goals, strict=True):
            roles = {role: results[step] for role, step in goals.items()}
            made = roles[artifact_role(roles)]
            first = self._makers.setdefault(made.outputs["model.tflite"], quantization) if made.ok else quantization
            self.same[quantization] = first
            if first == quantization:
                self.tried[quantization] = make_trial(quantization, roles)
        return [self.tried[self.same[one]] for one in quantizations if one in self.same]

    def _excludes(self, quantization: Quantization) -> bool:
        why = self.refuse(self.resolve(quantization).recipe)
        if why:
            self.excluded[describe(quantization)] = why
        return bool(why)

    def measure(self, quantization: Quantization) -> SearchTrial:
        """Build, check and hold against the budget. What was measured is not measured again."""
        built = self.build([quantization])
        if not built:
            return SearchTrial(describe(quantization), quantization)
        if built[0].gates or built[0].failure is not None or self.left <= 0:
            return built[0]
        self._measured += 1
        trial = self._run(built[0].quantization, "verify")
        self.tried[trial.quantization] = trial
        self.say(f"tried  {trial.label}: {describe_trial(trial)}")
        return trial

    def time(self, quantization: Quantization) -> SearchTrial:
        """Measure, and then the latency of what meets the budget, with nothing else running."""
        trial = self.measure(quantization)
        if trial.meets and trial.latency_ms is None:
            trial = self.tried[trial.quantization] = self._run(trial.quantization, "benchmark")
        return trial

    def _run(self, quantization: Quantization, last: str) -> SearchTrial:
        plan = make_trials([self.resolve(quantization)], self.environment, last)
        with self.executor.hide_steps(TOLD):
            results = self.executor.execute(plan)
        trial = make_trial(quantization, {role: results[step] for role, step in plan.goals[0].items()})
        if trial.failure is not None:
            return trial
        return replace(trial, gates=tuple(evaluate(self.limits, trial.facts, self.confidence)))

    def sensitivities(self, quantizations: Sequence[Quantization]) -> dict[str, Mapping[str, Json]]:
        """Scheme -> what quantizing each operator alone by it does; a scheme that cannot be is left out."""
        plan = make_sensitivities([self.resolve(one) for one in quantizations], self.environment, self.search.samples)
        results = self.executor.execute(plan)
        schemes = [one.scheme for one in quantizations]
        found = {scheme: results[goals["sensitivity"]] for scheme, goals in zip(schemes, plan.goals, strict=True)}
        for scheme, result in found.items():
            if result.failure is not None:
                self.excluded[f"exceptions to {scheme}"] = result.failure.what
        return {scheme: result.facts for scheme, result in found.items() if result.ok}


def make_trial(quantization: Quantization, roles: Mapping[str, StepResult]) -> SearchTrial:
    """A trial as far as it went."""
    failure = next((result.failure for result in roles.values() if result.failure is not None), None)
    facts = {role: result.facts for role, result in roles.items() if result.ok}
    return SearchTrial(describe(quantization), quantization, facts, failure=failure)


def describe_trial(trial: SearchTrial) -> str:
    """How a trial went, in one line."""
    if trial.failure is not None:
        return trial.failure.what
    told = ", ".join(f"{gate.name} {show_figure(gate.name, gate.value)}" for gate in trial.gates)
    collapsed = trial.collapse and all(gate.passed for gate in trial.gates)
    verdict = "collapsed" if collapsed else f"{'meets' if trial.meets else 'misses'} the budget"
    return f"{trial.bytes:,} bytes, {told}: {verdict}"
