"""The folder in which a worker runs a step, and a check that input files have not changed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tflbuild.core.secrets import reveal_json, show_json
from tflbuild.core.step import FileInput, Step
from tflbuild.core.step_result import Failure, StepResult
from tflbuild.core.worker_protocol import CONFINEMENT, PARTS, PARTS_DONE
from tflbuild.errors import MachineError
from tflbuild.registry.step_kinds import KINDS
from tflbuild.storage.store import ActionOutput, Store

# Steps that write their parameters into delivered files, so they must not receive secrets.
PUBLISHING = ("annotate", "package")


def make_step_folder(step: Step, folder: Path, store: Store, results: Mapping[str, StepResult]) -> None:
    """Make the folder of a step: `inputs/` with links to its inputs, an empty `outputs/`, and the request.

    Args:
        step: The step.
        folder: The folder to make.
        store: The store that has the outputs of earlier steps.
        results: The results by step id; those of the steps that `step` depends on must be present.

    Raises:
        MachineError: The store has lost a result.
    """
    (folder / "inputs").mkdir(parents=True)
    (folder / "outputs").mkdir()
    names: dict[str, str] = {}
    labels: dict[str, str] = {}
    for port in step.inputs:
        if isinstance(port, FileInput):
            source = Path(port.path)
            names[port.name] = f"{port.name}{source.suffix}"
            labels[port.name] = shorten_path(source)
            _link_file(port, folder / "inputs" / names[port.name])
            continue
        names[port.name] = f"{port.name}{Path(port.output).suffix}"
        labels[port.name] = port.label or port.output
        output = find_output(results[port.step_id], port.output, store)
        store.link_output(output, folder / "inputs" / names[port.name])
    origins = {port.name: port.path for port in step.inputs if isinstance(port, FileInput) and port.files}
    request = {
        "params": (show_json if step.kind in PUBLISHING else reveal_json)(step.params),
        "inputs": names,
        "labels": labels,
        "section": step.section,
        "origins": origins,
        "network": KINDS[step.kind].network,
        "confinement": os.environ.get(CONFINEMENT, ""),
    }
    with open(folder / "input.json", "x", opener=_open_private) as file:
        json.dump(request, file)


def _open_private(path: str, flags: int) -> int:
    """Open a file that no other user of this machine can read."""
    return os.open(path, flags, 0o600)


def read_progress(folder: Path) -> float | None:
    """Return the completed fraction of a step's work, from 0 to 1, as the worker reports it.

    Returns None while the worker has not reported how many parts its work has.
    """
    try:
        parts, done = ((folder / name).stat().st_size for name in (PARTS, PARTS_DONE))
    except OSError:
        return None
    return min(1.0, done / parts) if parts else None


def find_output(result: StepResult, name: str, store: Store) -> ActionOutput:
    """Return an output of a finished step.

    Raises:
        MachineError: The store has lost the result.
    """
    record = store.read(result.key)
    if record is None:
        raise MachineError(
            "a result was deleted from the store during the build", where=str(store.root), next_step="build again"
        )
    return record.outputs[name]


def sum_input_bytes(step: Step, store: Store, results: Mapping[str, StepResult]) -> int:
    """Return the total size, in bytes, of the inputs that earlier steps made for this step."""
    ports = [port for port in step.inputs if not isinstance(port, FileInput)]
    return sum(find_output(results[port.step_id], port.output, store).size for port in ports)


def find_changed_input(step: Step, store: Store) -> Failure | None:
    """Return the failure of a step whose input file has changed since the plan was made, None if none has changed."""
    for port in step.inputs:
        if isinstance(port, FileInput) and not _is_unchanged(store, port):
            return Failure(
                kind="recipe",
                what=f"'{shorten_path(Path(port.path))}' changed during the build",
                why="its bytes differ from those that the plan was made for",
                next_step="build again when the file is complete",
            )
    return None


def _link_file(port: FileInput, path: Path) -> None:
    """Make an input file available at `path` by a link.

    User code is copied instead, file by file. It may read files next to itself, and must not find any that the recipe
    does not declare.
    """
    if not port.files:
        path.symlink_to(port.path)
        return
    for name, source in port.files:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, file)


def _is_unchanged(store: Store, port: FileInput) -> bool:
    """Return whether an input file still has the digest that is in the plan."""
    try:
        if port.files:
            return store.stats.digest_of_files({name: Path(path) for name, path in port.files}) == port.digest
        return store.stats.digest_of(Path(port.path)) == port.digest
    except OSError:
        return False


def shorten_path(path: Path) -> str:
    """Return a path relative to the current folder if it is below it, else only the file name."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return path.name
