"""`tflbuild doctor`: a build that fails, or that misses a gate, and what may help, each tried.

A trial is the same recipe with a few more overrides. It is planned, executed and judged by the recipe's gates like any
other build. Nothing is written but the store, where a fix that is then taken is a hit.
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
from tflbuild.search.fixes import can_spare, find_repairs, keep_worst_in_float, kind_of
from tflbuild.storage.store import Store

ROUNDS = 2  # a fix may uncover a second failure, whose fixes are tried on top
MOST_TRIALS = 16
SAMPLES = 8  # evaluation samples that tell which operators lose most, as quantization=auto takes them


@dataclass(frozen=True)
class Diagnosis:
    """What was wrong, "" when nothing was, and what was tried, in the order of preference."""

    problem: str
    trials: tuple[FixTrial, ...]


@dataclass(frozen=True)
class BuildAttempt:
    """A build that was tried. `failed` is the step that failed, "" where all went well or a gate was missed."""

    trial: FixTrial
    prepared: PreparedBuild
    roles: Mapping[str, StepResult]
    failed: str = ""
    judgement: GateCheck | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe that was built."""
        return self.prepared.resolved[0].recipe


def diagnose(overrides: Sequence[str], limits: Limits) -> Diagnosis:
    """Build a recipe and, where it fails or misses a gate, try what may help.

    Raises:
        TflbuildError: for a recipe that is wrong.
    """
    store = Store(store_root())
    with disk_errors(store.root), Executor(store, show_notices, limits) as executor:
        doctor = Doctor(store, executor, list(overrides))
        first = doctor.build("")
        assert first is not None
        if first.trial.failure is None:
            return Diagnosis("", ())
        return Diagnosis(describe_problem(first), tuple(doctor.treat(first)))


def describe_problem(attempt: BuildAttempt) -> str:
    """Return the error of a build, without the advice to call the command that is running."""
    failure = attempt.trial.failure
    assert failure is not None
    if attempt.judgement is not None:
        return str(attempt.judgement.as_error(""))
    error = convert_failure(attempt.failed, failure, attempt.prepared.locations[0], None)
    error.next_step = "\n".join(line for line in error.next_step.split("\n") if "`tflbuild doctor`" not in line)
    return str(error)


