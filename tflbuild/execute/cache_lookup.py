"""Lookup of step results in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tflbuild.core.step import Action, FileInput, Step, StepInput
from tflbuild.core.step_result import StepResult
from tflbuild.execute.answer_reader import describe_pin_mismatch
from tflbuild.registry.step_kinds import KINDS, LOG
from tflbuild.storage.store import ActionRecord, Store

UNSTABLE_OUTPUTS = frozenset(name for kind in KINDS.values() for name in kind.unstable)


def input_digests(step: Step, results: Mapping[str, StepResult]) -> dict[str, str]:
    """Return the digest of each input of a step, by input name.

    Args:
        step: The step.
        results: The results by step id; those of the steps that `step` depends on must be present.
    """
    digests = {}
    for port in step.inputs:
        if isinstance(port, FileInput):
            digests[port.name] = port.digest
        else:
            digests[port.name] = results[port.step_id].outputs[port.output]
    return digests


def find_record(step: Step, actions: Iterable[Action], store: Store) -> ActionRecord | None:
    """Return the record of the first action that has one in the store, None for a cache miss.

    A record whose output differs from the digest that the recipe pins is a cache miss.
    """
    for action in actions:
        record = store.find(action.key)
        if record is not None and not describe_pin_mismatch(step, record):
            return record
    return None


def list_inherited_origins(step: Step, results: Mapping[str, StepResult]) -> frozenset[str]:
    """Return the remote caches on which a step's result depends although its cache key does not show it.

    An unstable output (one whose bytes differ from run to run) enters the cache key of the next step by the content
    that its record states, not by the digest of its bytes. So whoever wrote that record decides what the next step
    makes. All other inputs enter by the digest of their bytes, and their origin does not matter.
    """
    ports = [port for port in step.inputs if isinstance(port, StepInput) and port.output in UNSTABLE_OUTPUTS]
    return frozenset(origin for port in ports for origin in results[port.step_id].origins)


def make_result(step: Step, record: ActionRecord, status: Any) -> StepResult:
    """Return the result of a step from its record.

    An unstable output is identified by the content that the step states in its facts, or else by the cache key of the
    record. Other outputs are identified by their digest.
    """
    kind = KINDS[step.kind]
    contents = record.facts.get("content", {})
    outputs = {
        name: (contents.get(name) or record.key) if name in kind.unstable else output.digest
        for name, output in record.outputs.items()
    }
    return StepResult(
        step_id=step.id,
        status=status,
        key=record.key,
        outputs=outputs,
        facts=record.facts,
        elapsed=record.elapsed,
        log=record.outputs[LOG].digest if LOG in record.outputs else "",
        origins=record.origins,
    )
