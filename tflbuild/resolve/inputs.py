"""Paths -> digests: the last room that reads the user's disk before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tflbuild.core.recipe import Recipe
from tflbuild.core.step import FileInput
from tflbuild.errors import RecipeError, nearest
from tflbuild.locations import locate
from tflbuild.storage.stat_cache import FileChanged, StatCache

SOURCE = "source"
DATASET = "dataset"
EVALUATION = "evaluation"


@dataclass(frozen=True, kw_only=True)
class ResolvedRecipe:
    """A recipe whose every path has become a digest. `files` maps a role to what it names."""

    recipe: Recipe
    files: Mapping[str, FileInput]


def named_paths(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """(role, key in the recipe, path) of everything the recipe reads."""
    yield SOURCE, "source.path", recipe.source.path
    if recipe.dataset is not None and recipe.dataset.path:
        yield DATASET, "dataset.path", recipe.dataset.path
    if recipe.verify.dataset is not None and recipe.verify.dataset.path:
        yield EVALUATION, "verify.dataset.path", recipe.verify.dataset.path


def resolve(recipe: Recipe, stats: StatCache) -> ResolvedRecipe:
    """Hash what the recipe names. Raises RecipeError for what is not there or cannot be read."""
    files: dict[str, FileInput] = {}
    for role, key, text in named_paths(recipe):
        path = locate(text)
        wants_folder = role == SOURCE and recipe.source.kind == "saved_model"
        _require(path, key, text, wants_folder)
        try:
            digest = stats.digest_of(path)
        except FileChanged as error:
            raise RecipeError(
                f"'{text}' does not hold still", where=key, why=str(error), next_step="build again when it is written"
            ) from None
        except OSError as error:
            raise RecipeError(f"cannot read '{text}'", where=key, why=error.strerror or str(error)) from None
        if role == SOURCE:
            _require_pinned(recipe, digest)
        files[role] = FileInput(name=role, digest=digest, path=str(path))
    return ResolvedRecipe(recipe=recipe, files=files)


def _require_pinned(recipe: Recipe, digest: str) -> None:
    if recipe.source.sha256 not in ("", digest):
        raise RecipeError(
            f"'{recipe.source.path}' is not the model that the recipe pins",
            where="source.sha256",
            why=f"its digest is {digest}\npinned is     {recipe.source.sha256}",
            next_step="get the pinned model back, or pin the new one",
        )


def _require(path: Path, key: str, text: str, wants_folder: bool) -> None:
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        why = f"there is no folder {path.parent}" if not path.parent.is_dir() else nearest(path.name, siblings)
        raise RecipeError(
            f"'{text}' does not exist",
            where=key,
            why=why,
            next_step="paths are relative to the current directory; correct the path or make the file",
        )
    if wants_folder and not (path / "saved_model.pb").is_file():
        raise RecipeError(
            f"'{text}' is no SavedModel",
            where=key,
            why="a SavedModel is a folder with a saved_model.pb" + ("" if path.is_dir() else "; this is a file"),
            next_step="source=keras for a .keras file" if path.suffix == ".keras" else "name the folder itself",
        )
    if not wants_folder and path.is_dir():
        hint = "source=saved_model" if (path / "saved_model.pb").is_file() else "name the file itself"
        raise RecipeError(f"'{text}' is a folder", where=key, why="a file is wanted here", next_step=hint)
