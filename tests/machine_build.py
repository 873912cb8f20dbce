"""Build variants with worker processes on another machine, and print their digests: machine_build.py PYTHON OVERRIDE...

PYTHON is what worker servers are started with, such as a script that runs Python under an emulator. The plan, its keys
and the executor are those of a real build; only the steps that the models rest on are run. A JSON list goes to standard
output: one `BuiltVariant` as a dictionary for each variant of the sweep.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tflbuild.core.recipe import Recipe
from tflbuild.core.step import Plan
from tflbuild.core.step_result import StepResult
from tflbuild.execute.events import Event, StepEnded
from tflbuild.execute.executor import Executor
from tflbuild.execute.run_limits import Limits
from tflbuild.locations import store_root
from tflbuild.pipeline.preparation import prepare_plan
from tflbuild.storage.store import Store

FLOAT = "float"
ROLES = ("convert", "quantize")


@dataclass(frozen=True)
class BuiltVariant:
    """One artifact of a recipe as a machine built it: its digest, or the error, and its ties to the CPU."""

    recipe: str
    artifact: str
    digest: str = ""
    error: str = ""
    tied: Sequence[Any] = ()


def build_variants(overrides: Sequence[str]) -> Iterator[BuiltVariant]:
    """Yield the float model of each recipe, and the quantized ones of a sweep. Refused variants are left out."""
    store = Store(store_root())
    prepared = prepare_plan([*overrides, "verify=none"], multirun=True, store=store)
    plan = keep_needed(prepared.plan)
    with Executor(store, show_step, Limits()) as executor:
        results = executor.execute(plan)
    seen = set()
    for resolved, goals in zip(prepared.resolved, plan.goals, strict=True):
        for role, step in goals.items():
            artifact = name_artifact(resolved.recipe, role)
            if (resolved.recipe.name, artifact) not in seen:
                seen.add((resolved.recipe.name, artifact))
                yield describe_result(resolved.recipe.name, artifact, step, plan, results)


def keep_needed(plan: Plan) -> Plan:
    """Return the plan without the steps that neither the float nor the quantized model rests on."""
    goals = tuple({role: roles[role] for role in ROLES if role in roles} for roles in plan.goals)
    needed = {step for roles in goals for goal in roles.values() for step in trace_upstream(plan, goal)}
    return Plan(steps={name: step for name, step in plan.steps.items() if name in needed}, goals=goals)


def trace_upstream(plan: Plan, goal: str) -> dict[str, None]:
    """Return a step and all that it rests on, without repetition."""
    steps = {goal: None}
    for upstream in plan.steps[goal].upstream():
        steps |= trace_upstream(plan, upstream)
    return steps


def name_artifact(recipe: Recipe, role: str) -> str:
    """Return `float`, or the scheme, engine and algorithm of a quantized model."""
    if role == "convert":
        return FLOAT
    quantization = recipe.quantization
    algorithm = "" if quantization.algorithm == "min_max" else f" {quantization.algorithm}"
    return f"{quantization.scheme} {quantization.engine}{algorithm}"


def describe_result(
    recipe: str, artifact: str, goal: str, plan: Plan, results: Mapping[str, StepResult]
) -> BuiltVariant:
    """Return the digest of a step's model, or why there is none."""
    steps = trace_upstream(plan, goal)
    failures = {plan.steps[step].title: results[step].failure for step in steps}
    error = "; ".join(f"{title}: {failure.what}" for title, failure in failures.items() if failure is not None)
    tied: dict[str, Any] = {}
    for step in steps:
        facts: Any = results[step].facts.get("tied", ())
        tied |= {json.dumps(reason): reason for reason in facts}
    digest = results[goal].outputs["model.tflite"] if results[goal].ok else ""
    return BuiltVariant(recipe, artifact, digest, error, tuple(tied.values()))


def show_step(event: Event) -> None:
    """Print a step that ended."""
    if isinstance(event, StepEnded):
        result = event.result
        why = f" {result.failure.what}: {result.failure.why}" if result.failure else ""
        machine = Path(sys.executable).name
        print(f"{time.strftime('%T')} {machine}: {event.step.title} {result.status}{why}", file=sys.stderr)


def main(python: str, *overrides: str) -> None:
    """Print what the workers of a Python make of a sweep."""
    sys.executable = python
    print(json.dumps([asdict(variant) for variant in build_variants(overrides)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
