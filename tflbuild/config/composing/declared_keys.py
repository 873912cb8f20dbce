"""Collect the keys that the user declared, in a recipe or on the command line.

Values of shipped option files and of the schema are not declarations. A declared value may equal the default; null is
not a declaration. Hydra would refuse a key that the chosen option lacks, even if another option of its group has it.
Such a key is removed before Hydra merges it, and `config.composing.unused_keys` decides whether it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import GroupDefault, ResultDefault
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from tflbuild.config.composing.hydra_config_sources import GROUP
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.config.schema.schema_data import NoDataset

SCHEMA = "schema/"
TARGET = "target"
# Maps the location of a chosen option, such as `verify.dataset`, to its schema.
Kinds = Mapping[str, type]


@dataclass(frozen=True)
class DeclaredKey:
    """A key that the user declared with a value. `file`: in a file, not on the command line.

    `set_aside`: the chosen option does not have the key, so it was removed before Hydra merged it.
    """

    key: str
    file: bool
    set_aside: bool = False


@dataclass
class DeclaredKeys:
    """The keys that were declared while one configuration was composed, and the schema of each chosen option."""

    keys: list[DeclaredKey] = field(default_factory=list)
    kinds: dict[str, type] = field(default_factory=dict)


class RecipeLoader(ConfigLoaderImpl):
    """Hydra's loader of configuration, which also notes the keys that recipes and the project's own options declare."""

    declarations = DeclaredKeys()

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        self.declarations = DeclaredKeys(kinds=find_kinds(defaults))
        return super()._compose_config_from_defaults_list(defaults=defaults, repo=repo)

    def _load_single_config(self, default: ResultDefault, repo: Any) -> ConfigResult:
        result = super()._load_single_config(default=default, repo=repo)
        is_recipe = (default.config_path or "").startswith(f"{GROUP}/")
        if (is_recipe or result.provider == "project") and isinstance(result.config, DictConfig):
            aside = set_aside(result.config, self.declarations.kinds) if is_recipe else []
            keys = [*aside, *list_leaves(OmegaConf.to_container(result.config, resolve=False))]
            chosen = list(_list_choices(result)) if is_recipe else []
            self.declarations.keys += [DeclaredKey(key, True, key in aside) for key in [*keys, *chosen]]
        return result


def find_kinds(defaults: Iterable[ResultDefault]) -> dict[str, type]:
    """Return the schema of each chosen option by its location, such as `verify.dataset`."""
    kinds: dict[str, type] = {}
    for default in defaults:
        group, _, option = (default.config_path or "").removeprefix(SCHEMA).partition("/")
        if (default.config_path or "").startswith(SCHEMA) and option in schema.OPTIONS.get(group, {}):
            kinds[default.package or group] = schema.OPTIONS[group][option]
    return kinds


def _list_choices(result: ConfigResult) -> Iterator[str]:
    """Yield the locations of the datasets that a recipe's defaults choose. Each dataset has keys of its own."""
    for default in result.defaults_list or ():
        if not isinstance(default, GroupDefault) or not default.override or default.value == "none":
            continue
        if (default.group or "").lstrip("/") == "dataset":
            yield default.package or "dataset"


def list_choices(overrides: Iterable[Override]) -> list[DeclaredKey]:
    """Return the locations of the datasets that a command line chooses."""
    choices = [override for override in overrides if override.key_or_group == "dataset" and not override.is_delete()]
    return [DeclaredKey(choice.package or "dataset", file=False) for choice in choices if choice.value() != "none"]


def leave_out_datasets(config: DictConfig) -> None:
    """Empty the datasets that the chosen options do not use, so that no key of such a dataset counts as missing."""
    if "dataset" in getattr(OmegaConf.get_type(config, "verify"), "unused", ()):
        config.verify.dataset = NoDataset()
    if not config.optimize.steps:
        config.optimize.dataset = NoDataset()


def list_leaves(node: object, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of plain configuration that have a value. Null, {} and [] do not count as values."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from list_leaves(value, f"{prefix}.{name}" if prefix else str(name))
    elif node is not None and node != []:
        yield prefix


def belongs_to_other(key: str, kinds: Kinds) -> bool:
    """Return whether the chosen option does not know a key, or a parent of it, and another option of the group does."""
    parts = key.split(".")
    return any(_is_of_other(".".join(parts[:length]), kinds) for length in range(2, len(parts) + 1))


def _is_of_other(key: str, kinds: Kinds) -> bool:
    location, _, name = key.rpartition(".")
    if location == TARGET:
        is_option = name in schema.OPTIONS[TARGET] or Path("conf", TARGET, f"{name}.yaml").is_file()
        return is_option and key not in kinds
    options = schema.OPTIONS.get("dataset" if location.endswith(".dataset") else location)
    if options is None or location not in kinds or name in _names(kinds[location]):
        return False
    return any(name in _names(kind) for kind in options.values())


def _names(kind: type) -> set[str]:
    return {spec.name for spec in fields(kind)} if is_dataclass(kind) else set()


def set_aside(config: DictConfig, kinds: Kinds, prefix: str = "") -> list[str]:
    """Remove the keys of options that are not chosen from a recipe's own configuration, in place. Return these keys."""
    removed: list[str] = []
    for name in list(config):
        key = f"{prefix}.{name}" if prefix else str(name)
        node = config._get_node(name)
        if _is_of_other(key, kinds):
            plain = OmegaConf.to_container(config, resolve=False)
            assert isinstance(plain, dict)
            removed += list_leaves(plain[name], key)
            del config[name]
        elif isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            removed += set_aside(node, kinds, key)
    return removed


def apply_leaves(config: DictConfig, overrides: Iterable[Override], kinds: Kinds) -> list[DeclaredKey]:
    """Apply the values of the command line to a configuration, in place.

    Keys of options that are not chosen are left out.

    Returns:
        All declared keys, also those that were left out.
    """
    declared: list[DeclaredKey] = []
    for override in overrides:
        value = override.value()
        leaves = list(list_leaves(value, override.key_or_group))
        other_keys = [key for key in leaves if not override.is_add() and belongs_to_other(key, kinds)]
        declared += [DeclaredKey(key, False, key in other_keys) for key in leaves]
        if other_keys:
            applied = OmegaConf.create({})
            for key in set(leaves) - set(other_keys):
                OmegaConf.update(applied, key, OmegaConf.select(_nest(override), key), force_add=True)
            remaining: Any = OmegaConf.to_container(
                OmegaConf.select(applied, override.key_or_group) or OmegaConf.create({})
            )
            override = replace(override, _value=remaining)
        if set(leaves) != set(other_keys) or not leaves:
            ConfigLoaderImpl._apply_overrides_to_config([override], config)
    return declared


def _nest(override: Override) -> DictConfig:
    nested = OmegaConf.create({})
    OmegaConf.update(nested, override.key_or_group, override.value(), force_add=True)
    return nested
