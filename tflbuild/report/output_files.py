"""The output folder of a variant: the artifact, its manifest, its card and the logs."""

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
PREVIOUS = "previous."  # begins the names of what an earlier build made, once a later one has not replaced it


@dataclass(frozen=True)
class WrittenOutputs:
    """What lies in the folder now."""

    folder: Path
    model: Path
    files: tuple[Path, ...]


def variant_folder(recipe: Recipe) -> Path:
    """<output_root>/<recipe>/<variant>."""
    return Path(recipe.output_root) / recipe.name / recipe.variant


def prepare(folder: Path) -> None:
    """Make the folder, so that a place that cannot be written to is known before anything runs."""
    refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".new-", dir=folder):  # a name of its own: others may be probing too
            pass
    except OSError as error:
        raise cannot_write(folder, error) from None


def refuse_links(folder: Path) -> None:
    """Raise MachineError where a variant's folder, the one around it or one inside is a link to another folder.

    A stranger's project may bring such links. What a build writes and removes would then be files of the user's.
    """
    inside = (Path(place, name) for place, names, _ in os.walk(folder) for name in names)
    link = next((place for place in (folder.parent, folder, *inside) if place.is_symlink()), None)
    if link is not None:
        raise MachineError(
            f"the output folder {link} is a link",
            why=f"it leads to {os.path.realpath(link)}; files there would be replaced and removed",
            next_step="remove the link; output_root=... chooses another place, and may be a link itself",
        )


def cannot_write(folder: Path, error: OSError) -> MachineError:
    """The error for an output or store folder that refuses bytes."""
    return MachineError(
        f"cannot write to {folder}",
        why=error.strerror or str(error),
        next_step="free space or change permissions there, or choose another place: output_root=... for outputs,"
        " the variable TFLBUILD_STORE for the store",
    )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Report a disk that is full or cannot be written to as a fault of the environment."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise cannot_write(Path(error.filename) if isinstance(error.filename, str) else folder, error) from None


def write_outputs(
    folder: Path, store: Store, roles: Mapping[str, StepResult], manifest: Mapping[str, Json], accepted: bool
) -> WrittenOutputs:
    """Bring the folder up to date. What failed its gates is kept under another name, for study."""
    artifact = roles[artifact_role(roles)]
    model = folder / (MODEL if accepted else REJECTED)
    files = [model, folder / CARD]
    try:
        with store.lock(_lock_name(folder)):  # the manifest tells of these files, not of a build beside it
            _remove_previous(folder)
            (folder / (REJECTED if accepted else MODEL)).unlink(missing_ok=True)
            _bring(store, artifact.outputs[MODEL], model)
            _write_card(store, roles["package"].outputs[CARD], folder / CARD, card_section(manifest))
            files += (logs := write_logs(folder, store, roles))
            _remove_others(folder / LOGS, {place.name for place in logs})
            files += _bring_folder(store, roles["package"], RUNNERS, folder / RUNNERS)
            files += _bring_compiled(folder, store, roles if accepted else {})
            replace_json(folder / MANIFEST, manifest)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return WrittenOutputs(folder, model, (*files, folder / MANIFEST))


def set_aside_other(folder: Path, store: Store, request: str) -> None:
    """Rename what a build of another request left in the folder: its names begin with `previous.` from now on."""
    manifest = read_manifest(folder / MANIFEST)
    if manifest.get("request") != request:
        set_aside(folder, store)


def set_aside(folder: Path, store: Store) -> None:
    """Rename artifact, manifest and all that was made with them, so that none of them looks current."""
    refuse_links(folder)
    try:
        with store.lock(_lock_name(folder)):
            present = [place.name for place in _made_before(folder, "")]
            if not {MODEL, REJECTED, MANIFEST}.isdisjoint(present):
                _remove_previous(folder)
            for name in present:
                (folder / name).rename(folder / f"{PREVIOUS}{name}")
    except OSError as error:
        raise cannot_write(folder, error) from None


def is_delivered(folder: Path) -> bool:
    """Whether an artifact lies in the folder under the name of a current one."""
    return any((folder / name).exists() for name in (MODEL, REJECTED, MANIFEST))


