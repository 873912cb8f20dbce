"""Symbolic links in untrusted folders: one could point to any file of the user, which would reach the artifact."""

from __future__ import annotations

import os
from pathlib import Path

from tflbuild.runtime.step_contract import WorkerError


def require_own_files(folder: Path, label: str, where: str) -> None:
    """Refuse a folder with symbolic links that point outside it. Links within it are allowed.

    Args:
        folder: An input of a step. It is checked only if it is a link to a folder, which is how a step receives a
            folder of the user. A folder that tflbuild made for the step has links to the store, and is not checked.
        label: The name of the folder in messages.
        where: The recipe key that names the folder.

    Raises:
        WorkerError: A link points outside the folder. The message names the first one.
    """
    if not (folder.is_symlink() and folder.is_dir()):
        return
    root = folder.resolve()
    for parent, folders, files in os.walk(root):
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise WorkerError(
                    f"'{label}/{path.relative_to(root)}' is a link that leads out of its folder",
                    where=where,
                    why="a step reads only files in the folder that the recipe names",
                    next_step="if you trust the link, copy the folder together with the files that its links point to"
                    " (cp -rL), and name the copy in the recipe",
                )
