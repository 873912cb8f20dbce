"""`tflbuild doctor`: a build that fails, and the fixes that its failure names, each tried.

A trial is the same recipe with a few more overrides, planned and executed like any other; nothing is
written but the store, where a fix that is then taken is a hit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.recipe import Recipe
from tflbuild.core.result import Failure, StepResult
from tflbuild.errors import GateError, RecipeError, UsageError
from tflbuild.execute.executor import Executor
from tflbuild.execute.limits import Limits
from tflbuild.locations import store_root
from tflbuild.pipeline import as_error, connect, disk_errors, prepare_plan, require_one_artifact
from tflbuild.report.console import show_notices
from tflbuild.report.diagnosis import Trial
from tflbuild.report.targets import problems, verdicts_of
from tflbuild.storage.store import Store

ROUNDS = 2  # a fix may uncover a second failure, whose fixes are tried on top


@dataclass(frozen=True)
class Diagnosis:
    """What was wrong, "" when nothing was, and what was tried, in the order of preference."""

    problem: str
    trials: tuple[Trial, ...]


def diagnose(overrides: Sequence[str], limits: Limits) -> Diagnosis:
    """Build a recipe and, where it fails, try what may help. Raises TflbuildError for a recipe that is wrong."""
    store = Store(store_root())
    with disk_errors(store.root), Executor(store, show_notices, limits) as executor:
        ward = _Ward(store, executor)
        first = ward.attempt(list(overrides), "")
        if first.failure is None:
            return Diagnosis("", ())
        return Diagnosis(ward.told, tuple(ward.rounds(list(overrides), first.failure)))


@dataclass
class _Ward:
    """Runs trials on one executor, so that what they share is done once."""

    store: Store
    executor: Executor
    told: str = ""

    def rounds(self, overrides: list[str], failure: Failure) -> list[Trial]:
        """Every fix of a failure; where none works, the fixes of what then failed, on top of it."""
        trials = [self.attempt(overrides, fix) for fix in failure.fixes]
        for _ in range(ROUNDS - 1):
            if any(trial.failure is None for trial in trials):
                break
            deeper = [(trial, fix) for trial in trials if trial.failure for fix in trial.failure.fixes]
            tried = {frozenset(trial.fix.split()) for trial in trials}
            combined = dict.fromkeys(combine(trial.fix, fix) for trial, fix in deeper)
            trials += [self.attempt(overrides, fix) for fix in combined if frozenset(fix.split()) not in tried]
        return trials

    def attempt(self, overrides: list[str], fix: str) -> Trial:
        """One build, its outputs left in the store."""
        if fix:
            print(f"trying  {fix}", file=sys.stderr)
        try:
            prepared = prepare_plan([*overrides, *fix.split()], multirun=False, store=self.store)
            require_one_artifact(prepared)
        except RecipeError as error:
            if not fix:
                raise
            return Trial(fix, Failure(kind="recipe", what=error.what), {})
        if prepared.resolved[0].recipe.search is not None:
            raise UsageError(
                "doctor takes a scheme, and quantization=auto is a search of its own",
                where="command line",
                next_step="quantization=int8, or build it: what cannot be is left out, and said",
            )
        connect(self.executor, prepared.shared, prepared.cluster)
        results = self.executor.execute(prepared.plan)
        roles = {role: results[step] for role, step in prepared.plan.goals[0].items()}
        failed = next(((role, result) for role, result in roles.items() if result.failure is not None), None)
        if failed is None:
            fault = target_fault(prepared.resolved[0].recipe, roles)
            if fault is not None and not fix:
                self.told = str(GateError(fault.what, where=fault.where, why=fault.why))
            return Trial(fix, fault, built_facts(roles))
        role, result = failed
        assert result.failure is not None
        if not fix:
            self.told = str(as_error(role, result.failure, prepared.places[0], None))
        return Trial(fix, result.failure, built_facts(roles))


def target_fault(recipe: Recipe, roles: Mapping[str, StepResult]) -> Failure | None:
    """What fails the build on the recipe's targets, though every step went well."""
    wrong = problems(recipe, verdicts_of(recipe, roles))
    if not wrong:
        return None
    where = ", ".join(f"target.{name}" for name in wrong)
    why = "\n".join(line for lines in wrong.values() for line in lines)
    return Failure(kind="gate", what=f"it was built, and will not do for {', '.join(wrong)}", where=where, why=why)


def combine(first: str, second: str) -> str:
    """Both fixes' overrides, each once; of one key the later value."""
    words = {word.partition("=")[0]: word for word in [*first.split(), *second.split()]}
    return " ".join(words.values())


def built_facts(roles: dict[str, StepResult]) -> dict[str, dict[str, object]]:
    """What the steps that went well measured."""
    return {role: dict(result.facts) for role, result in roles.items() if result.ok}