def write_failure(folder: Path, store: Store, failure: Mapping[str, Json]) -> None:
    """Record in the folder which build failed and why. What an earlier build left there is set aside."""
    set_aside(folder, store)
    earlier = read_manifest(folder / f"{PREVIOUS}{MANIFEST}").get("artifact")
    sha256 = earlier.get("sha256") if isinstance(earlier, dict) else None
    replace_json(folder / FAILURE, {**failure, "previous_artifact": sha256})


def _remove_previous(folder: Path) -> None:
    """Remove what an earlier build left, and the record of a failure in between."""
    for place in _made_before(folder, PREVIOUS):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    (folder / FAILURE).unlink(missing_ok=True)


def _made_before(folder: Path, prefix: str) -> list[Path]:
    """Return what a build left under names with a prefix. A folder where a file belongs is not ours."""
    folders = [RUNNERS.rstrip("/"), *_judged_before(folder / f"{prefix}{MANIFEST}")]
    kept = [folder / f"{prefix}{name}" for name in folders if Path(name).name == name]
    files = [folder / f"{prefix}{name}" for name in (MODEL, REJECTED, CARD, MANIFEST)]
    return [place for place in kept if place.is_dir()] + [place for place in files if place.is_file()]


def read_manifest(file: Path) -> dict[str, Json]:
    """Return a manifest; an empty one where it is missing or cannot be read."""
    try:
        manifest = read_json(file)
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def last_manifest(folder: Path) -> dict[str, Json]:
    """Return the manifest of the last build that ended well, be it the current one or one that was set aside."""
    return read_manifest(folder / MANIFEST) or read_manifest(folder / f"{PREVIOUS}{MANIFEST}")


def _bring_compiled(folder: Path, store: Store, roles: Mapping[str, StepResult]) -> list[Path]:
    """A folder for each target that compiles. What an earlier artifact was compiled to goes."""
    compiled = {role.removeprefix(TARGET_ROLE): result for role, result in roles.items() if COMPILED in result.outputs}
    stale = _judged_before(folder / MANIFEST) - compiled.keys()
    for place in folder.iterdir():
        if place.name in stale and place.is_dir():
            shutil.rmtree(place)
    return [path for name, result in compiled.items() for path in _bring_folder(store, result, COMPILED, folder / name)]


def _judged_before(manifest: Path) -> set[str]:
    """The targets of the build that lies there: only what one made may be removed."""
    targets = read_manifest(manifest).get("targets")
    return set(targets) if isinstance(targets, dict) else set()


def write_page(folder: Path, name: str, text: str) -> Path:
    """A page of a variant that is not built by it, written whole and without secrets; gives where."""
    try:
        replace_bytes(folder / name, hide_values(text).encode(), durable=False)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return folder / name


def write_logs(folder: Path, store: Store, roles: Mapping[str, StepResult]) -> list[Path]:
    """logs/<step>.txt of every step that printed something, failed ones included."""
    written = []
    for role, result in roles.items():
        place = log_file(folder, role)
        if result.log:
            _bring(store, result.log, place)
            written.append(place)
    return written


def log_file(folder: Path, role: str) -> Path:
    """Where the log of a role lies."""
    return folder / LOGS / f"{role.replace(' ', '_')}.txt"


def _bring(store: Store, digest: str, place: Path) -> None:
    try:
        if store.stats.digest(place) == digest:
            return
    except OSError:
        pass
    replace_copy(store.blob(digest), place)


def _write_card(store: Store, digest: str, place: Path, section: str) -> None:
    """Write the card that `package` made, and below it a section that the steps together decide."""
    if section:
        replace_bytes(place, store.blob(digest).read_bytes() + section.encode())
    else:
        _bring(store, digest, place)


def _bring_folder(store: Store, result: StepResult, output: str, place: Path) -> list[Path]:
    """A folder that a step made, and nothing that an earlier run of it left there."""
    made = find_output(result, output, store).files
    for name, digest in made.items():
        _bring(store, digest, place / name)
    _remove_others(place, made)
    return [place / name for name in made]


def _remove_others(place: Path, names: Collection[str]) -> None:
    """Remove the files below a folder that are not named, each by its path below it."""
    for file in walk_files(place) if place.is_dir() else ():
        if file.relative_to(place).as_posix() not in names:
            file.unlink(missing_ok=True)


def _lock_name(folder: Path) -> str:
    return f"outputs-{hash_bytes(os.fsencode(folder.resolve()))[:32]}"
