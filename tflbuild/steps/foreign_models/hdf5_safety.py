"""HDF5 files of strangers: what is refused before a library reads them.

An HDF5 file can name other files: by links, by datasets whose bytes lie elsewhere, by virtual datasets. It can also
declare datasets that are far larger than the file. A model file needs none of these.
"""

from __future__ import annotations

from typing import Any

import h5py

from tflbuild.runtime.step_contract import WorkerError

MOST_OBJECTS = 1_000_000
# A dataset may be larger than its bytes in the file by compression. The weights of Keras are not compressed.
MOST_EXPANSION = 200
ALWAYS_ALLOWED_BYTES = 64 << 20
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def require_contained(file: Any, label: str, where: str) -> None:
    """Refuse an open HDF5 file that reads other files, or unpacks to far more than it holds.

    Args:
        file: An `h5py.File`.
        label: What a person calls it.
        where: Its key in the recipe.

    Raises:
        WorkerError: which names the object in the file.
    """
    seen: set[Any] = set()
    todo: list[tuple[str, Any]] = [("", file)]
    while todo:
        path, group = todo.pop()
        for name in group:
            place = f"{path}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise refuse(label, where, place, f"is a link into another file, '{link.filename}'")
            if isinstance(link, h5py.SoftLink):
                continue  # what it leads to is reached by a link of its own, or is not there
            child = group[name]
            address = h5py.h5o.get_info(child.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MOST_OBJECTS:
                raise refuse(label, where, place, f"comes after {MOST_OBJECTS:,} other objects")
            if isinstance(child, h5py.Group):
                todo.append((place, child))
            elif isinstance(child, h5py.Dataset):
                require_contained_dataset(child, label, where, place)


def require_contained_dataset(dataset: Any, label: str, where: str, place: str) -> None:
    """Refuse a dataset whose bytes lie in another file, or that is far larger than its bytes."""
    if dataset.external:
        raise refuse(label, where, place, f"has its bytes in another file, '{dataset.external[0][0]}'")
    if dataset.is_virtual:
        raise refuse(label, where, place, "is a virtual dataset, which reads other files")
    size, stored = int(dataset.size or 0) * int(dataset.dtype.itemsize), int(dataset.id.get_storage_size())
    if size > ALWAYS_ALLOWED_BYTES and size > MOST_EXPANSION * stored:
        raise refuse(label, where, place, f"unpacks to {size:,} bytes from {stored:,}")


def refuse(label: str, where: str, place: str, why: str) -> WorkerError:
    """The error for an HDF5 file that is not read."""
    return WorkerError(
        f"'{label}' is refused: '{place}' {why}",
        where=where,
        why="the weights of a model lie in its own file",
        next_step="have whoever made the model save it again",
    )
