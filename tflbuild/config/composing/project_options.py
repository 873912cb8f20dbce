"""A project's own options, files in conf/: whether they are seen; of a profile whether it is one, and its preset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tflbuild.config.composing.config_errors import KeyLocations, find_line, find_node
from tflbuild.config.composing.preset_jobs import groups_of
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.config.schema.schema_target import TargetConfig
from tflbuild.errors import RecipeError

GROUP = "target"
FOLDER = Path("conf") / GROUP
GENERATED = "# Written from tflbuild/config/schema/recipe_schema.py"
START = "defaults: [/schema/target/cpu@_here_, _self_]"


def require_seen(folder: Path) -> None:
    """Raises RecipeError for an option of the project's own, in any group, that has the name of one that is shipped.

    Hydra takes the first that it finds, which is the shipped one, and says nothing of the other. In a clone of
    tflbuild they are the same.
    """
    for group, options in schema.OPTIONS.items():
        for file in sorted((folder / group).glob("*.yaml")):
            if file.stem in options and GENERATED not in file.read_text(errors="replace"):
                raise RecipeError(
                    f"{group}={file.stem} is an option of tflbuild, and would be taken instead of this file",
                    where=str(FOLDER.parent / group / file.name),
                    next_step="give the file another name, and choose that",
                )


def own_options(loader: ConfigLoader, primary: str, overrides: list[str]) -> list[str]:
    """The files of the project's own that are chosen as targets.

    Raises RecipeError for one without content, which Hydra takes without a word, and for one with keys elsewhere.
    """
    if set(loader.get_group_options(GROUP, None)) <= schema.OPTIONS[GROUP].keys():  # files, and folders of such
        return []
    chosen = [
        one.config_path.removeprefix(f"{GROUP}/")
        for one in loader.compute_defaults_list(primary, overrides, RunMode.RUN).defaults
        if one.config_path is not None and one.config_path.startswith(f"{GROUP}/")
    ]
    own = [option for option in chosen if option not in schema.OPTIONS[GROUP]]
    for option in own:
        _require_placed(loader, option)
    return own


def _require_placed(loader: ConfigLoader, option: str) -> None:
    name = _name(option)
    package = f"# @package {GROUP}.{name}"
    found = loader.repository.load_config(f"{GROUP}/{option}")  # type: ignore[attr-defined]
    if found is None or not (found.config or found.defaults_list):
        raise RecipeError(
            f"target '{name}' is an empty profile",
            where=_file(option),
            why="the file says nothing of what the artifact must run on",
            next_step=f"two lines make a profile of it:\n{package}\n{START}",
        )
    stands = found.header.get("package") or GROUP
    if stands != f"{GROUP}.{name}":
        raise RecipeError(
            f"target '{name}' lacks its package",
            where=f"{_file(option)}:1",
            why=f"its keys come to stand at '{stands}', not at '{GROUP}.{name}'",
            next_step=f"the file begins with the line: {package}",
        )


def require_profiles(options: list[str], target: DictConfig) -> None:
    """Raises RecipeError for a file of `own_options` of which no profile was composed; `target` is what was."""
    for option in options:
        kind = OmegaConf.get_type(target, _name(option)) if _name(option) in target else None
        if not (isinstance(kind, type) and issubclass(kind, TargetConfig)):
            raise RecipeError(
                f"target '{_name(option)}' starts from no profile",
                where=_file(option),
                why="its own keys do not say what the artifact is run or compiled by",
                next_step=f"a second line names one, as: {START}",
            )


def _name(option: str) -> str:
    return option.rpartition("/")[2]


def _file(option: str) -> str:
    return str(FOLDER / f"{option}.yaml")


def preset_origins(targets: Mapping[str, Any], locations: KeyLocations) -> dict[str, str]:
    """Override -> where the profile says it, of every preset."""
    return {
        text: ", ".join(_place_of_preset(name, locations) for name in names)
        for preset, names in groups_of(targets).items()
        for text in preset
    }


def _place_of_preset(name: str, locations: KeyLocations) -> str:
    key = f"{GROUP}.{name}.preset"
    told = any(override.lstrip("+").startswith((f"{key}=", f"{GROUP}.{name}={{")) for override in locations.overrides)
    if told or (locations.recipe is not None and find_node(locations.recipe, key) is not None):
        return locations.find(key)
    file = FOLDER / f"{name}.yaml"
    line = find_line(file, "preset")
    return key if line is None else f"{file}:{line}: {key}"