@dataclass
class Doctor:
    """Runs trials on one executor, so that what they share is done once. `seen` are the recipes that were tried."""

    store: Store
    executor: Executor
    overrides: list[str]
    seen: list[Recipe] = field(default_factory=list)

    def treat(self, first: BuildAttempt) -> list[FixTrial]:
        """Return the trials of what may help; where nothing does, of what may help against what then failed."""
        attempts = list(self.try_all(first, self.propose(first)))
        for _ in range(ROUNDS - 1):
            if any(attempt.trial.failure is None for attempt in attempts):
                break
            deeper = [
                (attempt, combine(attempt.trial.fix, fix))
                for attempt in attempts
                if reveals_another_failure(attempt, first)
                for fix in self.propose(attempt)
            ]
            for attempt, fix in deeper:
                if len(attempts) < MOST_TRIALS:
                    attempts += self.try_all(attempt, [fix])
        return [attempt.trial for attempt in attempts]

    def propose(self, attempt: BuildAttempt) -> Iterator[str]:
        """Yield the overrides that may help, in the order to be tried."""
        assert attempt.trial.failure is not None
        if attempt.judgement is None:
            yield from find_repairs(attempt.recipe, attempt.trial.failure)
            return
        remedies = [one for one in list_fixes(attempt.judgement, attempt.roles) if not one.searches]
        spared = False
        for remedy in remedies:
            if remedy.overrides.startswith("quantization=") and not spared:
                spared = True
                yield from self.spare_operators(attempt)
            if remedy.overrides:
                yield remedy.overrides
        if not spared:
            yield from self.spare_operators(attempt)

    def spare_operators(self, attempt: BuildAttempt) -> Iterator[str]:
        """Yield rules that leave the operators that lose most in float, where that is what is missed."""
        recipe, judgement = attempt.recipe, attempt.judgement
        accuracy = judgement is not None and any(kind_of(gate.name) == "accuracy" for gate in judgement.missed)
        if not accuracy or not can_spare(recipe):
            return
        plan = make_sensitivities(attempt.prepared.resolved[:1], describe_environment(), SAMPLES)
        result = self.executor.execute(plan)[plan.goals[0]["sensitivity"]]
        if result.ok:
            yield from keep_worst_in_float(recipe, result.facts["operators"])

    def try_all(self, before: BuildAttempt, fixes: Iterator[str] | Sequence[str]) -> Iterator[BuildAttempt]:
        """Yield what came of each fix that composes to a recipe that was not tried yet.

        Fixes of a missed gate stand in the order of what they cost, so that none is tried after one that passes.
        """
        count = 0
        for fix in fixes:
            attempt = self.build(fix) if count < MOST_TRIALS else None
            if attempt is None:
                continue
            count += 1
            yield attempt
            if before.judgement is not None and attempt.trial.failure is None:
                return

    def build(self, fix: str) -> BuildAttempt | None:
        """Build once, the outputs left in the store. None for a fix that does not compose, or changes nothing."""
        try:
            prepared, without = self.prepare(fix)
            require_one_artifact(prepared)
        except RecipeError:
            if not fix:
                raise
            return None
        recipe = prepared.resolved[0].recipe
        if recipe.search is not None:
            raise UsageError(
                "doctor takes a scheme, and quantization=auto is a search of its own",
                where="command line",
                next_step="quantization=int8, or build it: what cannot be is left out, and said",
            )
        if drop_variant_name(recipe) in self.seen:
            return None
        self.seen.append(drop_variant_name(recipe))
        if fix:
            print(f"trying  {fix}", file=sys.stderr)
        connect(self.executor, prepared.shared, prepared.cluster)
        results = self.executor.execute(prepared.plan)
        attempt = evaluate_attempt(
            fix, prepared, {role: results[step] for role, step in prepared.plan.goals[0].items()}
        )
        return replace(attempt, trial=replace(attempt.trial, without=without))

    def prepare(self, fix: str) -> tuple[PreparedBuild, tuple[str, ...]]:
        """Compose the recipe with a fix. Returns the plan, and the words of the command line that had to go.

        A scheme that is not calibrated has no use for the dataset that the command line declares, for example.

        Raises:
            RecipeError: for what does not compose all the same.
        """
        kept = list(self.overrides)
        while True:
            try:
                prepared = prepare_plan([*kept, *fix.split()], multirun=False, store=self.store)
                return prepared, tuple(word for word in self.overrides if word not in kept)
            except RecipeError as error:
                fitting = [word for word in kept if word.lstrip("+").partition("=")[0] != error.unread_key]
                if not fix or error.unread_key.startswith("verify.") or len(fitting) == len(kept):
                    raise
                kept = fitting


def reveals_another_failure(attempt: BuildAttempt, first: BuildAttempt) -> bool:
    """Whether a fix led to a failure of a step with another reason, which has fixes of its own."""
    failure, before = attempt.trial.failure, first.trial.failure
    return bool(attempt.failed) and failure is not None and (before is None or failure.why != before.why)


def evaluate_attempt(fix: str, prepared: PreparedBuild, roles: Mapping[str, StepResult]) -> BuildAttempt:
    """Return how a build went: by its steps, and by the recipe's gates where all of them went well."""
    facts = {role: dict(result.facts) for role, result in roles.items() if result.ok}
    for role, result in roles.items():
        if result.failure is not None:
            return BuildAttempt(FixTrial(fix, result.failure, facts), prepared, roles, role)
    judgement = check_gates(prepared.resolved[0].recipe, roles, prepared.locations[0])
    if judgement.passed:
        return BuildAttempt(FixTrial(fix, None, facts), prepared, roles)
    return BuildAttempt(FixTrial(fix, judgement.as_failure(), facts), prepared, roles, "", judgement)


def combine(first: str, second: str) -> str:
    """Both fixes' overrides, each once; of one key the later value."""
    words = {word.partition("=")[0]: word for word in [*first.split(), *second.split()]}
    return " ".join(words.values())
