"""Translate errors of Hydra, OmegaConf and the YAML parser into errors that say where the mistake is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tflbuild.config.composing.target_key_errors import SEVERAL, unchosen_target
from tflbuild.config.composing.type_errors import convert_type_error, require_plain, scalar_for_keys
from tflbuild.config.composing.yaml_files import NotYamlError
from tflbuild.config.composing.yaml_keys import find_line, find_node, find_word
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.errors import MachineError, RecipeError, TflbuildError, UsageError, nearest

# Maps an option of a Hydra group to the package that provides it. `tflbuild[...]` are extras.
PLUGINS = {
    "hydra/sweeper/optuna": "'tflbuild[optuna]'",
    "hydra/launcher/joblib": "'tflbuild[joblib]'",
    "hydra/launcher/submitit_local": "'tflbuild[submitit]'",
    "hydra/launcher/submitit_slurm": "'tflbuild[submitit]'",
    "hydra/launcher/ray": "hydra-ray-launcher",
}


@dataclass(frozen=True)
class KeyLocations:
    """The places where a key of one variant may have been written: its recipe file or the command line.

    `origins` maps overrides that were written in a target's preset to that place. `unused_keys` are the declared keys
    that only other variants of the command use.
    """

    recipe: Path | None = None
    overrides: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    unused_keys: tuple[str, ...] = ()

    def is_read(self, override: str) -> bool:
        """Return whether the variant uses the key of an override, so that a command for this variant needs it."""
        return override.lstrip("+").partition("=")[0] not in self.unused_keys

    def origin(self, override: str) -> str:
        """Return where an override was written, with its text."""
        return f"{self.origins.get(override, 'command line')}: {override}"

    def in_preset(self, key: str) -> bool:
        """Return whether a target's preset set a key."""
        return any(text in self.origins and text.lstrip("+").startswith(f"{key}=") for text in self.overrides)

    def recipe_text(self) -> str:
        """Return the path of the recipe's file, for an error about the whole file. "" without a recipe."""
        return "" if self.recipe is None else _relative(self.recipe)

    def find(self, key: str) -> str:
        """Return where a key was written: `file:line: key`, or the override that set it, or only the key."""
        nested_keys = []
        # Of several overrides of a key, the last one takes effect.
        for override in reversed(self.overrides):
            name, _, value = override.lstrip("+~").partition("=")
            inside = value.startswith("{") and key.startswith(f"{name}.")
            if name == key or inside:
                return self.origin(override)
            nested_keys += [name] if name.startswith(f"{key}.") else []
        if nested_keys:
            return self.find(nested_keys[-1])
        line = (find_line(self.recipe, key) or find_word(self.recipe, key)) if self.recipe else None
        if self.recipe is None or line is None:
            return key
        return f"{_relative(self.recipe)}:{line}: {key}"

    def override(self, key: str) -> str:
        """Return the last override that set a key itself, or ""."""
        matches = (text for text in reversed(self.overrides) if text.lstrip("+~").partition("=")[0] == key)
        return next(matches, "")

    def written(self, key: str) -> str:
        """Return a plain value as it was written, before YAML made a number of it. "" if it was quoted or not found."""
        for override in reversed(self.overrides):
            name, _, value = override.lstrip("+~").partition("=")
            if name == key:
                return "" if value[:1] in ("'", '"') else value
        node = find_node(self.recipe, key) if self.recipe else None
        return str(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else ""


def _relative(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def translate_errors(overrides: list[str], locations: KeyLocations | None = None) -> Iterator[None]:
    """Turn errors of Hydra, OmegaConf and the YAML parser into errors of tflbuild."""
    locations = locations or KeyLocations(overrides=tuple(overrides))
    try:
        yield
    except MissingConfigException as error:
        raise _missing_option(error, locations) from None
    except OverrideParseException as error:
        raise UsageError(
            f"cannot read the override '{error.override}'",
            where=locations.origins.get(error.override or "", "command line"),
            why=str(error).split("\n")[0],
            next_step="write key=value, +group=option or key=a,b with -m; quote characters that the shell interprets",
        ) from None
    except ConfigCompositionException as error:
        raise _composition(error, locations) from None
    except OmegaConfBaseException as error:
        raise convert_omegaconf_error(error, locations) from None
    except yaml.YAMLError as error:
        raise convert_yaml_error(error, locations) from None
    except RecursionError:
        raise RecipeError("a value is nested too deeply", where=locations.recipe_text() or "command line") from None
    # Hydra raises a ValueError for `quantization=3`.
    except (HydraException, ValueError, OverflowError) as error:
        raise RecipeError(str(error).split("\n")[0], where=locations.recipe_text() or "command line") from None


def convert_yaml_error(error: yaml.YAMLError, locations: KeyLocations) -> TflbuildError:
    """Return the error for a file that is not valid YAML. The file may be an option of the project in conf/."""
    mark = getattr(error, "problem_mark", None)
    file = Path(mark.name) if mark else Path()
    path = _relative(file) if mark and file.exists() else locations.recipe_text()
    where = path + (f":{mark.line + 1}" if mark else "")
    message = "this YAML is refused" if isinstance(error, NotYamlError) else "not valid YAML"
    return RecipeError(message, where=where, why=str(getattr(error, "problem", error)))


def _missing_option(error: MissingConfigException, locations: KeyLocations) -> TflbuildError:
    missing = error.missing_cfg_file or ""
    group, _, option = missing.rpartition("/")
    if not group:
        return RecipeError(f"no configuration '{missing}'", where=locations.recipe_text())
    bare = group.removeprefix("recipe/")
    if bare != group and bare in schema.OPTIONS:
        return RecipeError(
            f"'{bare}: {option}' in a recipe's defaults lacks its 'override /'",
            where=locations.find(bare),
            next_step=f"- override /{bare}: {option}",
        )
    if missing in PLUGINS:
        return MachineError(
            f"{group}={option} needs a package that is not installed",
            where=next((locations.origin(text) for text in locations.overrides if text.endswith(f"={option}")), ""),
            next_step=f"pip install {PLUGINS[missing]}",
        )
    option_names = [
        name for name in (error.options or schema.OPTIONS.get(group) or ()) if not name.startswith("schema")
    ]
    # The options of the project itself.
    option_names += sorted({path.stem for path in (Path("conf") / group).glob("*.yaml")} - {*option_names})
    where = next(
        (locations.origin(o) for o in locations.overrides if re.search(rf"[=,\[]{re.escape(option)}\b", o)), ""
    )
    if not where and locations.recipe:
        where = f"{_relative(locations.recipe)}, in its defaults"
    noun = "recipe" if group == "recipe" else f"option of the group '{group}'"
    looked = "\nlooked in ./recipes and in the recipes that tflbuild ships" if group == "recipe" else ""
    return RecipeError(
        f"no {noun} is called '{option}'",
        where=where,
        why=(nearest(option, option_names) + looked).strip(),
        next_step=f"choose one of: {', '.join(option_names)}" if option_names else "",
    )


def _composition(error: ConfigCompositionException, locations: KeyLocations) -> TflbuildError:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OmegaConfBaseException):
        return convert_omegaconf_error(cause, locations)
    text = str(error)
    if ambiguous := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return RecipeError(
            f"'{ambiguous[1].partition('=')[0]}' has several values",
            where=f"command line: {ambiguous[1]}",
            why="a key with several values needs a sweep",
            next_step="add -m (--multirun), or quote the value to mean a list: key='[a,b]'",
        )
    match = re.search(r"Could not (?:override|append|delete)[\w ]*\.? ?'([^']+)'", text)
    key = match[1] if match else ""
    bare = key.partition("@")[0].removeprefix("recipe/")
    if key.startswith("recipe/") and bare in schema.OPTIONS:
        return RecipeError(
            f"'{bare}' in a recipe's defaults lacks its slash",
            where=locations.find(bare),
            next_step=f"- override /{bare}: OPTION",
        )
    unknown = ("does not exist", "No match in the defaults list", "in struct", "not in")
    if key and any(phrase in text for phrase in unknown):
        return _unknown_key(key, locations)
    if isinstance(cause, yaml.YAMLError):
        return convert_yaml_error(cause, locations)
    if key.partition("@")[1]:
        return _unknown_key(key, locations)
    first, _, rest = text.partition("\n")
    return RecipeError(first, where=locations.find(key) if key else locations.recipe_text(), why=" ".join(rest.split()))


def check_overrides(parsed: Iterable[Override], locations: KeyLocations) -> None:
    """Raise an error for overrides that Hydra parses but cannot compose: without a key, or without an option's name."""
    for override in parsed:
        if not override.key_or_group:
            raise UsageError(
                f"'{override.input_line}' sets no key",
                where=locations.origins.get(str(override.input_line), "command line"),
                next_step="write key=value",
            )
        value = None if override.is_delete() else override.value()
        names = value if override.key_or_group == SEVERAL and isinstance(value, list) else None
        several = names is not None and all(isinstance(name, str) for name in names)
        if override.key_or_group in (*schema.OPTIONS, "recipe") and not (
            override.is_delete() or override.is_sweep_override() or several or isinstance(value, str)
        ):
            raise RecipeError(
                f"'{override.key_or_group}' takes the name of an option, not {value}",
                where=locations.origin(str(override.input_line)),
                next_step="tflbuild --help lists the options",
            )


def refuse_unknown(config: DictConfig, locations: KeyLocations, prefix: str = "") -> None:
    """Raise RecipeError for unknown keys: `+key=value` adds them to a typed node without an error of Hydra."""
    kind = OmegaConf.get_type(config)
    known_names = {spec.name for spec in fields(kind)} if is_dataclass(kind) else None
    for name in map(str, config):
        key = f"{prefix}{name}"
        if known_names is not None and name not in known_names:
            raise _unknown_key(key, locations)
        if OmegaConf.is_missing(config, name):
            continue
        if isinstance(node := config._get_node(name), DictConfig):
            refuse_unknown(node, locations, f"{key}.")
        elif isinstance(node, ListConfig):
            require_plain(node, key, locations.find)


def _unknown_key(key: str, locations: KeyLocations) -> TflbuildError:
    group, mark, package = key.lstrip("+").partition("@")
    if mark and group in schema.OPTIONS:
        return RecipeError(
            f"there is no group at '{package}'",
            where=locations.find(key),
            why=nearest(package, ["verify.dataset", "optimize.dataset"]),
            next_step="dataset@verify.dataset=OPTION chooses the kind of the evaluation dataset, and"
            " dataset@optimize.dataset=OPTION that of the training dataset, if verify or optimize has an option",
        )
    name = group
    dotted = _known_keys()
    groups = [*schema.OPTIONS, "recipe"]
    if other := _key_of_another_option(name, locations):
        return other
    message = f"'{name}' is neither a group nor a key" if "." not in name else f"'{name}' is not a key of the recipe"
    return RecipeError(
        message,
        where=locations.find(name),
        why=nearest(name, [*groups, *dotted]),
        next_step="tflbuild --help lists groups and their options; docs/reference.md has every key",
    )


def _key_of_another_option(key: str, locations: KeyLocations) -> TflbuildError | None:
    """Return the error for a key of another option of a group, such as `quantization.budget` with `quantization=int8`.

    Returns None for a key that no option of a group has, or that all have.
    """
    group, _, field = key.partition(".")
    options = schema.OPTIONS.get(group, {}) if group != SEVERAL else {}
    having = [option for option, node in options.items() if field in {spec.name for spec in fields(node)}]
    if not having or len(having) == len(options):
        return None
    return RecipeError(
        f"the chosen option of '{group}' has no key '{field}'",
        where=locations.find(key),
        why=f"it is a key of {', '.join(f'{group}={option}' for option in having)}",
        next_step="leave it out, or choose such an option",
    )


def _known_keys() -> list[str]:
    keys: set[str] = set()
    for group, options in schema.OPTIONS.items():
        for option, node in options.items():
            prefix = f"{group}.{option}" if group == SEVERAL else group
            for spec in fields(node):
                keys.add(f"{prefix}.{spec.name}")
                nested = spec.default_factory
                if isinstance(nested, type) and is_dataclass(nested):
                    keys.update(f"{prefix}.{spec.name}.{inner.name}" for inner in fields(nested))
    keys.update(spec.name for spec in fields(schema.RecipeConfig))
    keys.update(f"store.{spec.name}" for spec in fields(schema.StoreConfig))
    return sorted(keys)


def convert_omegaconf_error(error: OmegaConfBaseException, locations: KeyLocations) -> TflbuildError:
    """Return the error for a key or value that the schema refuses."""
    key = getattr(error, "full_key", "") or ""
    text = (getattr(error, "msg", None) or str(error)).split("\n")[0]
    unknown = re.match(r"Key '([^']+)' (?:not in|is not in) '?(\w+)", text)
    if unknown:
        parent = getattr(error, "parent_node", None)
        kind = OmegaConf.get_type(parent) if parent is not None else None
        known_names = [spec.name for spec in fields(kind)] if is_dataclass(kind) else []
        if not known_names and isinstance(parent, DictConfig):
            known_names = [str(name) for name in parent]
        if other := unchosen_target(key, locations.find(key)) or _key_of_another_option(key, locations):
            return other
        owner = key.rpartition(".")[0]
        return RecipeError(
            f"'{unknown[1]}' is not a key of " + (f"'{owner}'" if owner else "a recipe"),
            where=locations.find(key),
            why=nearest(unknown[1], known_names or _known_keys()),
            next_step=f"known here: {', '.join(known_names)}" if known_names else "docs/reference.md has every key",
        )
    invalid = re.match(r"While dereferencing interpolation '(.*)': Value '(.*)' is not a valid (\w+)", text)
    if invalid:
        return RecipeError(
            f"'{invalid[2]}' is not a valid value of '{key}', which takes a {invalid[3]}",
            where=locations.find(key),
            why=f"it comes from {invalid[1]}",
            next_step="true or false" if invalid[3] == "bool" else "",
        )
    unresolved = re.search(r"raised while resolving interpolation: \"?(.*?)\"?$", text)
    if unresolved:
        return RecipeError(
            unresolved[1],
            where=locations.find(key) if key else locations.recipe_text(),
            why="an interpolation in the recipe uses it",
            next_step="set it, or give it a default: ${oc.env:NAME,default}" if "nvironment" in unresolved[1] else "",
        )
    scalar = re.match(r"Merge error: \w+ is not a subclass of (\w+)\. value: (.*)", text)
    if scalar:
        return scalar_for_keys(scalar[1], scalar[2], locations.find)
    if "is not a subclass of TensorDeclaration" in text:
        return RecipeError(
            "an input cannot be added on the command line",
            where=locations.find("signature.inputs"),
            next_step="declare it in the recipe: signature: {inputs: {NAME: {shape: [1, ...], dtype: float32}}}",
        )
    if "does not support deletion" in text:
        deletion = next((override for override in locations.overrides if override.startswith("~")), "~")
        return RecipeError(
            f"'{deletion[1:]}' cannot be deleted",
            where=f"command line: {deletion}",
            why="every key of an option has a value",
            next_step=f"set it to its default, or to null: {deletion[1:]}=null",
        )
    choices = re.search(r"Invalid value '([^']*)', expected one of \[(.*)\]", text)
    if choices:
        names = [name.strip() for name in choices[2].split(",")]
        return RecipeError(
            f"'{choices[1]}' is not a valid value of '{key}'",
            where=locations.find(key),
            why=nearest(choices[1], names),
            next_step=f"choose one of: {', '.join(names)}",
        )
    return convert_type_error(text, key, locations.override(key), locations.find(key)) or RecipeError(
        text, where=locations.find(key) if key else locations.recipe_text()
    )
