"""What executing a plan would do, found by looking at the store alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tflbuild.core.digest import Json
from tflbuild.core.result import StepResult
from tflbuild.core.step import FileInput, Plan, Step, hash_action
from tflbuild.execute.executor import input_digests, result_of
from tflbuild.storage.store import Store


@dataclass(frozen=True)
class Preview:
    """One step: `hit`, `run`, or `follows`: it runs unless the steps in `awaits` make what they made before.

    `action` lacks, for a step that follows, the digests of what those steps will make.
    """

    step: Step
    verdict: Literal["hit", "run", "follows"]
    key: str
    action: Mapping[str, Json]
    awaits: tuple[str, ...]


def preview(plan: Plan, store: Store) -> list[Preview]:
    """In the order of the plan. Reads the store, changes nothing but damaged entries."""
    results: dict[str, StepResult] = {}
    previews = []
    for step in plan.steps.values():
        awaits = tuple(
            port.name for port in step.inputs if not isinstance(port, FileInput) and port.step_id not in results
        )
        if awaits:
            known = replace(step, inputs=tuple(port for port in step.inputs if port.name not in awaits))
            action = step.action(input_digests(known, results))
            previews.append(Preview(step, "follows", "", action, awaits))
            continue
        action = step.action(input_digests(step, results))
        key = hash_action(action)
        record = store.find(key)
        if record is not None:
            results[step.id] = result_of(step, record, "hit")
        previews.append(Preview(step, "hit" if record else "run", key, action, ()))
    return previews
