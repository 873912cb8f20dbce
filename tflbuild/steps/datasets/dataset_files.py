"""Folders with one file per sample: the files in an order that does not depend on the file system, and their labels."""

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
    """The files of a dataset.

    Attributes:
        root: The folder.
        names: Their POSIX paths relative to the folder, sorted.
        labels: For each file, an index into `classes`. Empty if the folder has no class folders.
        classes: The names of the classes.
    """

    root: Path
    names: Sequence[str]
    labels: Sequence[int]
    classes: Sequence[str]


def list_files(declared: DeclaredDataset, suffixes: Sequence[str]) -> SampleFiles:
    """List the files that end in one of `suffixes`, in the folder itself or in one folder per class.

    Raises:
        WorkerError: There are no files, or there are files in the folder and in class folders, or the class folders do
            not match the recipe.
    """
    root = declared.path
    files = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and path.suffix.lower() in suffixes and not is_hidden(path.relative_to(root))
    )
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    top_files = [name for name in files if "/" not in name]
    if not files:
        raise no_files_error(declared, suffixes)
    if top_files and len(top_files) < len(files):
        raise declared.refuse(
            f"'{declared.label}' has files next to its folders",
            "path",
            why=f"it contains both {top_files[0]} and {next(name for name in files if '/' in name)}",
            next_step="put every file into the folder of its class, or all into one folder",
        )
    if top_files:
        require_no_labels(declared)
        return SampleFiles(root, files, (), ())
    classes = class_names(declared, folders)
    names = [name for name in files if name.partition("/")[0] in classes]
    require_filled(declared, classes, names)
    class_indices = {name: index for index, name in enumerate(classes)}
    return SampleFiles(root, names, [class_indices[name.partition("/")[0]] for name in names], classes)


def is_hidden(path: Path) -> bool:
    """Return whether a path is hidden, such as the files that macOS makes (.DS_Store, ._photo.jpg)."""
    return any(part.startswith(".") for part in path.parts)


def no_files_error(declared: DeclaredDataset, suffixes: Sequence[str]) -> Exception:
    """Return the error for a folder without a file that has one of the suffixes."""
    paths = [
        path for path in declared.path.rglob("*") if path.is_file() and not is_hidden(path.relative_to(declared.path))
    ]
    endings = Counter(path.suffix or "no suffix" for path in paths)
    contents = ", ".join(f"{ending}: {count}" for ending, count in sorted(endings.items())[:5]) or "it is empty"
    return declared.refuse(
        f"'{declared.label}' holds no samples",
        "path",
        why=f"no file ends in {', '.join(suffixes)}; by suffix: {contents}" if endings else contents,
        next_step="name the folder that contains the files, or the folders of the classes",
    )


def require_no_labels(declared: DeclaredDataset) -> None:
    """Raise WorkerError if the recipe needs class folders, for a folder that has no class folders."""
    if declared.params["label"] or declared.options["classes"]:
        raise declared.refuse(
            f"'{declared.label}' has no class folders",
            "label" if declared.params["label"] else "classes",
            why="all its files are in the folder itself",
            next_step="put the files of each class into a folder with the name of the class, or leave the key empty",
        )


def class_names(declared: DeclaredDataset, folders: Sequence[str]) -> Sequence[str]:
    """Return the declared classes, or all folders by name. Raise WorkerError if a declared class has no folder."""
    classes: Sequence[str] = declared.options["classes"] or folders
    for name in classes:
        if name not in folders:
            raise declared.refuse(
                f"'{declared.label}' has no folder '{name}'",
                "classes",
                why=f"its folders: {', '.join(folders)}" + suggest_name(name, folders),
                next_step="create the folder, or correct the name",
            )
    if len(set(classes)) < len(classes):
        raise declared.refuse("a class is named twice", "classes", why=", ".join(classes))
    return classes


def require_filled(declared: DeclaredDataset, classes: Sequence[str], names: Sequence[str]) -> None:
    """Raise WorkerError for a class folder without samples, since its label would be missing without a warning."""
    empty = [name for name in classes if not any(file.startswith(f"{name}/") for file in names)]
    if empty:
        raise declared.refuse(
            f"the class folder '{empty[0]}' of '{declared.label}' holds no samples",
            "path",
            why=f"{len(empty)} of {len(classes)} class folders are empty",
            next_step="add samples, or remove the folder",
        )


def open_files(
    files: SampleFiles, header: ArrayHeader, read_file: Callable[[Path], np.ndarray], **flags: bool
) -> OpenDataset:
    """Return a dataset with one file per sample.

    Args:
        files: The files.
        header: The header of the array of values.
        read_file: Reads one file as an array.
        **flags: Further arguments of `OpenDataset`.
    """
    labels = np.asarray(files.labels, np.int64)
    arrays = {VALUES: header} | ({LABEL: ArrayHeader(labels.dtype, labels.shape)} if files.classes else {})

    def each(picked: np.ndarray | None) -> Iterator[Block]:
        for index in range(len(files.names)) if picked is None else picked:
            label = {LABEL: labels[index]} if files.classes else {}
            yield {VALUES: read_file(files.root / files.names[index]), **label}

    return OpenDataset(
        arrays, lambda _, picked: in_blocks(each(picked)), len(files.names), VALUES, classes=files.classes, **flags
    )
