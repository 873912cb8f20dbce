"""Check of a finished step's outputs, and transfer of its outputs, facts and log into the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tflbuild.core.cpu_dependence import add_cpu_dependence
from tflbuild.core.digest import Json
from tflbuild.core.secrets import hide_json
from tflbuild.core.step import Action, Step
from tflbuild.core.step_result import Failure
from tflbuild.execute.answer_reader import find_missing, find_special_files, redact_file
from tflbuild.execute.step_folder import find_changed_input
from tflbuild.execute.worker_process import WorkerExit
from tflbuild.registry.step_kinds import KINDS, LOG
from tflbuild.storage.store import ActionRecord, Store


def check_outputs(store: Store, step: Step, folder: Path) -> Failure | None:
    """Return the failure of a step whose inputs have changed or whose outputs cannot be stored, else None."""
    return find_changed_input(step, store) or find_missing(step, folder) or find_special_files(folder)


def store_outputs(
    store: Store,
    step: Step,
    actions: tuple[Action, ...],
    folder: Path,
    facts: Mapping[str, Json],
    answer: WorkerExit,
    origins: Iterable[str],
) -> ActionRecord:
    """Add the outputs of a successful step to the store, and return its record.

    Args:
        store: The store.
        step: The step.
        actions: The actions of the step. The last one is for results that depend on the CPU, the first for all others.
        folder: The folder of the step. Its outputs and its log are moved into the store.
        facts: The facts that the step reported.
        answer: How the worker ended.
        origins: The remote caches on which the result depends.
    """
    outputs = {name: folder / "outputs" / name for name in KINDS[step.kind].outputs}
    outputs[LOG] = folder / LOG
    redact_file(outputs[LOG])
    measured = add_cpu_dependence({**hide_json(facts), "peak_bytes": answer.peak_bytes}, step.ties)
    action = actions[-1 if "tied" in measured else 0]
    # If the recipe pins an output, a record that already exists had another digest. It is replaced.
    pinned = bool(step.expect)
    return store.publish(action.key, action.content, outputs, measured, answer.seconds, replace=pinned, origins=origins)


def store_log(store: Store, folder: Path) -> str:
    """Add the log of a failed step to the store and return its digest, "" if there is no log."""
    path = folder / LOG
    redact_file(path)
    return store.add_file(path).digest if path.is_file() and not path.is_symlink() else ""
