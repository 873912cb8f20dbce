"""Paths -> digests: the last room that reads the user's disk before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tflbuild.core.recipe import Dataset, Recipe
from tflbuild.core.step import FileInput
from tflbuild.errors import RecipeError, nearest
from tflbuild.locations import locate
from tflbuild.resolve.user_code_files import CodeFiles, find_code
from tflbuild.storage.digest_cache import FileChanged, StatCache

SOURCE = "source"
ARCHIVE = "archive"
CODE = "code"
WEIGHTS = "weights"
DATASET = "dataset"
EVALUATION = "evaluation"
METRICS = "metrics"
TRAINING = "training"
CODE_OF = {
    DATASET: "dataset code",
    EVALUATION: "evaluation code",
    TRAINING: "training code",
    METRICS: "metrics code",
}
DATASET_KEYS = {DATASET: "dataset", EVALUATION: "verify.dataset", TRAINING: "optimize.dataset"}
FOLDERS = ("image_folder", "tfds", "audio_folder")
ARCHIVES = (".tar.gz", ".tgz", ".tar")


@dataclass(frozen=True, kw_only=True)
class UserCode:
    """Code that gives a dataset or measures: its references as a worker finds them, and the packages it imports."""

    entries: tuple[str, ...]
    packages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResolvedRecipe:
    """A recipe whose every path has become a digest.

    `files` maps a role to what it names; `entries` are the recipe's references to code, in the order of
    `Source.references`, as a worker finds them, and `packages` the installed distributions that this
    code imports. `codes` is the same of the code behind `dataset`, `evaluation` and `metrics`, by role.
    """

    recipe: Recipe
    files: Mapping[str, FileInput]
    entries: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    codes: Mapping[str, UserCode] = field(default_factory=dict)


def is_remote(handle: str) -> bool:
    """Whether a TF Hub handle is to be fetched from somewhere."""
    return "://" in handle and not handle.startswith("tflbuild://")


def named_paths(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """(role, key in the recipe, path) of every file or folder that the recipe names, code excepted."""
    source = recipe.source
    if source.path:
        yield SOURCE, "source.path", source.path
    if source.handle and not is_remote(source.handle):
        role = ARCHIVE if source.handle.endswith(ARCHIVES) else SOURCE
        yield role, "source.handle", source.handle
    if source.weights:
        yield WEIGHTS, "source.weights", source.weights
    for role, dataset in datasets_of(recipe):
        if dataset.path:
            yield role, f"{DATASET_KEYS[role]}.path", dataset.path
    if recipe.metadata is not None:
        for name, key, file in recipe.metadata.files:
            yield file_role(name), key, file
    for target in recipe.targets:
        if path := target.options.get("config"):
            yield config_role(target.name), f"target.{target.name}.config", path


def file_role(name: str) -> str:
    """The role of a file that goes into the artifact."""
    return f"file:{name}"


def config_role(target: str) -> str:
    """The role of a target's own configuration file."""
    return f"config of {target}"


def datasets_of(recipe: Recipe) -> Iterator[tuple[str, Dataset]]:
    """(role, dataset) of those that the recipe has."""
    training = None if recipe.optimize is None else recipe.optimize.dataset
    for role, dataset in ((DATASET, recipe.dataset), (EVALUATION, recipe.verify.dataset), (TRAINING, training)):
        if dataset is not None:
            yield role, dataset


def codes_of(recipe: Recipe) -> Iterator[tuple[str, str, CodeFiles]]:
    """(role, key, code) of datasets that code gives, and of metrics. Raises RecipeError when it is not there."""
    for role, dataset in datasets_of(recipe):
        if dataset.call:
            key = f"{DATASET_KEYS[role]}.call"
            yield role, key, find_code([dataset.call], dataset.files, [key], f"{DATASET_KEYS[role]}.files")
    metrics = recipe.verify.metrics
    if metrics:
        keys = [f"verify.metrics.{name}" for name, _ in metrics]
        yield (
            METRICS,
            keys[0],
            find_code([reference for _, reference in metrics], recipe.verify.files, keys, "verify.files"),
        )


def code_of(recipe: Recipe) -> CodeFiles | None:
    """The code that the recipe lets run. Raises RecipeError when it is not there."""
    source = recipe.source
    if not source.references:
        return None
    keys = (["source.call"] if source.call else []) + [f"source.custom_objects.{n}" for n, _ in source.custom_objects]
    return find_code(source.references, source.files, keys)


