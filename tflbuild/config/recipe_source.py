"""The Hydra group `recipe`: the files of a `recipes/` folder.

A ConfigSource, so that composition, completion, `--info` and error messages all see recipes as they
see any other group.
"""

from __future__ import annotations

from pathlib import Path

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf

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
        if place is None or not place.is_file():
            raise ConfigLoadError(f"Config not found: {config_path}")
        try:
            text = place.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigLoadError(f"the recipe is not UTF-8 text: {error.reason}") from None
        header = self._get_header_dict(text)
        if header["package"] is None:
            header["package"] = "_global_"
        config = OmegaConf.create(text)
        if not isinstance(config, DictConfig):
            raise ConfigLoadError("a recipe is a mapping of keys to values, not a list")
        return ConfigResult(config=config, path=self.full_path(), provider=self.provider, header=header)

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        if config_path == "":
            return True
        place = self._place(config_path)
        return place is not None and place.is_dir()

    def is_config(self, config_path: str) -> bool:
        place = self._place(self._normalize_file_name(config_path)) if config_path else None
        return place is not None and place.is_file()

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
