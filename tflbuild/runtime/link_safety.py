"""Folders of strangers: a link in one could lead to any file of the user's, whose content would reach the artifact."""

from __future__ import annotations

import os
from pathlib import Path

from tflbuild.runtime.step_contract import WorkerError


def require_own_files(folder: Path, label: str, where: str) -> None:
    """Refuse a folder with links that lead out of it. Links within it are followed.

    Args:
        folder: An input of a step. Only a link to a folder is looked at: that is how a user's own is handed to a
            step. What tflbuild lays out itself has links to the store.
        label: What a person calls it.
        where: Its key in the recipe.

    Raises:
        WorkerError: with the first such link.
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
                    why="a step reads the folder that the recipe names, and no other file",
                    next_step="if you trust the link, copy the folder with what its links lead to, cp -rL, and name the"
                    " copy",
                )
