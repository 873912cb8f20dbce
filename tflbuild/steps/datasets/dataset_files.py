"""Folders of files, one a sample: which there are, in an order that no file system decides, and their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflbuild.steps.datasets.dataset_readers import (
    ArrayHeader,
    Block,
    DeclaredDataset,
    OpenDataset,
    in_blocks,
    suggest_name,
)

LABEL = "folder"
VALUES = "values"


@dataclass(frozen=True)
class SampleFiles:
    """Files in the order of their relative POSIX names; `labels` are places in `classes`, empty for a flat folder."""

    root: Path
    names: Sequence[str]
    labels: Sequence[int]
    classes: Sequence[str]


def list_files(declared: DeclaredDataset, suffixes: Sequence[str]) -> SampleFiles:
    """The files that end in one of `suffixes`, in the folder itself or in one folder a class.

    Raises WorkerError for a folder without any, for both forms mixed, and for classes that do not match.
    """
    root = declared.path
    found = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and path.suffix.lower() in suffixes and not is_hidden(path.relative_to(root))
    )
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    flat = [name for name in found if "/" not in name]
    if not found:
        raise nothing_found(declared, suffixes)
    if flat and len(flat) < len(found):
        raise declared.refuse(
            f"'{declared.label}' has files beside its folders",
            "path",
            why=f"{flat[0]} lies beside {next(name for name in found if '/' in name)}",
            next_step="put every file into the folder of its class, or all into one folder",
        )
    if flat:
        require_no_labels(declared)
        return SampleFiles(root, found, (), ())
    classes = class_names(declared, folders)
    kept = [name for name in found if name.partition("/")[0] in classes]
    require_filled(declared, classes, kept)
    places = {name: place for place, name in enumerate(classes)}
    return SampleFiles(root, kept, [places[name.partition("/")[0]] for name in kept], classes)


def is_hidden(path: Path) -> bool:
    """What a system leaves behind (.DS_Store, ._photo.jpg) is no sample."""
    return any(part.startswith(".") for part in path.parts)


def nothing_found(declared: DeclaredDataset, suffixes: Sequence[str]) -> Exception:
    """The error for a folder without a file of this kind."""
    paths = [
        path for path in declared.path.rglob("*") if path.is_file() and not is_hidden(path.relative_to(declared.path))
    ]
    endings = Counter(path.suffix or "no suffix" for path in paths)
    has = ", ".join(f"{ending}: {count}" for ending, count in sorted(endings.items())[:5]) or "it is empty"
    return declared.refuse(
        f"'{declared.label}' holds no samples",
        "path",
        why=f"no file ends in {', '.join(suffixes)}; by suffix: {has}" if endings else has,
        next_step="name the folder that the files, or the folders of the classes, lie in",
    )


def require_no_labels(declared: DeclaredDataset) -> None:
    """Raises WorkerError where class folders are asked for and there are none."""
    if declared.params["label"] or declared.options["classes"]:
        raise declared.refuse(
            f"'{declared.label}' has no class folders",
            "label" if declared.params["label"] else "classes",
            why="all its files lie in the folder itself",
            next_step="put the files of each class into a folder named after it, or leave the key empty",
        )


def class_names(declared: DeclaredDataset, folders: Sequence[str]) -> Sequence[str]:
    """The declared classes, each of which must be a folder, or all folders by name."""
    classes: Sequence[str] = declared.options["classes"] or folders
    for name in classes:
        if name not in folders:
            raise declared.refuse(
                f"'{declared.label}' has no folder '{name}'",
                "classes",
                why=f"its folders: {', '.join(folders)}" + suggest_name(name, folders),
                next_step="make the folder, or correct the name",
            )
    if len(set(classes)) < len(classes):
        raise declared.refuse("a class is named twice", "classes", why=", ".join(classes))
    return classes


def require_filled(declared: DeclaredDataset, classes: Sequence[str], names: Sequence[str]) -> None:
    """Raises WorkerError for a class folder without a sample: a label would silently be missing."""
    empty = [name for name in classes if not any(file.startswith(f"{name}/") for file in names)]
    if empty:
        raise declared.refuse(
            f"the class folder '{empty[0]}' of '{declared.label}' holds no samples",
            "path",
            why=f"{len(empty)} of {len(classes)} class folders are empty",
            next_step="add samples, or remove the folder",
        )


def open_files(
    files: SampleFiles, held: ArrayHeader, read_one: Callable[[Path], np.ndarray], **how: bool
) -> OpenDataset:
    """A dataset of files, each read by `read_one`; `how` are flags of `OpenDataset`."""
    labels = np.asarray(files.labels, np.int64)
    arrays = {VALUES: held} | ({LABEL: ArrayHeader(labels.dtype, labels.shape)} if files.classes else {})

    def each(picked: np.ndarray | None) -> Iterator[Block]:
        for index in range(len(files.names)) if picked is None else picked:
            label = {LABEL: labels[index]} if files.classes else {}
            yield {VALUES: read_one(files.root / files.names[index]), **label}

    return OpenDataset(
        arrays, lambda _, picked: in_blocks(each(picked)), len(files.names), VALUES, classes=files.classes, **how
    )
