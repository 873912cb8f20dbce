"""Keras files as they are: which format, and the configuration that the file holds. Nothing of it is run."""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from tflbuild.runtime.cpu_time_limit import limit_time
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.foreign_models.hdf5_safety import HDF5_MAGIC, require_contained

WHERE = "source.path"
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
MOST_CONFIG_BYTES = 32 << 20
MOST_DEPTH = 200  # a model within a model adds four
MOST_MEMBERS = 10_000
WEIGHTS_SECONDS = 20.0  # of CPU time, to look at every dataset of a file; a large model has thousands
# Keras stores the members of an archive as they are; DEFLATE makes at most 1,032 bytes of one.
MOST_EXPANSION = 100
ALWAYS_ALLOWED_BYTES = 64 << 20
# what zipfile and h5py raise for a damaged or encrypted file; WorkerError is none of them
DAMAGE = (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
SAVE_AGAIN = "save the model again: model.save('model.keras')"


@dataclass(frozen=True)
class KerasFile:
    """A Keras file. `config` is its configuration as JSON; `hdf5` says the format, which its first bytes decide."""

    path: Path
    label: str
    hdf5: bool
    config: Any

    def link_into(self, folder: Path) -> Path:
        """Link the file under the name that makes Keras read the format which was read here."""
        link = folder / ("model.h5" if self.hdf5 else "model.keras")
        link.unlink(missing_ok=True)
        link.symlink_to(self.path.resolve())
        return link


def open_keras_file(path: Path, label: str) -> KerasFile:
    """Read the configuration of a Keras file. Raises WorkerError for what is none."""
    hdf5 = is_hdf5(path)
    if not hdf5 and not zipfile.is_zipfile(path):
        raise WorkerError(
            f"'{label}' is not a Keras model",
            where=WHERE,
            why="a .keras file is a zip archive and an .h5 file is HDF5; this is neither, or was cut short",
            next_step=SAVE_AGAIN,
        )
    try:
        text = read_hdf5_config(path) if hdf5 else read_archive_config(path, label)
        config = json.loads(text)
    except RecursionError:
        raise refuse_depth(label) from None
    except DAMAGE as error:
        raise WorkerError(
            f"'{label}' is damaged",
            where=WHERE,
            why=f"its configuration cannot be read: {str(error)[:200]}",
            next_step=SAVE_AGAIN,
        ) from error
    if measure_depth(config) > MOST_DEPTH:
        raise refuse_depth(label)
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise WorkerError(
            f"'{label}' has no model in it",
            where=WHERE,
            why="it has no configuration of a model: weights alone say nothing of the layers",
            next_step="save the whole model: model.save('model.keras'); or write the code that makes it, and"
            " source=function with source.weights",
        )
    return KerasFile(path, label, hdf5, config)


def measure_depth(config: Any) -> int:
    """Return how deeply lists and mappings of a configuration are nested."""
    depth, level = 0, [config]
    while level:
        depth += 1
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        level = [value for items in inner for value in items]
    return depth


def refuse_depth(label: str) -> WorkerError:
    """The error for a configuration that no Keras writes."""
    return WorkerError(
        f"'{label}' is refused: its configuration is nested too deeply",
        where=WHERE,
        why=f"a configuration has at most {MOST_DEPTH} levels",
        next_step="have whoever made the model save it with fewer models within models",
    )


def read_hdf5_config(path: Path) -> str:
    """The attribute `model_config` of an HDF5 file, "{}" where it has none."""
    with limit_time(), h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            return "{}"
        if file.attrs.get_id("model_config").get_storage_size() > MOST_CONFIG_BYTES:
            raise ValueError(f"model_config is longer than {MOST_CONFIG_BYTES:,} bytes")
        text = file.attrs["model_config"]
    if isinstance(text, bytes):
        return text.decode()
    if not isinstance(text, str):
        raise ValueError("model_config is no text")
    return text


def read_archive_config(path: Path, label: str) -> str:
    """The configuration in a .keras archive, whose members are held to what Keras writes."""
    with zipfile.ZipFile(path) as archive:
        require_plain_members(archive, label)
        with archive.open(CONFIG) as file:
            raw = file.read(MOST_CONFIG_BYTES + 1)
    if len(raw) > MOST_CONFIG_BYTES:
        raise refuse_member(label, CONFIG, f"is longer than {MOST_CONFIG_BYTES:,} bytes")
    return raw.decode()


def require_plain_members(archive: zipfile.ZipFile, label: str) -> None:
    """Refuse an archive whose members lead out of their folder, occur twice, or unpack to far more than they are."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise refuse_member(label, members[-1].filename, f"comes after {MOST_MEMBERS:,} others")
    names: set[str] = set()
    for member in members:
        name = member.filename
        if name in names:
            raise refuse_member(label, name, "is in it twice")
        names.add(name)
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise refuse_member(label, name, "leads out of its folder")
        if member.file_size > ALWAYS_ALLOWED_BYTES and member.file_size > MOST_EXPANSION * member.compress_size:
            raise refuse_member(label, name, f"unpacks to {member.file_size:,} bytes from {member.compress_size:,}")


def refuse_member(label: str, name: str, why: str) -> WorkerError:
    """The error for an archive that is not unpacked."""
    return WorkerError(
        f"'{label}' is refused: '{name}' {why}",
        where=WHERE,
        why="no Keras writes such an archive",
        next_step="have whoever made the model save it again",
    )


def require_contained_weights(path: Path, label: str, scratch: Path, where: str = WHERE) -> None:
    """Refuse weights that lie in other files, or unpack to far more than they are.

    Args:
        path: An HDF5 file or a .keras archive. What is neither is left to its loader.
        label: What a person calls it.
        scratch: A folder for a copy of the weights of an archive.
        where: Its key in the recipe.
    """
    if is_hdf5(path):
        require_contained_hdf5(path, label, where)
        return
    if not zipfile.is_zipfile(path):
        return
    copy = scratch / WEIGHTS
    try:
        with zipfile.ZipFile(path) as archive:
            require_plain_members(archive, label)
            if WEIGHTS not in archive.namelist():
                return
            with archive.open(WEIGHTS) as packed, open(copy, "wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:  # of the machine, such as a full disk
            raise
        raise refuse_weights(label, where, error) from error
    require_contained_hdf5(copy, label, where)
    copy.unlink()


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    with open(path, "rb") as file:
        return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC


def require_contained_hdf5(path: Path, label: str, where: str) -> None:
    """Refuse an HDF5 file that reads other files, or unpacks to far more than it holds."""
    try:
        with limit_time(WEIGHTS_SECONDS), h5py.File(path, "r") as opened:
            require_contained(opened, label, where)
    except (*DAMAGE, TypeError) as error:
        raise refuse_weights(label, where, error) from error


def refuse_weights(label: str, where: str, error: Exception) -> WorkerError:
    """The error for weights that cannot be read."""
    return WorkerError(
        f"'{label}' is damaged",
        where=where,
        why=f"its weights cannot be read: {str(error)[:200]}",
        next_step=SAVE_AGAIN if where == WHERE else "",
    )
