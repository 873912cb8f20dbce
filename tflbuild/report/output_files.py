"""Write the output folder of a variant: the artifact, its manifest, its card and the logs."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tflbuild.core.digest import Json, hash_bytes
from tflbuild.core.recipe import Recipe
from tflbuild.core.secrets import hide_values
from tflbuild.core.step import artifact_role
from tflbuild.core.step_result import StepResult
from tflbuild.core.untrusted_files import read_json
from tflbuild.errors import MachineError
from tflbuild.execute.step_folder import find_output
from tflbuild.plan.target_steps import TARGET_ROLE
from tflbuild.report.cpu_dependence_text import card_section
from tflbuild.storage.atomic_files import replace_bytes, replace_copy
from tflbuild.storage.digest_cache import walk_files
from tflbuild.storage.store import Store, replace_json

MODEL = "model.tflite"
REJECTED = "model.rejected.tflite"
MANIFEST = "manifest.json"
CARD = "card.md"
LOGS = "logs"
FAILURE = "failure.json"
COMPILED = "compiled/"
RUNNERS = "runners/"
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
# The prefix of the files of an earlier build, if the current one has not replaced them.
PREVIOUS = "previous."


@dataclass(frozen=True)
class WrittenOutputs:
    """The output folder of a variant after a build, its artifact, and all written files."""

    folder: Path
    model: Path
    files: tuple[Path, ...]


def variant_folder(recipe: Recipe) -> Path:
    """Return the output folder of a variant: <output_root>/<recipe>/<variant>."""
    return Path(recipe.output_root) / recipe.name / recipe.variant


def prepare(folder: Path) -> None:
    """Create an output folder, and check that it can be written to before any step runs.

    Raises:
        MachineError: for a folder that cannot be written to, or that is or contains a link.
    """
    refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The temporary file has a unique name, since other processes may check the folder at the same time.
        with tempfile.NamedTemporaryFile(prefix=".new-", dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from None


def refuse_links(folder: Path) -> None:
    """Raise MachineError if a variant's folder, its parent, or a folder in it is a symbolic link.

    An untrusted project may contain such links. A build would then replace and remove files of the user.
    """
    subfolders = (Path(parent, name) for parent, names, _ in os.walk(folder) for name in names)
    link = next((path for path in (folder.parent, folder, *subfolders) if path.is_symlink()), None)
    if link is not None:
        raise MachineError(
            f"the output folder {link} is a link",
            why=f"it leads to {os.path.realpath(link)}; files there would be replaced and removed",
            next_step="remove the link; output_root=... names another folder, which may itself be a link",
        )


def cannot_write(folder: Path, error: OSError) -> MachineError:
    """Return the error for an output or store folder that cannot be written to."""
    return MachineError(
        f"cannot write to {folder}",
        why=error.strerror or str(error),
        next_step="free space or change permissions there, or use another folder: output_root=... for outputs,"
        " the variable TFLBUILD_STORE for the store",
    )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raise MachineError for a disk that is full or cannot be written to."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise cannot_write(Path(error.filename) if isinstance(error.filename, str) else folder, error) from None


def write_outputs(
    folder: Path, store: Store, roles: Mapping[str, StepResult], manifest: Mapping[str, Json], accepted: bool
) -> WrittenOutputs:
    """Write the artifact of a variant, its card, logs, runners and manifest.

    Args:
        folder: The output folder.
        store: The store with the outputs of the steps.
        roles: The results of the steps by role.
        manifest: The manifest.
        accepted: Whether all gates passed. Otherwise, the artifact gets another name.

    Raises:
        MachineError: for a folder that cannot be written to.
    """
    artifact = roles[artifact_role(roles)]
    model = folder / (MODEL if accepted else REJECTED)
    files = [model, folder / CARD]
    try:
        # The lock keeps two builds of the variant apart: the manifest must describe the files next to it.
        with store.lock(_lock_name(folder)):
            _remove_previous(folder)
            (folder / (REJECTED if accepted else MODEL)).unlink(missing_ok=True)
            _copy_output(store, artifact.outputs[MODEL], model)
            _write_card(store, roles["package"].outputs[CARD], folder / CARD, card_section(manifest))
            files += (logs := write_logs(folder, store, roles))
            _remove_others(folder / LOGS, {log.name for log in logs})
            files += _copy_folder(store, roles["package"], RUNNERS, folder / RUNNERS)
            files += _copy_compiled(folder, store, roles if accepted else {})
            replace_json(folder / MANIFEST, manifest)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return WrittenOutputs(folder, model, (*files, folder / MANIFEST))


def set_aside_other(folder: Path, store: Store, request: str) -> None:
    """Rename the files of a build with another request: their names begin with `previous.` from now on."""
    manifest = read_manifest(folder / MANIFEST)
    if manifest.get("request") != request:
        set_aside(folder, store)


def set_aside(folder: Path, store: Store) -> None:
    """Rename the artifact, the manifest and the files that were made with them, so that none looks current."""
    refuse_links(folder)
    try:
        with store.lock(_lock_name(folder)):
            present = [path.name for path in _list_earlier_files(folder, "")]
            if not {MODEL, REJECTED, MANIFEST}.isdisjoint(present):
                _remove_previous(folder)
            for name in present:
                (folder / name).rename(folder / f"{PREVIOUS}{name}")
    except OSError as error:
        raise cannot_write(folder, error) from None


def is_delivered(folder: Path) -> bool:
    """Return whether the folder has an artifact under the name of a current one."""
    return any((folder / name).exists() for name in (MODEL, REJECTED, MANIFEST))


def write_failure(folder: Path, store: Store, failure: Mapping[str, Json]) -> None:
    """Record in the folder which build failed and why. The files of an earlier build are renamed."""
    set_aside(folder, store)
    earlier = read_manifest(folder / f"{PREVIOUS}{MANIFEST}").get("artifact")
    sha256 = earlier.get("sha256") if isinstance(earlier, dict) else None
    replace_json(folder / FAILURE, {**failure, "previous_artifact": sha256})


def _remove_previous(folder: Path) -> None:
    """Remove the renamed files of an earlier build, and the record of a failure."""
    for path in _list_earlier_files(folder, PREVIOUS):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (folder / FAILURE).unlink(missing_ok=True)


def _list_earlier_files(folder: Path, prefix: str) -> list[Path]:
    """Return the files and folders of a build whose names begin with a prefix.

    A folder with the name of a file does not belong to tflbuild, and is left out.
    """
    folders = [RUNNERS.rstrip("/"), *_earlier_targets(folder / f"{prefix}{MANIFEST}")]
    candidates = [folder / f"{prefix}{name}" for name in folders if Path(name).name == name]
    files = [folder / f"{prefix}{name}" for name in (MODEL, REJECTED, CARD, MANIFEST)]
    return [path for path in candidates if path.is_dir()] + [path for path in files if path.is_file()]


def read_manifest(file: Path) -> dict[str, Json]:
    """Return a manifest, or an empty one if it is missing or cannot be read."""
    try:
        manifest = read_json(file)
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def last_manifest(folder: Path) -> dict[str, Json]:
    """Return the manifest of the last successful build, whether it is current or was renamed."""
    return read_manifest(folder / MANIFEST) or read_manifest(folder / f"{PREVIOUS}{MANIFEST}")


def _copy_compiled(folder: Path, store: Store, roles: Mapping[str, StepResult]) -> list[Path]:
    """Write a folder for each target that compiles, and remove those of an earlier artifact."""
    compiled = {role.removeprefix(TARGET_ROLE): result for role, result in roles.items() if COMPILED in result.outputs}
    stale = _earlier_targets(folder / MANIFEST) - compiled.keys()
    for path in folder.iterdir():
        if path.name in stale and path.is_dir():
            shutil.rmtree(path)
    return [file for name, result in compiled.items() for file in _copy_folder(store, result, COMPILED, folder / name)]


def _earlier_targets(manifest: Path) -> set[str]:
    """Return the targets of the build in the folder. Only folders that a build made may be removed."""
    targets = read_manifest(manifest).get("targets")
    return set(targets) if isinstance(targets, dict) else set()


def write_page(folder: Path, name: str, text: str) -> Path:
    """Write a page of a variant in one operation, without secrets. Return its path.

    Raises:
        MachineError: for a folder that cannot be written to.
    """
    try:
        replace_bytes(folder / name, hide_values(text).encode(), durable=False)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return folder / name


def write_logs(folder: Path, store: Store, roles: Mapping[str, StepResult]) -> list[Path]:
    """Write logs/<step>.txt for every step that printed something, also for failed steps. Return the files."""
    written = []
    for role, result in roles.items():
        path = log_file(folder, role)
        if result.log:
            _copy_output(store, result.log, path)
            written.append(path)
    return written


def log_file(folder: Path, role: str) -> Path:
    """Return the path of the log of a role."""
    return folder / LOGS / f"{role.replace(' ', '_')}.txt"


def _copy_output(store: Store, digest: str, path: Path) -> None:
    try:
        if store.stats.digest(path) == digest:
            return
    except OSError:
        pass
    replace_copy(store.blob(digest), path)


def _write_card(store: Store, digest: str, path: Path, section: str) -> None:
    """Write the card that `package` made, followed by a section that depends on all steps."""
    if section:
        replace_bytes(path, store.blob(digest).read_bytes() + section.encode())
    else:
        _copy_output(store, digest, path)


def _copy_folder(store: Store, result: StepResult, output: str, folder: Path) -> list[Path]:
    """Write a folder that a step made, and remove other files in it."""
    files = find_output(result, output, store).files
    for name, digest in files.items():
        _copy_output(store, digest, folder / name)
    _remove_others(folder, files)
    return [folder / name for name in files]


def _remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove the files below a folder whose relative paths are not in `names`."""
    for file in walk_files(folder) if folder.is_dir() else ():
        if file.relative_to(folder).as_posix() not in names:
            file.unlink(missing_ok=True)


def _lock_name(folder: Path) -> str:
    return f"outputs-{hash_bytes(os.fsencode(folder.resolve()))[:32]}"
