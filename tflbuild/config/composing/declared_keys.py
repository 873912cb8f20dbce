"""Which keys a person declared, in a recipe or on the command line; keys of options that are not chosen are set aside.

What the file of a shipped option or the schema gives is no declaration. A value that equals the default is one, null is
none. A key that the chosen option lacks and another option of its group has would be refused by Hydra; it is taken out
before Hydra merges it, so that `config.composing.unused_keys` can decide what becomes of it.
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
Kinds = Mapping[str, type]  # place of a group's option in the configuration -> its schema


@dataclass(frozen=True)
class DeclaredKey:
    """A key with a value, as a person wrote it. `file` says that a file has it, else the command line."""

    key: str
    file: bool
    set_aside: bool = False


@dataclass
class DeclaredKeys:
    """What was declared while one configuration was composed, and the schema of each option that was chosen."""

    keys: list[DeclaredKey] = field(default_factory=list)
    kinds: dict[str, type] = field(default_factory=dict)


class RecipeLoader(ConfigLoaderImpl):
    """Hydra's loader of configuration, which notes what recipes and a project's own options declare."""

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
    """Return the schema of each chosen option by its place, such as `verify.dataset`."""
    kinds: dict[str, type] = {}
    for default in defaults:
        group, _, option = (default.config_path or "").removeprefix(SCHEMA).partition("/")
        if (default.config_path or "").startswith(SCHEMA) and option in schema.OPTIONS.get(group, {}):
            kinds[default.package or group] = schema.OPTIONS[group][option]
    return kinds


def _list_choices(result: ConfigResult) -> Iterator[str]:
    """Yield the locations of the datasets that a recipe's defaults choose: those have keys of their own."""
    for default in result.defaults_list or ():
        if not isinstance(default, GroupDefault) or not default.override or default.value == "none":
            continue
        if (default.group or "").lstrip("/") == "dataset":
            yield default.package or "dataset"


def list_choices(overrides: Iterable[Override]) -> list[DeclaredKey]:
    """Return the locations of the datasets that a command chooses."""
    chosen = [one for one in overrides if one.key_or_group == "dataset" and not one.is_delete()]
    return [DeclaredKey(one.package or "dataset", file=False) for one in chosen if one.value() != "none"]


def leave_out_datasets(config: DictConfig) -> None:
    """Empty the datasets of options that have no use for one: keys that such a dataset lacks are not missing."""
    if "dataset" in getattr(OmegaConf.get_type(config, "verify"), "unused", ()):
        config.verify.dataset = NoDataset()
    if not config.optimize.steps:
        config.optimize.dataset = NoDataset()


def list_leaves(node: object, place: str = "") -> Iterator[str]:
    """Yield the dotted keys of plain configuration that have a value. Null, {} and [] are none."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from list_leaves(value, f"{place}.{name}" if place else str(name))
    elif node is not None and node != []:
        yield place


def belongs_to_other(key: str, kinds: Kinds) -> bool:
    """Return whether a key, or a part that it begins with, is unknown to the chosen option and known to another one."""
    parts = key.split(".")
    return any(_is_of_other(".".join(parts[:length]), kinds) for length in range(2, len(parts) + 1))


def _is_of_other(key: str, kinds: Kinds) -> bool:
    place, _, name = key.rpartition(".")
    if place == TARGET:
        is_option = name in schema.OPTIONS[TARGET] or Path("conf", TARGET, f"{name}.yaml").is_file()
        return is_option and key not in kinds
    options = schema.OPTIONS.get("dataset" if place.endswith(".dataset") else place)
    if options is None or place not in kinds or name in _names(kinds[place]):
        return False
    return any(name in _names(kind) for kind in options.values())


def _names(kind: type) -> set[str]:
    return {spec.name for spec in fields(kind)} if is_dataclass(kind) else set()


def set_aside(config: DictConfig, kinds: Kinds, place: str = "") -> list[str]:
    """Take the keys of options that are not chosen out of a recipe's own configuration. Return them."""
    aside: list[str] = []
    for name in list(config):
        key = f"{place}.{name}" if place else str(name)
        node = config._get_node(name)
        if _is_of_other(key, kinds):
            plain = OmegaConf.to_container(config, resolve=False)
            assert isinstance(plain, dict)
            aside += list_leaves(plain[name], key)
            del config[name]
        elif isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            aside += set_aside(node, kinds, key)
    return aside


def apply_leaves(config: DictConfig, overrides: Iterable[Override], kinds: Kinds) -> list[DeclaredKey]:
    """Apply the command line's plain values, without those of options that are not chosen. Return all of them."""
    declared: list[DeclaredKey] = []
    for override in overrides:
        value = override.value()
        leaves = list(list_leaves(value, override.key_or_group))
        aside = [key for key in leaves if not override.is_add() and belongs_to_other(key, kinds)]
        declared += [DeclaredKey(key, False, key in aside) for key in leaves]
        if aside:
            kept = OmegaConf.create({})
            for key in set(leaves) - set(aside):
                OmegaConf.update(kept, key, OmegaConf.select(_nest(override), key), force_add=True)
            rest: Any = OmegaConf.to_container(OmegaConf.select(kept, override.key_or_group) or OmegaConf.create({}))
            override = replace(override, _value=rest)
        if set(leaves) != set(aside) or not leaves:
            ConfigLoaderImpl._apply_overrides_to_config([override], config)
    return declared


def _nest(override: Override) -> DictConfig:
    nested = OmegaConf.create({})
    OmegaConf.update(nested, override.key_or_group, override.value(), force_add=True)
    return nested
