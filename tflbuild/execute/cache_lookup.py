"""How a step's result is looked up in the store, and read."""

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
    """Return what each input of a step is known by, once the steps before it are done."""
    digests = {}
    for port in step.inputs:
        if isinstance(port, FileInput):
            digests[port.name] = port.digest
        else:
            digests[port.name] = results[port.step_id].outputs[port.output]
    return digests


def find_record(step: Step, actions: Iterable[Action], store: Store) -> ActionRecord | None:
    """Return the record of the first action that has one, None for a miss.

    A record that holds something else than the step expects is a miss.
    """
    for action in actions:
        record = store.find(action.key)
        if record is not None and not describe_pin_mismatch(step, record):
            return record
    return None


def list_inherited_origins(step: Step, results: Mapping[str, StepResult]) -> frozenset[str]:
    """Return the shared stores that a step's result rests on without its key saying so.

    An unstable output is known by what its record says it holds, not by its bytes: who wrote that record decides what
    the next step makes. Any other input is known by the digest of its bytes, whoever sent them.
    """
    ports = [port for port in step.inputs if isinstance(port, StepInput) and port.output in UNSTABLE_OUTPUTS]
    return frozenset(origin for port in ports for origin in results[port.step_id].origins)


def result_of(step: Step, record: ActionRecord, status: Any) -> StepResult:
    """A record as a result: unstable outputs are known by what the step says they hold, else by its key."""
    kind = KINDS[step.kind]
    told = record.facts.get("content", {})
    outputs = {
        name: (told.get(name) or record.key) if name in kind.unstable else output.digest
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
