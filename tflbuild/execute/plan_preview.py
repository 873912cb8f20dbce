"""Preview of a plan: which steps are cache hits and which would run, according to the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tflbuild.core.cpu_dependence import CpuDependence, read_cpu_dependence
from tflbuild.core.digest import Json
from tflbuild.core.step import FileInput, Plan, Step, is_cpu_dependent
from tflbuild.core.step_result import StepResult
from tflbuild.execute.cache_lookup import find_record, input_digests, make_result
from tflbuild.storage.store import Store


@dataclass(frozen=True)
class StepPreview:
    """The preview of one step.

    `verdict` is `hit` (the store has the result), `run` (it has none), or `follows`: the step has inputs that are not
    made yet. It runs unless the steps that make the inputs in `awaits` produce the same bytes as before. For such a
    step, `key` is empty and `action` lacks the digests of these inputs. `ties` lists the CPU dependences; before a
    step has run, only those that are known from the plan.
    """

    step: Step
    verdict: Literal["hit", "run", "follows"]
    key: str
    action: Mapping[str, Json]
    awaits: tuple[str, ...]
    ties: tuple[CpuDependence, ...] = ()

    def action_like(self, earlier: Mapping[str, Json]) -> Mapping[str, Json]:
        """Return the action for a comparison with an earlier one: with the CPU if the earlier action names a CPU."""
        return {**self.action, "cpu": self.step.cpu} if is_cpu_dependent(earlier) else self.action


def preview_plan(plan: Plan, store: Store) -> list[StepPreview]:
    """Return the preview of every step, in the order of the plan.

    The store is only read, except that damaged entries are moved to its quarantine folder.
    """
    results: dict[str, StepResult] = {}
    previews = []
    for step in plan.steps.values():
        awaits = tuple(
            port.name for port in step.inputs if not isinstance(port, FileInput) and port.step_id not in results
        )
        if awaits:
            # Only the inputs that exist already can be part of the action.
            partial_step = replace(step, inputs=tuple(port for port in step.inputs if port.name not in awaits))
            action = partial_step.list_actions(input_digests(partial_step, results))[0]
            previews.append(StepPreview(step, "follows", "", action.content, awaits, step.ties))
            continue
        actions = step.list_actions(input_digests(step, results))
        record = find_record(step, actions, store)
        if record is None:
            previews.append(StepPreview(step, "run", actions[0].key, actions[0].content, (), step.ties))
            continue
        results[step.id] = make_result(step, record, "hit")
        previews.append(StepPreview(step, "hit", record.key, record.action, (), read_cpu_dependence(record.facts)))
    return previews
