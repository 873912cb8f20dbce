"""What executing a plan would do, found by looking at the store alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tflbuild.core.cpu_dependence import CpuDependence, read_cpu_dependence
from tflbuild.core.digest import Json
from tflbuild.core.step import FileInput, Plan, Step, is_cpu_dependent
from tflbuild.core.step_result import StepResult
from tflbuild.execute.cache_lookup import find_record, input_digests, result_of
from tflbuild.storage.store import Store


@dataclass(frozen=True)
class StepPreview:
    """One step: `hit`, `run`, or `follows`: it runs unless the steps in `awaits` make what they made before.

    `action` lacks, for a step that follows, the digests of what those steps will make. `ties` are what is known to
    depend on the CPU: before a step has run, only what its plan says.
    """

    step: Step
    verdict: Literal["hit", "run", "follows"]
    key: str
    action: Mapping[str, Json]
    awaits: tuple[str, ...]
    ties: tuple[CpuDependence, ...] = ()

    def action_like(self, earlier: Mapping[str, Json]) -> Mapping[str, Json]:
        """Return the action as it is compared with an earlier one: with the CPU where that one names it."""
        return {**self.action, "cpu": self.step.cpu} if is_cpu_dependent(earlier) else self.action


def preview_plan(plan: Plan, store: Store) -> list[StepPreview]:
    """In the order of the plan. Reads the store, changes nothing but damaged entries."""
    results: dict[str, StepResult] = {}
    previews = []
    for step in plan.steps.values():
        awaits = tuple(
            port.name for port in step.inputs if not isinstance(port, FileInput) and port.step_id not in results
        )
        if awaits:
            known = replace(step, inputs=tuple(port for port in step.inputs if port.name not in awaits))
            first = known.list_actions(input_digests(known, results))[0]
            previews.append(StepPreview(step, "follows", "", first.content, awaits, step.ties))
            continue
        actions = step.list_actions(input_digests(step, results))
        record = find_record(step, actions, store)
        if record is None:
            previews.append(StepPreview(step, "run", actions[0].key, actions[0].content, (), step.ties))
            continue
        results[step.id] = result_of(step, record, "hit")
        previews.append(StepPreview(step, "hit", record.key, record.action, (), read_cpu_dependence(record.facts)))
    return previews
