"""The files of a person's own that Hydra composes: recipes, in the group `recipe`, and options in a project's conf/.

Each is a ConfigSource, so that composition, completion, `--info` and error messages all see recipes as they
see any other group.
"""

from __future__ import annotations

import os
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

from tflbuild.config.composing.yaml_files import load_yaml, read_yaml_text

GROUP = "recipe"


class RecipeSource(ConfigSource):
    """`recipes://FOLDER` shows FOLDER/a/b.yaml as the config `recipe/a/b`, in the global package."""

    @staticmethod
    def scheme() -> str:
        return "recipes"

    def _place(self, config_path: str) -> Path | None:
        parts = Path(config_path).parts
        return Path(self.path, *parts[1:]) if parts and parts[0] == GROUP else None

    def load_config(self, config_path: str) -> ConfigResult:
        place = self._place(self._normalize_file_name(config_path))
        if place is None or not is_there(place):
            raise ConfigLoadError(f"Config not found: {config_path}")
        result = load_file(self, place)
        if result.header["package"] is None:
            result.header["package"] = "_global_"
        return result

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        if config_path == "":
            return True
        place = self._place(config_path)
        return place is not None and place.is_dir()

    def is_config(self, config_path: str) -> bool:
        place = self._place(self._normalize_file_name(config_path)) if config_path else None
        return place is not None and is_there(place)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [GROUP] if results_filter in (None, ObjectType.GROUP) else []
        place = self._place(config_path)
        found: set[str] = set()
        for entry in place.iterdir() if place is not None and place.is_dir() else ():
            if entry.is_dir() and results_filter in (None, ObjectType.GROUP):
                found.add(entry.name)
            elif entry.suffix == ".yaml" and results_filter in (None, ObjectType.CONFIG):
                found.add(entry.stem)
        return sorted(found)


class ProjectSource(FileConfigSource):
    """`project://FOLDER`: Hydra's own source of a folder, whose files are read with limits."""

    @staticmethod
    def scheme() -> str:
        return "project"

    def load_config(self, config_path: str) -> ConfigResult:
        place = Path(self.path, self._normalize_file_name(config_path))
        if not is_there(place):
            raise ConfigLoadError(f"Config not found: {place}")
        return load_file(self, place)

    def is_config(self, config_path: str) -> bool:
        return is_there(Path(self.path, self._normalize_file_name(config_path)))


def is_there(place: Path) -> bool:
    """Return whether a path leads to anything but a folder. Reading it says that a pipe or a device is no file."""
    return place.exists() and not place.is_dir()


def load_file(source: ConfigSource, place: Path) -> ConfigResult:
    """Load a file of a source. Raises yaml.YAMLError for what cannot be read, or is no plain mapping."""
    text = read_yaml_text(place)
    header = source._get_header_dict(text[:512])
    config = OmegaConf.create(load_yaml(Path(os.path.normpath(place)), text))
    return ConfigResult(config=config, path=source.full_path(), provider=source.provider, header=header)
