"""Resolution of recipes: computes the digests of all files and folders that a recipe names.

This is the last stage that reads the user's files before steps run.
"""

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
    """User code of a dataset or of metrics.

    `entries` are its references as a worker resolves them, `packages` the (name, version) of the packages it imports.
    """

    entries: tuple[str, ...]
    packages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResolvedRecipe:
    """A recipe with the digests of all files that it names.

    Attributes:
        recipe: The recipe.
        files: The file or folder of each role.
        entries: The references to the user code of the source as a worker resolves them, in the order of
            `Source.references`.
        packages: The (name, version) of the installed packages that this code imports.
        codes: The user code of datasets and metrics, by role.
    """

    recipe: Recipe
    files: Mapping[str, FileInput]
    entries: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    codes: Mapping[str, UserCode] = field(default_factory=dict)


def is_remote(handle: str) -> bool:
    """Return whether a TF Hub handle must be downloaded."""
    return "://" in handle and not handle.startswith("tflbuild://")


def named_paths(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """Yield (role, recipe key, path) of every file or folder that the recipe names, except user code."""
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
    """Return the role of a file that becomes a part of the artifact."""
    return f"file:{name}"


def config_role(target: str) -> str:
    """Return the role of a target's configuration file."""
    return f"config of {target}"


def datasets_of(recipe: Recipe) -> Iterator[tuple[str, Dataset]]:
    """Yield (role, dataset) of every dataset of the recipe."""
    training = None if recipe.optimize is None else recipe.optimize.dataset
    for role, dataset in ((DATASET, recipe.dataset), (EVALUATION, recipe.verify.dataset), (TRAINING, training)):
        if dataset is not None:
            yield role, dataset


def codes_of(recipe: Recipe) -> Iterator[tuple[str, str, CodeFiles]]:
    """Yield (role, recipe key, code) of the user code of datasets and metrics.

    Raises:
        RecipeError: A file or module does not exist.
    """
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
    """Return the user code of the source, None if there is none.

    Raises:
        RecipeError: A file or module does not exist.
    """
    source = recipe.source
    if not source.references:
        return None
    keys = (["source.call"] if source.call else []) + [f"source.custom_objects.{n}" for n, _ in source.custom_objects]
    return find_code(source.references, source.files, keys)


def resolve(recipe: Recipe, stats: StatCache) -> ResolvedRecipe:
    """Compute the digests of all files that the recipe names.

    Args:
        recipe: The recipe.
        stats: The cache of digests.

    Raises:
        RecipeError: A file does not exist, cannot be read, or is not of the expected type. Or the source does not have
            the digest that the recipe pins.
    """
    files: dict[str, FileInput] = {}
    for role, key, text in named_paths(recipe):
        path = locate(text)
        _require_form(path, key, text, expected_form(recipe, role))
        files[role] = _hash(FileInput(name=role, digest="", path=str(path)), key, text, stats)
    code = code_of(recipe)
    if code is not None and code.files:
        files[CODE] = _hash(_port(CODE, code), "source", ", ".join(code.entries), stats)
    codes: dict[str, UserCode] = {}
    for role, key, role_code in codes_of(recipe):
        codes[role] = UserCode(entries=role_code.entries, packages=tuple(sorted(role_code.packages.items())))
        if role_code.files:
            port = _port(CODE_OF[role], role_code)
            files[port.name] = _hash(port, key, ", ".join(role_code.entries), stats)
    _require_pinned(recipe, files)
    if code is None:
        return ResolvedRecipe(recipe=recipe, files=files, codes=codes)
    packages = tuple(sorted(code.packages.items()))
    return ResolvedRecipe(recipe=recipe, files=files, entries=code.entries, packages=packages, codes=codes)


def _port(role: str, code: CodeFiles) -> FileInput:
    """Return user code as an input of a step, with only the files that the code imports or declares."""
    chosen = tuple((name, str(path)) for name, path in sorted(code.files.items()))
    return FileInput(name=role, digest="", path=str(code.root), files=chosen)


def expected_form(recipe: Recipe, role: str) -> str:
    """Return what the path of a role must be: `saved_model`, `folder`, `file` or `any`."""
    if role == SOURCE:
        return "saved_model" if recipe.source.kind in ("saved_model", "hub") else "file"
    kind = next((dataset.kind for name, dataset in datasets_of(recipe) if name == role), "")
    return "folder" if kind in FOLDERS else "any" if kind == "tfrecord" else "file"


def _hash(port: FileInput, key: str, text: str, stats: StatCache) -> FileInput:
    """Return an input with its digest. Raises RecipeError, with the recipe key and its text, for unreadable files."""
    try:
        if port.files:
            digest = stats.digest_of_files({name: Path(path) for name, path in port.files})
        else:
            digest = stats.digest_of(Path(port.path))
    except FileChanged as error:
        raise RecipeError(
            f"'{text}' changed while it was being read",
            where=key,
            why=str(error),
            next_step="build again when the file is complete",
        ) from None
    except OSError as error:
        raise RecipeError(f"cannot read '{text}'", where=key, why=error.strerror or str(error)) from None
    return replace(port, digest=digest)


def _require_pinned(recipe: Recipe, files: Mapping[str, FileInput]) -> None:
    """Raise RecipeError if the source, or the user code that makes it, has another digest than the recipe pins.

    A source that must be downloaded is checked after the download.
    """
    pinned = recipe.source.sha256
    source_file = files.get(CODE if recipe.source.call else SOURCE)
    if pinned and source_file is None and not recipe.source.handle:
        raise RecipeError(
            "source.sha256 needs a file or a folder",
            where="source.sha256",
            why=f"'{recipe.source.call}' is an installed module; the version of its package is part of every cache key",
        )
    if pinned and source_file is not None and pinned != source_file.digest:
        raise RecipeError(
            f"'{recipe.source.path or recipe.source.handle or recipe.source.call}'"
            " is not the model that the recipe pins",
            where="source.sha256",
            why=f"its digest is {source_file.digest}\npinned is     {pinned}",
            next_step="restore the pinned model, or pin the digest of the new one",
        )


def _require_form(path: Path, key: str, text: str, form: str) -> None:
    """Raise RecipeError for a path that does not exist, or is not of the form that `expected_form` returns."""
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        why = f"there is no folder {path.parent}" if not path.parent.is_dir() else nearest(path.name, siblings)
        if key == "source.handle":
            why = "it has no scheme such as https://, so it must be a local folder or archive" + (
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
            f"'{text}' is not a SavedModel",
            where=key,
            why="a SavedModel is a folder with a saved_model.pb" + ("" if path.is_dir() else "; this is a file"),
            next_step="source=keras for a .keras file" if path.suffix == ".keras" else "name the folder itself",
        )
    if form == "folder" and not path.is_dir():
        raise RecipeError(
            f"'{text}' is a file", where=key, why="a folder is required", next_step="name the folder that contains it"
        )
    if form == "file" and path.is_dir():
        hint = "source=saved_model" if (path / "saved_model.pb").is_file() else "name the file itself"
        raise RecipeError(f"'{text}' is a folder", where=key, why="a file is required", next_step=hint)
