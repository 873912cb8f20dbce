"""A step's inputs, shown to its child as files of a folder; and whether they stayed what they were."""

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

PUBLISHING = ("annotate", "package")  # steps that write what they are told into what is shipped


def make_step_folder(step: Step, folder: Path, store: Store, results: Mapping[str, StepResult]) -> None:
    """The folder that a child finds: `inputs/`, an empty `outputs/`, and the request."""
    (folder / "inputs").mkdir(parents=True)
    (folder / "outputs").mkdir()
    names: dict[str, str] = {}
    labels: dict[str, str] = {}
    for port in step.inputs:
        if isinstance(port, FileInput):
            source = Path(port.path)
            names[port.name] = f"{port.name}{source.suffix}"
            labels[port.name] = shorten(source)
            _lay_out_file(port, folder / "inputs" / names[port.name])
            continue
        names[port.name] = f"{port.name}{Path(port.output).suffix}"
        labels[port.name] = port.label or port.output
        store.lay_out(output_of(results[port.step_id], port.output, store), folder / "inputs" / names[port.name])
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
    with open(folder / "input.json", "x", opener=_open_for_me) as file:
        json.dump(request, file)


def _open_for_me(path: str, flags: int) -> int:
    """Open a file that no other user of this machine can read."""
    return os.open(path, flags, 0o600)


def read_progress(folder: Path) -> float | None:
    """How much of its work the child says is done, from 0 to 1; None while it expects none that can be counted."""
    try:
        parts, done = ((folder / name).stat().st_size for name in (PARTS, PARTS_DONE))
    except OSError:
        return None
    return min(1.0, done / parts) if parts else None


def output_of(result: StepResult, name: str, store: Store) -> ActionOutput:
    """An output of a step that is done. Raises MachineError when the store has lost it."""
    record = store.read(result.key)
    if record is None:
        raise MachineError("the store lost a result while it was used", where=str(store.root), next_step="build again")
    return record.outputs[name]


def input_bytes(step: Step, store: Store, results: Mapping[str, StepResult]) -> int:
    """The size of what earlier steps hand to this one."""
    ports = [port for port in step.inputs if not isinstance(port, FileInput)]
    return sum(output_of(results[port.step_id], port.output, store).size for port in ports)


def changed_input(step: Step, store: Store) -> Failure | None:
    """What to say when a file is no longer what the plan was made for."""
    for port in step.inputs:
        if isinstance(port, FileInput) and not _still(store, port):
            return Failure(
                kind="recipe",
                what=f"'{shorten(Path(port.path))}' changed while it was used",
                why="its bytes are not those that the plan was made for",
                next_step="build again when it is written",
            )
    return None


def _lay_out_file(port: FileInput, place: Path) -> None:
    """A link; chosen files are copied, so that code which looks around itself sees nothing else."""
    if not port.files:
        place.symlink_to(port.path)
        return
    for name, path in port.files:
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, file)


def _still(store: Store, port: FileInput) -> bool:
    try:
        if port.files:
            return store.stats.digest_of_files({name: Path(path) for name, path in port.files}) == port.digest
        return store.stats.digest_of(Path(port.path)) == port.digest
    except OSError:
        return False


def shorten(path: Path) -> str:
    """As a person would write it: relative below the current folder, else its name."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return path.name
