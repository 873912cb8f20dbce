"""Find the folders of configuration and recipes, and the files of recipes."""

from __future__ import annotations

from pathlib import Path

from tflbuild.config.composing.hydra_config_sources import ProjectSource, RecipeSource, is_there
from tflbuild.locations import find_shipped_folder


def search_roots() -> list[tuple[str, str, Path]]:
    """Return where configuration is looked for, as (provider, scheme, folder). The first match wins."""
    here = Path.cwd()
    roots = [("tflbuild", "file", find_shipped_folder("conf"))]
    if (here / "conf").resolve() != find_shipped_folder("conf").resolve():
        roots.append(("project", ProjectSource.scheme(), here / "conf"))
    roots.append(("project recipes", "recipes", here / "recipes"))
    if (here / "recipes").resolve() != find_shipped_folder("recipes").resolve():
        roots.append(("tflbuild recipes", "recipes", find_shipped_folder("recipes")))
    return roots


def find_recipe(recipe: str) -> Path | None:
    """Return the file that `+recipe=NAME` names, or None if it does not exist."""
    for _, scheme, folder in search_roots():
        file = folder / f"{recipe}.yaml"
        if recipe and scheme == RecipeSource.scheme() and is_there(file):
            return file
    return None


def recipe_name(file: Path) -> str:
    """Return the name by which `+recipe=NAME` finds a file."""
    roots = [folder for _, scheme, folder in search_roots() if scheme == RecipeSource.scheme()]
    root = next((folder for folder in roots if file.is_relative_to(folder)), file.parent)
    return file.relative_to(root).with_suffix("").as_posix()
