"""Find fixes for a build that fails or misses a gate, and try each of them.

A trial is the recipe with a few more overrides. It is planned and executed, and its gates are checked, like any other
build. Only the store is written, so a build with a fix that passed is a cache hit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tflbuild.core.recipe import Recipe
from tflbuild.core.step_result import StepResult
from tflbuild.errors import RecipeError, UsageError
from tflbuild.execute.executor import Executor
from tflbuild.execute.run_limits import Limits
from tflbuild.locations import store_root
from tflbuild.pipeline.build import connect, convert_failure
from tflbuild.pipeline.gate_check import GateCheck, check_gates, drop_variant_name, list_fixes
from tflbuild.pipeline.preparation import PreparedBuild, describe_environment, prepare_plan, require_one_artifact
from tflbuild.plan.analysis_plans import make_sensitivities
from tflbuild.report.console import show_notices
from tflbuild.report.output_files import disk_errors
from tflbuild.report.questions.doctor_text import FixTrial
from tflbuild.search.fixes import can_keep_operators_in_float, find_repairs, gate_subject, keep_worst_in_float
from tflbuild.storage.store import Store

# A fix may reveal a second failure, whose fixes are tried together with the first one.
ROUNDS = 2
MAX_TRIALS = 16
# The number of evaluation samples that show which operators lose most. `quantization=auto` uses as many.
SAMPLES = 8


@dataclass(frozen=True)
class Diagnosis:
    """The problem of a build, "" if it has none, and the trials of fixes in the order of preference."""

    problem: str
    trials: tuple[FixTrial, ...]


@dataclass(frozen=True)
class BuildAttempt:
    """A build that was tried. `failed` is the role of the failed step, "" if none failed or if a gate was missed."""

    trial: FixTrial
    prepared: PreparedBuild
    roles: Mapping[str, StepResult]
    failed: str = ""
    gate_check: GateCheck | None = None

    @property
    def recipe(self) -> Recipe:
        """Return the recipe that was built."""
        return self.prepared.resolved[0].recipe


def diagnose(overrides: Sequence[str], limits: Limits) -> Diagnosis:
    """Build a recipe and, if it fails or misses a gate, try fixes.

    Raises:
        TflbuildError: for a recipe that is not valid.
    """
    store = Store(store_root())
    with disk_errors(store.root), Executor(store, show_notices, limits) as executor:
        doctor = Doctor(store, executor, list(overrides))
        first = doctor.build("")
        assert first is not None
        if first.trial.failure is None:
            return Diagnosis("", ())
        return Diagnosis(describe_problem(first), tuple(doctor.try_fixes(first)))


def describe_problem(attempt: BuildAttempt) -> str:
    """Return the error of a build as text, without the advice to run `tflbuild doctor`."""
    failure = attempt.trial.failure
    assert failure is not None
    if attempt.gate_check is not None:
        return str(attempt.gate_check.as_error(""))
    error = convert_failure(attempt.failed, failure, attempt.prepared.locations[0], None)
    error.next_step = "\n".join(line for line in error.next_step.split("\n") if "`tflbuild doctor`" not in line)
    return str(error)


@dataclass
class Doctor:
    """Runs trials on one executor, so that shared steps run once. `tried_recipes` were already built."""

    store: Store
    executor: Executor
    overrides: list[str]
    tried_recipes: list[Recipe] = field(default_factory=list)

    def try_fixes(self, first: BuildAttempt) -> list[FixTrial]:
        """Return the trials of the fixes of a failed build.

        If no fix passes, the fixes of the failures that they reveal are tried together with them.
        """
        attempts = list(self.try_all(first, self.propose(first)))
        for _ in range(ROUNDS - 1):
            if any(attempt.trial.failure is None for attempt in attempts):
                break
            combined_fixes = [
                (attempt, combine(attempt.trial.fix, fix))
                for attempt in attempts
                if reveals_another_failure(attempt, first)
                for fix in self.propose(attempt)
            ]
            for attempt, fix in combined_fixes:
                if len(attempts) < MAX_TRIALS:
                    attempts += self.try_all(attempt, [fix])
        return [attempt.trial for attempt in attempts]

    def propose(self, attempt: BuildAttempt) -> Iterator[str]:
        """Yield the overrides that may fix a failed build, in the order in which to try them."""
        assert attempt.trial.failure is not None
        if attempt.gate_check is None:
            yield from find_repairs(attempt.recipe, attempt.trial.failure)
            return
        fixes = [fix for fix in list_fixes(attempt.gate_check, attempt.roles) if not fix.searches]
        operators_proposed = False
        for fix in fixes:
            if fix.overrides.startswith("quantization=") and not operators_proposed:
                operators_proposed = True
                yield from self.propose_float_operators(attempt)
            if fix.overrides:
                yield fix.overrides
        if not operators_proposed:
            yield from self.propose_float_operators(attempt)

    def propose_float_operators(self, attempt: BuildAttempt) -> Iterator[str]:
        """Yield rules that keep the operators that lose most in float, if a gate of accuracy is missed."""
        recipe, gate_check = attempt.recipe, attempt.gate_check
        missed = () if gate_check is None else gate_check.missed
        misses_accuracy = any(gate_subject(gate.name) == "accuracy" for gate in missed)
        if not misses_accuracy or not can_keep_operators_in_float(recipe):
            return
        plan = make_sensitivities(attempt.prepared.resolved[:1], describe_environment(), SAMPLES)
        result = self.executor.execute(plan)[plan.goals[0]["sensitivity"]]
        if result.ok:
            yield from keep_worst_in_float(recipe, result.facts["operators"])

    def try_all(self, before: BuildAttempt, fixes: Iterator[str] | Sequence[str]) -> Iterator[BuildAttempt]:
        """Build with each fix that composes to a recipe that was not tried yet, and yield the attempts.

        Fixes of a missed gate are ordered by cost, so none is tried after one that passes.
        """
        count = 0
        for fix in fixes:
            attempt = self.build(fix) if count < MAX_TRIALS else None
            if attempt is None:
                continue
            count += 1
            yield attempt
            if before.gate_check is not None and attempt.trial.failure is None:
                return

    def build(self, fix: str) -> BuildAttempt | None:
        """Build once, with the outputs in the store only.

        Returns:
            The attempt. None for a fix that does not compose or has no effect.

        Raises:
            RecipeError: for an invalid recipe without a fix.
            UsageError: for a recipe with a search.
        """
        try:
            prepared, removed_words = self.prepare(fix)
            require_one_artifact(prepared)
        except RecipeError:
            if not fix:
                raise
            return None
        recipe = prepared.resolved[0].recipe
        if recipe.search is not None:
            raise UsageError(
                "doctor needs a scheme, and quantization=auto is a search of its own",
                where="command line",
                next_step="quantization=int8, or build it: the search reports the schemes that fail",
            )
        if drop_variant_name(recipe) in self.tried_recipes:
            return None
        self.tried_recipes.append(drop_variant_name(recipe))
        if fix:
            print(f"trying  {fix}", file=sys.stderr)
        connect(self.executor, prepared.shared, prepared.cluster)
        results = self.executor.execute(prepared.plan)
        attempt = evaluate_attempt(
            fix, prepared, {role: results[step] for role, step in prepared.plan.goals[0].items()}
        )
        return replace(attempt, trial=replace(attempt.trial, without=removed_words))

    def prepare(self, fix: str) -> tuple[PreparedBuild, tuple[str, ...]]:
        """Compose the recipe with a fix.

        Words of the command line that the fix leaves without effect are removed, such as a dataset for a scheme that is
        not calibrated.

        Returns:
            The prepared build, and the words that were removed.

        Raises:
            RecipeError: for a recipe that does not compose without these words either.
        """
        words = list(self.overrides)
        while True:
            try:
                prepared = prepare_plan([*words, *fix.split()], multirun=False, store=self.store)
                return prepared, tuple(word for word in self.overrides if word not in words)
            except RecipeError as error:
                fewer_words = [word for word in words if word.lstrip("+").partition("=")[0] != error.unread_key]
                if not fix or error.unread_key.startswith("verify.") or len(fewer_words) == len(words):
                    raise
                words = fewer_words


def reveals_another_failure(attempt: BuildAttempt, first: BuildAttempt) -> bool:
    """Return whether a fix led to a failure of a step with another reason, which has fixes of its own."""
    failure, before = attempt.trial.failure, first.trial.failure
    return bool(attempt.failed) and failure is not None and (before is None or failure.why != before.why)


def evaluate_attempt(fix: str, prepared: PreparedBuild, roles: Mapping[str, StepResult]) -> BuildAttempt:
    """Return the result of a build: of its steps, and of the recipe's gates if all steps succeeded."""
    facts = {role: dict(result.facts) for role, result in roles.items() if result.ok}
    for role, result in roles.items():
        if result.failure is not None:
            return BuildAttempt(FixTrial(fix, result.failure, facts), prepared, roles, role)
    gate_check = check_gates(prepared.resolved[0].recipe, roles, prepared.locations[0])
    if gate_check.passed:
        return BuildAttempt(FixTrial(fix, None, facts), prepared, roles)
    return BuildAttempt(FixTrial(fix, gate_check.as_failure(), facts), prepared, roles, "", gate_check)


def combine(first: str, second: str) -> str:
    """Return the overrides of two fixes. If both set a key, the value of the second fix is used."""
    words = {word.partition("=")[0]: word for word in [*first.split(), *second.split()]}
    return " ".join(words.values())
