"""Checks of untrusted HDF5 files, before a library reads their data.

An HDF5 file can refer to other files: by links, by datasets whose bytes are in other files, and by virtual datasets. It
can also declare datasets that are far larger than the file. A model file needs none of these.
"""

from __future__ import annotations

from typing import Any

import h5py

from tflbuild.runtime.step_contract import WorkerError

MAX_OBJECTS = 1_000_000
# A compressed dataset is larger than its bytes in the file. Keras does not compress weights.
MAX_EXPANSION = 200
ALWAYS_ALLOWED_BYTES = 64 << 20
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def require_contained(file: Any, label: str, where: str) -> None:
    """Refuse an open HDF5 file that refers to other files, or unpacks to far more than its size.

    Args:
        file: An `h5py.File`.
        label: The name of the file in messages.
        where: The recipe key that names it.

    Raises:
        WorkerError: The file is refused. The message names the object in the file.
    """
    visited: set[Any] = set()
    todo: list[tuple[str, Any]] = [("", file)]
    while todo:
        path, group = todo.pop()
        for name in group:
            object_path = f"{path}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise refuse(label, where, object_path, f"is a link into another file, '{link.filename}'")
            if isinstance(link, h5py.SoftLink):
                # The target has a hard link of its own, or does not exist.
                continue
            child = group[name]
            address = h5py.h5o.get_info(child.id).addr
            if address in visited:
                continue
            visited.add(address)
            if len(visited) > MAX_OBJECTS:
                raise refuse(label, where, object_path, f"comes after {MAX_OBJECTS:,} other objects")
            if isinstance(child, h5py.Group):
                todo.append((object_path, child))
            elif isinstance(child, h5py.Dataset):
                require_contained_dataset(child, label, where, object_path)


def require_contained_dataset(dataset: Any, label: str, where: str, object_path: str) -> None:
    """Refuse a dataset whose bytes are in another file, or that is far larger than its bytes in the file."""
    if dataset.external:
        raise refuse(label, where, object_path, f"has its bytes in another file, '{dataset.external[0][0]}'")
    if dataset.is_virtual:
        raise refuse(label, where, object_path, "is a virtual dataset, which reads other files")
    size, stored = int(dataset.size or 0) * int(dataset.dtype.itemsize), int(dataset.id.get_storage_size())
    if size > ALWAYS_ALLOWED_BYTES and size > MAX_EXPANSION * stored:
        raise refuse(label, where, object_path, f"unpacks to {size:,} bytes from {stored:,}")


def refuse(label: str, where: str, object_path: str, reason: str) -> WorkerError:
    """Return the error for an HDF5 file that is refused."""
    return WorkerError(
        f"'{label}' is refused: '{object_path}' {reason}",
        where=where,
        why="the weights of a model must be in its own file",
        next_step="ask the author of the model to save it again",
    )
