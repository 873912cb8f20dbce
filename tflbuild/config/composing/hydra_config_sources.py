"""Let Hydra compose the user's own files: recipes, as the group `recipe`, and options in a project's conf/.

Each is a ConfigSource, so composition, completion, `--info` and error messages treat recipes like any other group.
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
    """`recipes://FOLDER` provides FOLDER/a/b.yaml as the config `recipe/a/b`, in the global package."""

    @staticmethod
    def scheme() -> str:
        return "recipes"

    def _file_path(self, config_path: str) -> Path | None:
        parts = Path(config_path).parts
        return Path(self.path, *parts[1:]) if parts and parts[0] == GROUP else None

    def load_config(self, config_path: str) -> ConfigResult:
        path = self._file_path(self._normalize_file_name(config_path))
        if path is None or not is_there(path):
            raise ConfigLoadError(f"Config not found: {config_path}")
        result = load_file(self, path)
        if result.header["package"] is None:
            result.header["package"] = "_global_"
        return result

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        if config_path == "":
            return True
        path = self._file_path(config_path)
        return path is not None and path.is_dir()

    def is_config(self, config_path: str) -> bool:
        path = self._file_path(self._normalize_file_name(config_path)) if config_path else None
        return path is not None and is_there(path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [GROUP] if results_filter in (None, ObjectType.GROUP) else []
        path = self._file_path(config_path)
        names: set[str] = set()
        for entry in path.iterdir() if path is not None and path.is_dir() else ():
            if entry.is_dir() and results_filter in (None, ObjectType.GROUP):
                names.add(entry.name)
            elif entry.suffix == ".yaml" and results_filter in (None, ObjectType.CONFIG):
                names.add(entry.stem)
        return sorted(names)


class ProjectSource(FileConfigSource):
    """`project://FOLDER` is Hydra's own source of a folder, but with limits on the files that it reads."""

    @staticmethod
    def scheme() -> str:
        return "project"

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path))
        if not is_there(path):
            raise ConfigLoadError(f"Config not found: {path}")
        return load_file(self, path)

    def is_config(self, config_path: str) -> bool:
        return is_there(Path(self.path, self._normalize_file_name(config_path)))


def is_there(path: Path) -> bool:
    """Return whether a path exists and is not a folder. Reading it refuses pipes and devices."""
    return path.exists() and not path.is_dir()


def load_file(source: ConfigSource, path: Path) -> ConfigResult:
    """Load a file of a source.

    Raises:
        yaml.YAMLError: for a file that cannot be read, or that is not a plain mapping.
    """
    text = read_yaml_text(path)
    header = source._get_header_dict(text[:512])
    config = OmegaConf.create(load_yaml(Path(os.path.normpath(path)), text))
    return ConfigResult(config=config, path=source.full_path(), provider=source.provider, header=header)
