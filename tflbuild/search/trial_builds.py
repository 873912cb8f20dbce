"""Builds of trials. They are planned and executed like any build, by a single executor, so that no step runs twice."""

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

# The steps of a trial. Their events are hidden, because each trial is reported in one line.
HIDDEN_STEPS = ("quantize", "check", "verify", "benchmark")


@dataclass
class TrialBuilds:
    """The trials of one recipe.

    Attributes:
        resolved: The resolved recipe.
        environment: The machine's contribution to cache keys.
        executor: The executor of all trials.
        refuse: Returns why a recipe is invalid, "" if it is valid.
        say: Reports a line to the user.
        tried: The trial of each quantization that was built.
        same: For each quantization, the first one that makes the same bytes.
        excluded: The reason for each quantization that the recipe does not allow, by its description.
    """

    resolved: ResolvedRecipe
    environment: KeyEnvironment
    executor: Executor
    refuse: Callable[[Recipe], str]
    say: Callable[[str], None]
    tried: dict[Quantization, SearchTrial] = field(default_factory=dict)
    same: dict[Quantization, Quantization] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    _first_by_digest: dict[str, Quantization] = field(default_factory=dict)
    _measured: int = 0

    @property
    def search(self) -> Search:
        """Return the settings of the search."""
        assert self.resolved.recipe.search is not None
        return self.resolved.recipe.search

    @property
    def limits(self) -> Limits:
        """Return the limits that every trial must meet."""
        return collect_search_limits(self.resolved.recipe)

    @property
    def confidence(self) -> float | None:
        """Return the higher of the confidences of the budget and of the gates, None if neither has one."""
        confidences = (self.search.confidence, self.resolved.recipe.verify.confidence)
        return max((confidence for confidence in confidences if confidence is not None), default=None)

    @property
    def floats(self) -> bool:
        """Return whether operators may stay in float. If not, exceptions use int16 activations."""
        recipe = self.resolved.recipe
        return "none" in self.search.schemes and not recipe.full_integer and recipe.opset.arithmetic == "any"

    @property
    def left(self) -> int:
        """Return how many more trials may be measured."""
        return self.search.trials - self._measured

    def resolve(self, quantization: Quantization) -> ResolvedRecipe:
        """Return the resolved recipe of a trial with this quantization."""
        return replace(self.resolved, recipe=make_trial_recipe(self.resolved.recipe, quantization))

    def build(self, quantizations: Sequence[Quantization]) -> list[SearchTrial]:
        """Build and check the trials of several quantizations in one plan, and return them.

        Quantizations that the recipe does not allow are left out. If several quantizations make the same bytes, the
        trial of the first one is returned for all of them.
        """
        new = [
            quantization
            for quantization in quantizations
            if quantization not in self.same and not self._excludes(quantization)
        ]
        plan = make_trials([self.resolve(quantization) for quantization in new], self.environment, "check")
        with self.executor.hide_steps(HIDDEN_STEPS):
            results = self.executor.execute(plan)
        for quantization, goals in zip(new, plan.goals, strict=True):
            roles = {role: results[step] for role, step in goals.items()}
            artifact = roles[artifact_role(roles)]
            first = quantization
            if artifact.ok:
                first = self._first_by_digest.setdefault(artifact.outputs["model.tflite"], quantization)
            self.same[quantization] = first
            if first == quantization:
                self.tried[quantization] = make_trial(quantization, roles)
        return [self.tried[self.same[quantization]] for quantization in quantizations if quantization in self.same]

    def _excludes(self, quantization: Quantization) -> bool:
        """Return whether the recipe does not allow a quantization, and record the reason."""
        reason = self.refuse(self.resolve(quantization).recipe)
        if reason:
            self.excluded[describe(quantization)] = reason
        return bool(reason)

    def measure(self, quantization: Quantization) -> SearchTrial:
        """Build and verify a trial, and compare it with the budget. A trial is not measured twice."""
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
        """Measure a trial, and if it meets the budget, its latency too. Nothing else runs during the benchmark."""
        trial = self.measure(quantization)
        if trial.meets and trial.latency_ms is None:
            trial = self.tried[trial.quantization] = self._run(trial.quantization, "benchmark")
        return trial

    def _run(self, quantization: Quantization, last: str) -> SearchTrial:
        plan = make_trials([self.resolve(quantization)], self.environment, last)
        with self.executor.hide_steps(HIDDEN_STEPS):
            results = self.executor.execute(plan)
        trial = make_trial(quantization, {role: results[step] for role, step in plan.goals[0].items()})
        if trial.failure is not None:
            return trial
        return replace(trial, gates=tuple(evaluate(self.limits, trial.facts, self.confidence)))

    def sensitivities(self, quantizations: Sequence[Quantization]) -> dict[str, Mapping[str, Json]]:
        """Return the facts of the step `sensitivity` for each scheme. Schemes whose step fails are left out."""
        recipes = [self.resolve(quantization) for quantization in quantizations]
        plan = make_sensitivities(recipes, self.environment, self.search.samples)
        step_results = self.executor.execute(plan)
        results = {
            quantization.scheme: step_results[goals["sensitivity"]]
            for quantization, goals in zip(quantizations, plan.goals, strict=True)
        }
        for scheme, result in results.items():
            if result.failure is not None:
                self.excluded[f"exceptions to {scheme}"] = result.failure.what
        return {scheme: result.facts for scheme, result in results.items() if result.ok}


def make_trial(quantization: Quantization, roles: Mapping[str, StepResult]) -> SearchTrial:
    """Return a trial with the facts of its successful steps and its first failure."""
    failure = next((result.failure for result in roles.values() if result.failure is not None), None)
    facts = {role: result.facts for role, result in roles.items() if result.ok}
    return SearchTrial(describe(quantization), quantization, facts, failure=failure)


def describe_trial(trial: SearchTrial) -> str:
    """Return the outcome of a trial as one line of text."""
    if trial.failure is not None:
        return trial.failure.what
    figures = ", ".join(f"{gate.name} {show_figure(gate.name, gate.value)}" for gate in trial.gates)
    collapsed = trial.collapse and all(gate.passed for gate in trial.gates)
    outcome = "collapsed" if collapsed else f"{'meets' if trial.meets else 'misses'} the budget"
    return f"{trial.bytes:,} bytes, {figures}: {outcome}"