def resolve(recipe: Recipe, stats: StatCache) -> ResolvedRecipe:
    """Hash what the recipe names. Raises RecipeError for what is not there or cannot be read."""
    files: dict[str, FileInput] = {}
    for role, key, text in named_paths(recipe):
        path = locate(text)
        _require(path, key, text, wanted_form(recipe, role))
        files[role] = _hash(FileInput(name=role, digest="", path=str(path)), key, text, stats)
    code = code_of(recipe)
    if code is not None and code.files:
        files[CODE] = _hash(_port(CODE, code), "source", ", ".join(code.entries), stats)
    codes: dict[str, UserCode] = {}
    for role, key, found in codes_of(recipe):
        codes[role] = UserCode(entries=found.entries, packages=tuple(sorted(found.packages.items())))
        if found.files:
            port = _port(CODE_OF[role], found)
            files[port.name] = _hash(port, key, ", ".join(found.entries), stats)
    _require_pinned(recipe, files)
    if code is None:
        return ResolvedRecipe(recipe=recipe, files=files, codes=codes)
    packages = tuple(sorted(code.packages.items()))
    return ResolvedRecipe(recipe=recipe, files=files, entries=code.entries, packages=packages, codes=codes)


def _port(role: str, code: CodeFiles) -> FileInput:
    """Code as an input: the files that it reaches, and no others."""
    chosen = tuple((name, str(path)) for name, path in sorted(code.files.items()))
    return FileInput(name=role, digest="", path=str(code.root), files=chosen)


def wanted_form(recipe: Recipe, role: str) -> str:
    """What a path must be: `saved_model`, `folder`, `file`, or `any`."""
    if role == SOURCE:
        return "saved_model" if recipe.source.kind in ("saved_model", "hub") else "file"
    kind = next((dataset.kind for name, dataset in datasets_of(recipe) if name == role), "")
    return "folder" if kind in FOLDERS else "any" if kind == "tfrecord" else "file"


def _hash(port: FileInput, key: str, text: str, stats: StatCache) -> FileInput:
    try:
        if port.files:
            digest = stats.digest_of_files({name: Path(path) for name, path in port.files})
        else:
            digest = stats.digest_of(Path(port.path))
    except FileChanged as error:
        raise RecipeError(
            f"'{text}' does not hold still", where=key, why=str(error), next_step="build again when it is written"
        ) from None
    except OSError as error:
        raise RecipeError(f"cannot read '{text}'", where=key, why=error.strerror or str(error)) from None
    return replace(port, digest=digest)


def _require_pinned(recipe: Recipe, files: Mapping[str, FileInput]) -> None:
    """What is fetched is held against its pin when it has come; a call's pin is that of its code."""
    pinned = recipe.source.sha256
    has = files.get(CODE if recipe.source.call else SOURCE)
    if pinned and has is None and not recipe.source.handle:
        raise RecipeError(
            "there is nothing to pin",
            where="source.sha256",
            why=f"'{recipe.source.call}' is an installed module; its package's version is part of every key",
        )
    if pinned and has is not None and pinned != has.digest:
        raise RecipeError(
            f"'{recipe.source.path or recipe.source.handle or recipe.source.call}'"
            " is not the model that the recipe pins",
            where="source.sha256",
            why=f"its digest is {has.digest}\npinned is     {pinned}",
            next_step="get the pinned model back, or pin the new one",
        )


def _require(path: Path, key: str, text: str, form: str) -> None:
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        why = f"there is no folder {path.parent}" if not path.parent.is_dir() else nearest(path.name, siblings)
        if key == "source.handle":
            why = "it has no scheme such as https://, so it would be a folder or an archive here" + (
                f"; {why}" if why else ""
            )
        raise RecipeError(
            f"'{text}' does not exist",
            where=key,
            why=why,
            next_step="paths are relative to the current directory; correct the path or make the file",
        )
    if form == "saved_model" and not (path / "saved_model.pb").is_file():
        raise RecipeError(
            f"'{text}' is no SavedModel",
            where=key,
            why="a SavedModel is a folder with a saved_model.pb" + ("" if path.is_dir() else "; this is a file"),
            next_step="source=keras for a .keras file" if path.suffix == ".keras" else "name the folder itself",
        )
    if form == "folder" and not path.is_dir():
        raise RecipeError(
            f"'{text}' is a file", where=key, why="a folder is wanted here", next_step="name the folder that it lies in"
        )
    if form == "file" and path.is_dir():
        hint = "source=saved_model" if (path / "saved_model.pb").is_file() else "name the file itself"
        raise RecipeError(f"'{text}' is a folder", where=key, why="a file is wanted here", next_step=hint)
