"""Reading of Keras files: the format, and the configuration in the file. No part of the file is run."""

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
MAX_CONFIG_BYTES = 32 << 20
# A model within a model adds four levels.
MAX_DEPTH = 200
MAX_MEMBERS = 10_000
# CPU time for reading the headers of all datasets of a file. A large model has thousands.
WEIGHTS_SECONDS = 20.0
# Keras does not compress the members of an archive. DEFLATE could expand one byte to 1,032 bytes.
MAX_EXPANSION = 100
ALWAYS_ALLOWED_BYTES = 64 << 20
# The exceptions of zipfile and h5py for damaged or encrypted files. WorkerError is not a subclass of any of them.
DAMAGE = (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
SAVE_AGAIN = "save the model again: model.save('model.keras')"


@dataclass(frozen=True)
class KerasFile:
    """A Keras file.

    Attributes:
        path: The file.
        label: Its name in messages.
        hdf5: Whether its format is HDF5, according to its first bytes. Otherwise it is a .keras archive.
        config: Its configuration as JSON.
    """

    path: Path
    label: str
    hdf5: bool
    config: Any

    def link_into(self, folder: Path) -> Path:
        """Make a link to the file whose name makes Keras read the same format as this module."""
        link = folder / ("model.h5" if self.hdf5 else "model.keras")
        link.unlink(missing_ok=True)
        link.symlink_to(self.path.resolve())
        return link


def open_keras_file(path: Path, label: str) -> KerasFile:
    """Read the configuration of a Keras file.

    Raises:
        WorkerError: The file is not a Keras file, is damaged, has no model, or is nested too deeply.
    """
    hdf5 = is_hdf5(path)
    if not hdf5 and not zipfile.is_zipfile(path):
        raise WorkerError(
            f"'{label}' is not a Keras model",
            where=WHERE,
            why="a .keras file is a zip archive and an .h5 file is HDF5; this is neither, or is incomplete",
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
    if measure_depth(config) > MAX_DEPTH:
        raise refuse_depth(label)
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise WorkerError(
            f"'{label}' has no model in it",
            where=WHERE,
            why="it has no configuration of a model, and weights do not describe the layers",
            next_step="save the whole model: model.save('model.keras'); or write the code that makes it, and use"
            " source=function with source.weights",
        )
    return KerasFile(path, label, hdf5, config)


def measure_depth(config: Any) -> int:
    """Return the depth to which lists and dicts of a configuration are nested."""
    depth, level = 0, [config]
    while level:
        depth += 1
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        level = [value for items in inner for value in items]
    return depth


def refuse_depth(label: str) -> WorkerError:
    """Return the error for a configuration that is nested more deeply than Keras ever writes."""
    return WorkerError(
        f"'{label}' is refused: its configuration is nested too deeply",
        where=WHERE,
        why=f"a configuration has at most {MAX_DEPTH} levels",
        next_step="ask the author of the model to save it with fewer nested models",
    )


def read_hdf5_config(path: Path) -> str:
    """Return the attribute `model_config` of an HDF5 file; "{}" if it has none."""
    with limit_time(), h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            return "{}"
        if file.attrs.get_id("model_config").get_storage_size() > MAX_CONFIG_BYTES:
            raise ValueError(f"model_config is longer than {MAX_CONFIG_BYTES:,} bytes")
        text = file.attrs["model_config"]
    if isinstance(text, bytes):
        return text.decode()
    if not isinstance(text, str):
        raise ValueError("model_config is not text")
    return text


def read_archive_config(path: Path, label: str) -> str:
    """Return the configuration in a .keras archive. Raise WorkerError for members that Keras would not write."""
    with zipfile.ZipFile(path) as archive:
        require_plain_members(archive, label)
        with archive.open(CONFIG) as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    if len(raw) > MAX_CONFIG_BYTES:
        raise refuse_member(label, CONFIG, f"is longer than {MAX_CONFIG_BYTES:,} bytes")
    return raw.decode()


def require_plain_members(archive: zipfile.ZipFile, label: str) -> None:
    """Refuse an archive with members outside its folder, with equal names, or that are far larger when unpacked."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise refuse_member(label, members[-1].filename, f"comes after {MAX_MEMBERS:,} others")
    names: set[str] = set()
    for member in members:
        name = member.filename
        if name in names:
            raise refuse_member(label, name, "is in it twice")
        names.add(name)
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise refuse_member(label, name, "leads out of its folder")
        if member.file_size > ALWAYS_ALLOWED_BYTES and member.file_size > MAX_EXPANSION * member.compress_size:
            raise refuse_member(label, name, f"unpacks to {member.file_size:,} bytes from {member.compress_size:,}")


def refuse_member(label: str, name: str, reason: str) -> WorkerError:
    """Return the error for an archive that is refused."""
    return WorkerError(
        f"'{label}' is refused: '{name}' {reason}",
        where=WHERE,
        why="Keras does not write such archives",
        next_step="ask the author of the model to save it again",
    )


def require_contained_weights(path: Path, label: str, scratch: Path, where: str = WHERE) -> None:
    """Refuse weights that are in other files, or that are far larger when unpacked.

    Args:
        path: An HDF5 file or a .keras archive. Other files are not checked.
        label: The name of the file in messages.
        scratch: A folder for a copy of the weights of an archive.
        where: The recipe key that names the file.

    Raises:
        WorkerError: The weights are refused or damaged.
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
        # This is an error of the machine, such as a full disk.
        if isinstance(error, OSError) and error.errno:
            raise
        raise refuse_weights(label, where, error) from error
    require_contained_hdf5(copy, label, where)
    copy.unlink()


def is_hdf5(path: Path) -> bool:
    """Return whether a file starts with the signature of HDF5."""
    with open(path, "rb") as file:
        return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC


def require_contained_hdf5(path: Path, label: str, where: str) -> None:
    """Refuse an HDF5 file that refers to other files, or that is far larger when unpacked."""
    try:
        with limit_time(WEIGHTS_SECONDS), h5py.File(path, "r") as opened:
            require_contained(opened, label, where)
    except (*DAMAGE, TypeError) as error:
        raise refuse_weights(label, where, error) from error


def refuse_weights(label: str, where: str, error: Exception) -> WorkerError:
    """Return the error for weights that cannot be read."""
    return WorkerError(
        f"'{label}' is damaged",
        where=where,
        why=f"its weights cannot be read: {str(error)[:200]}",
        next_step=SAVE_AGAIN if where == WHERE else "",
    )
