"""List what a build reads: every file and folder whose change may change its result, and the packages that it uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tflbuild.config.composing.config_folders import search_roots
from tflbuild.config.composing.trusted_stores import trusted_stores_file
from tflbuild.core.recipe import Recipe
from tflbuild.locations import PACKAGE, locate
from tflbuild.registry.step_kinds import KINDS
from tflbuild.resolve.input_digests import code_of, codes_of, datasets_of, named_paths
from tflbuild.resolve.target_tools import find_tool
from tflbuild.resolve.toolchain import is_absent, package_record, package_version


def configuration_paths() -> Iterator[str]:
    """Yield all paths that composition and cache keys depend on: YAML files, tflbuild's code, records of packages."""
    for _, _, root in search_roots():
        yield from tree_paths(root, ".yaml")
    yield from tree_paths(PACKAGE, ".py")
    yield str(trusted_stores_file())
    for name in used_packages():
        if record := package_record(name):
            yield str(record)


def tree_paths(root: Path, suffix: str = "") -> Iterator[str]:
    """Yield a folder, all folders below it, and all files below it with a suffix; of a missing folder only its path."""
    yield str(root)
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (os.path.join(parent, name) for name in folders)
        yield from (os.path.join(parent, name) for name in files if name.endswith(suffix))


def input_paths(recipe: Recipe, walked: set[Path]) -> Iterator[str]:
    """Yield the files that a recipe names and the contents of its folders.

    Args:
        recipe: The recipe.
        walked: The paths that were already yielded for other recipes. They are left out. New paths are added in place.
    """
    for _, _, text in named_paths(recipe):
        path = locate(text)
        if path not in walked:
            walked.add(path)
            yield from tree_paths(path) if path.is_dir() else (str(path),)
    for target in recipe.targets:
        yield from find_tool(target).read
    source_code = code_of(recipe)
    for code in ([source_code] if source_code else []) + [code for _, _, code in codes_of(recipe)]:
        yield from map(str, (*code.files.values(), *code.outside, *code.absent))
    declared = [text for _, dataset in datasets_of(recipe) for text in dataset.files]
    for text in (*recipe.source.files, *recipe.verify.files, *declared):
        # For a pattern, the folder is tracked: a new file in it may match the pattern.
        path = locate(text)
        yield from tree_paths(path) if path.is_dir() else (str(path.parent),)


def used_packages() -> dict[str, str]:
    """Return the version of every installed package that some step depends on."""
    names = sorted({name for kind in KINDS.values() for name in kind.packages})
    return {name: package_version(name) for name in names if not is_absent(name)}
