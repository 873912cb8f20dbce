"""Check a project's own options, the files in conf/: whether Hydra finds them, and whether profiles are valid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.preset_jobs import groups_of
from tflbuild.config.composing.yaml_keys import find_line, find_node
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.config.schema.schema_target import TargetConfig
from tflbuild.errors import RecipeError

GROUP = "target"
FOLDER = Path("conf") / GROUP
GENERATED = "# Written from tflbuild/config/schema/recipe_schema.py"
START = "defaults: [/schema/target/cpu@_here_, _self_]"


def require_seen(folder: Path) -> None:
    """Raise RecipeError for an option of the project that has the name of a shipped option.

    Hydra uses the shipped option and ignores the other one silently. In a clone of tflbuild, they are the same files.
    """
    for group, options in schema.OPTIONS.items():
        for file in sorted((folder / group).glob("*.yaml")):
            if file.stem in options and GENERATED not in file.read_text(errors="replace"):
                raise RecipeError(
                    f"{group}={file.stem} is an option of tflbuild, which would be used instead of this file",
                    where=str(FOLDER.parent / group / file.name),
                    next_step="rename the file, and choose the new name",
                )


def own_options(loader: ConfigLoader, primary: str, overrides: list[str]) -> list[str]:
    """Return the files of the project that are chosen as targets.

    Raises:
        RecipeError: for a file without content, which Hydra accepts silently, and for one with keys outside of its
            target.
    """
    # The options of a group are files, and folders of files.
    if set(loader.get_group_options(GROUP, None)) <= schema.OPTIONS[GROUP].keys():
        return []
    chosen = [
        default.config_path.removeprefix(f"{GROUP}/")
        for default in loader.compute_defaults_list(primary, overrides, RunMode.RUN).defaults
        if default.config_path is not None and default.config_path.startswith(f"{GROUP}/")
    ]
    own = [option for option in chosen if option not in schema.OPTIONS[GROUP]]
    for option in own:
        _require_placed(loader, option)
    return own


def _require_placed(loader: ConfigLoader, option: str) -> None:
    name = _name(option)
    package = f"# @package {GROUP}.{name}"
    profile = loader.repository.load_config(f"{GROUP}/{option}")  # type: ignore[attr-defined]
    if profile is None or not (profile.config or profile.defaults_list):
        raise RecipeError(
            f"target '{name}' is an empty profile",
            where=_file(option),
            why="the file does not describe the device on which the artifact must run",
            next_step=f"begin the file with two lines:\n{package}\n{START}",
        )
    actual_package = profile.header.get("package") or GROUP
    if actual_package != f"{GROUP}.{name}":
        raise RecipeError(
            f"target '{name}' lacks its package",
            where=f"{_file(option)}:1",
            why=f"its keys would be at '{actual_package}', not at '{GROUP}.{name}'",
            next_step=f"begin the file with the line: {package}",
        )


def require_profiles(options: list[str], target: DictConfig) -> None:
    """Raise RecipeError for a file of the project that does not extend a target profile.

    Args:
        options: The result of `own_options`.
        target: The composed section `target`.
    """
    for option in options:
        kind = OmegaConf.get_type(target, _name(option)) if _name(option) in target else None
        if not (isinstance(kind, type) and issubclass(kind, TargetConfig)):
            raise RecipeError(
                f"target '{_name(option)}' is not based on a profile",
                where=_file(option),
                why="its own keys do not name the tool that runs or compiles the artifact",
                next_step=f"name a profile in the second line: {START}",
            )


def _name(option: str) -> str:
    return option.rpartition("/")[2]


def _file(option: str) -> str:
    return str(FOLDER / f"{option}.yaml")


def preset_origins(targets: Mapping[str, Any], locations: KeyLocations) -> dict[str, str]:
    """Return override -> where the profile has it, for every preset."""
    return {
        text: ", ".join(_preset_location(name, locations) for name in names)
        for preset, names in groups_of(targets).items()
        for text in preset
    }


def _preset_location(name: str, locations: KeyLocations) -> str:
    key = f"{GROUP}.{name}.preset"
    is_override = any(
        override.lstrip("+").startswith((f"{key}=", f"{GROUP}.{name}={{")) for override in locations.overrides
    )
    if is_override or (locations.recipe is not None and find_node(locations.recipe, key) is not None):
        return locations.find(key)
    file = FOLDER / f"{name}.yaml"
    line = find_line(file, "preset")
    return key if line is None else f"{file}:{line}: {key}"
