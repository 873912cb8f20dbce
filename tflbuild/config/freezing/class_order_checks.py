"""Check that label files and class folders name the classes of an output in the same order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.core.digest import Json
from tflbuild.core.recipe import Recipe

SHARED = 0.5  # of the class folders: so many that are in the label file make both lists of the same names
SHOWN = 5
PLAIN = re.compile(r"[\s_-]+")

Facts = Mapping[str, Mapping[str, Json]]


def check_class_names(recipe: Recipe, facts: Facts, refusals: RecipeErrors) -> None:
    """Raise RecipeError where label files and class folders order the same classes differently."""
    folders = facts.get("evaluation samples", {}).get("classes") or []
    trained = facts.get("training samples", {}).get("classes") or []
    if folders and trained and folders != trained and set(folders) == set(trained):
        place, ours, theirs = first_difference(trained, folders)
        raise refusals.refuse(
            "the model is trained on other labels than it is verified with",
            "optimize.dataset.classes",
            why=f"class {place} is '{ours}' of optimize.dataset, and '{theirs}' of verify.dataset",
            next_step="name the classes in one order: optimize.dataset.classes and verify.dataset.classes",
        )
    for output, file in label_files(recipe).items():
        labels = lines_of(facts, file)
        if folders and labels and recipe.verify.output in ("", output):
            require_one_order(f"metadata.outputs.{output}.labels", file, labels, folders, refusals)


def label_files(recipe: Recipe) -> dict[str, str]:
    """Return the label file of each output of the main signature, by the file's name in the artifact."""
    described: Mapping[str, Json] = {} if recipe.metadata is None else recipe.metadata.described.get("outputs", {})
    return {name: str(one["labels"]) for name, one in described.items() if one.get("labels")}


def lines_of(facts: Facts, file: str) -> Sequence[str]:
    """Return the lines of a label file, as they were read in the artifact."""
    packed = facts.get("check", {}).get("metadata", {}).get("files", ())
    return next((one.get("labels", ()) for one in packed if one["name"] == file), ())


def require_one_order(
    key: str, file: str, labels: Sequence[str], folders: Sequence[str], refusals: RecipeErrors
) -> None:
    """Raise RecipeError where folders that have the names of labels are at other places, or there are more of them."""
    lines, names = ([plain(one) for one in side] for side in (labels, folders))
    if len(names) > len(lines):
        raise refusals.refuse(
            f"{file} has {len(lines)} labels, and verify.dataset has {len(names)} class folders",
            key,
            why="both name the classes of one output",
            next_step="add the missing labels, or name the folders to be used: verify.dataset.classes",
        )
    shared = [name for name in names if name in lines]
    if len(shared) < max(1, SHARED * len(names)) or names == lines[: len(names)]:
        return
    place, label, folder = first_difference(labels, folders)
    ordered = [folders[names.index(line)] for line in lines if line in names]
    told = ", ".join(ordered[:SHOWN]) + (", ..." if len(ordered) > SHOWN else "")
    lacking = [labels[index] for index, line in enumerate(lines) if line not in names]
    why = f"class {place} is '{label}' in {file}, and its folder is '{folder}'; a label is the place of its folder"
    if lacking:
        why += f"\nlabels without a folder: {', '.join(lacking[:SHOWN])}{', ...' if len(lacking) > SHOWN else ''}"
    raise refusals.refuse(
        f"{file} and the class folders of verify.dataset are in different orders",
        key,
        why=why,
        next_step=f"name the folders in the order of the model's classes (verify.dataset.classes=[{told}]),"
        f" or correct {file}",
    )


def first_difference(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, str, str]:
    """Return (place from 0, our name, their name) of the first class that two lists name differently."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next(((place, a, b) for place, (a, b) in pairs if plain(a) != plain(b)), (0, ours[0], theirs[0]))


def plain(name: str) -> str:
    """Return a class's name in lower case, with one space for spaces, underscores and hyphens."""
    return PLAIN.sub(" ", name).strip().casefold()
