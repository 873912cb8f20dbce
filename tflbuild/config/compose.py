"""YAML and overrides -> typed schemas: the room that knows Hydra.

What leaves it is a `Composed`: plain dataclass instances, their names, and what was read to make
them. Every mistake that Hydra finds becomes a RecipeError here.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from tflbuild.config import mistakes, schema
from tflbuild.config.recipe_source import GROUP, RecipeSource
from tflbuild.core.recipe import DEFAULT_VARIANT
from tflbuild.errors import RecipeError, nearest
from tflbuild.locations import shipped

PRIMARY = "tflbuild"
UNNAMED = "unnamed"
LONGEST_VARIANT = 100
NOT_A_VARIANT = ("name", "output_root", "sweep.objectives")
UNREPEATABLE = re.compile(r"\$\{(now|random|hydra):?")
OPEN_MAPPING = re.compile(
    r"(source\.(arguments|custom_objects)|signature\.(inputs|outputs|preprocess|more)"
    r"|((verify|optimize)\.)?dataset\.arrays"
    r"|verify\.metrics|(verify\.gates|quantization\.budget)\.(outputs|at_least|at_most))[.=]"
)
TYPED_MAPPING = re.compile(
    r"\+\+(?P<mapping>signature\.(inputs|preprocess|more)|(verify\.gates|quantization\.budget)\.outputs)\.(?P<names>.+)"
)
ENVIRONMENT = re.compile(r"oc\.env:\s*([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Composed:
    """One composed variant. `environment` are the variables that the configuration reads."""

    name: str
    variant: str
    overrides: tuple[str, ...]
    build: schema.Build
    environment: tuple[str, ...]
    places: mistakes.Places


def search_roots() -> list[tuple[str, str, Path]]:
    """Where configuration is looked for, first match wins: (provider, scheme, folder)."""
    here = Path.cwd()
    roots = [("tflbuild", "file", shipped("conf"))]
    if (here / "conf").resolve() != shipped("conf").resolve():
        roots.append(("project", "file", here / "conf"))
    roots.append(("project recipes", "recipes", here / "recipes"))
    if (here / "recipes").resolve() != shipped("recipes").resolve():
        roots.append(("tflbuild recipes", "recipes", shipped("recipes")))
    return roots


def open_hydra() -> Hydra:
    """A Hydra over our search path, with every schema registered."""
    store = ConfigStore.instance()
    store.store(group="schema", name="build", node=schema.Build)
    for group, options in schema.OPTIONS.items():
        for option, node in options.items():
            store.store(group=f"schema/{group}", name=option, node=node)
    Plugins.instance().register(RecipeSource)
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    for provider, scheme, folder in search_roots():
        if folder.is_dir():
            path.append(provider, f"{scheme}://{folder}")
    path.append("schema", "structured://")
    GlobalHydra.instance().clear()
    return Hydra.create_main_hydra2(PRIMARY, path)


def normalise(overrides: list[str]) -> list[str]:
    """`recipe=x` means `+recipe=x`: no recipe stands in the defaults, and nothing else can be meant.

    Names below an open mapping are the user's own, which Hydra would want to be told with `++`.
    """
    told = [f"+{text}" if text.startswith(f"{GROUP}=") else text for text in overrides]
    return [f"++{text}" if OPEN_MAPPING.match(text) else text for text in told]


def nest(override: str) -> str:
    """`++signature.inputs.x.dtype=int8` as `++signature.inputs={x:{dtype:int8}}`: else OmegaConf adds no typed node."""
    key, _, value = override.partition("=")
    typed = TYPED_MAPPING.match(key)
    if typed is None:
        return override
    for name in reversed(typed["names"].split(".")):
        value = f"{{{name}:{value}}}"
    return f"++{typed['mapping']}={value}"


def expand(hydra: Hydra, overrides: list[str]) -> list[list[str]]:
    """The overrides of each job of a sweep: choices, ranges and globs multiplied out, repeats dropped."""
    parsed = _parse(hydra, overrides)
    with mistakes.translated(overrides):
        (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    unique = {tuple(job): list(job) for job in jobs}
    return list(unique.values())


def compose(overrides: list[str], *, multirun: bool = False) -> list[Composed]:
    """One Composed for a build, one for each job of a sweep.

    Raises RecipeError for whatever is wrong with the configuration, before anything runs.
    """
    hydra = open_hydra()
    normal = normalise(overrides)
    typed = dict(zip(normal, overrides, strict=True))
    jobs = expand(hydra, normal) if multirun else [normal]
    return [_compose_one(hydra, job, typed) for job in jobs]


def _parse(hydra: Hydra, overrides: list[str]) -> list[Override]:
    with mistakes.translated(overrides):
        parsed: list[Override] = OverridesParser.create(hydra.config_loader).parse_overrides(overrides)
    return parsed


def _compose_one(hydra: Hydra, overrides: list[str], typed: dict[str, str]) -> Composed:
    """`typed` maps overrides to what the user wrote for them."""
    parsed = _parse(hydra, overrides)
    recipe = next((str(o.value()) for o in parsed if o.key_or_group == GROUP), "")
    told = tuple(typed.get(override, override) for override in overrides)
    places = mistakes.Places(recipe=_recipe_file(recipe), overrides=told)
    mistakes.check_overrides(parsed)
    with mistakes.translated(overrides, places):
        config = hydra.compose_config(PRIMARY, [nest(override) for override in overrides], RunMode.RUN)
    with open_dict(config):
        del config["hydra"]
    mistakes.refuse_unknown(config, places)
    text = OmegaConf.to_yaml(config, resolve=False)
    if found := UNREPEATABLE.search(text):
        raise RecipeError(
            f"a recipe may not use ${{{found[1]}:...}}",
            where=places.recipe_text(),
            why="its value differs from run to run, so the artifact could not be built again",
            next_step="write the value itself, or read it from the environment with ${oc.env:NAME}",
        )
    build = _as_object(config, places)
    return Composed(
        name=build.name or recipe.replace("/", "-") or UNNAMED,
        variant=name_variant(parsed),
        overrides=tuple(overrides),
        build=build,
        environment=tuple(sorted(set(ENVIRONMENT.findall(text)))),
        places=places,
    )


def _as_object(config: DictConfig, places: mistakes.Places) -> schema.Build:
    try:
        OmegaConf.resolve(config)
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise RecipeError(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
                where=places.recipe_text(),
                why=("no recipe was named" if places.recipe is None else "the recipe leaves it open")
                + _near_input(config, missing[0]),
                next_step=f"set it in the recipe, or on the command line: {missing[0]}=..."
                + ("" if places.recipe else ", or name a recipe: +recipe=mobilenet_int8"),
            )
        build = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise mistakes.from_omegaconf(error, places) from None
    assert isinstance(build, schema.Build)
    return build


def _near_input(config: DictConfig, key: str) -> str:
    """A misspelt input is a new one to Hydra; the hint that it may not be meant so."""
    found = re.fullmatch(r"signature\.inputs\.([^.]+)\.shape", key)
    close = nearest(found[1], set(config.signature.inputs) - {found[1]}) if found else ""
    return f"; {close}" if close else ""


def _recipe_file(recipe: str) -> Path | None:
    for _, scheme, folder in search_roots():
        file = folder / f"{recipe}.yaml"
        if recipe and scheme == RecipeSource.scheme() and file.is_file():
            return file
    return None


def name_variant(overrides: list[Override]) -> str:
    """A folder name from what was changed on the command line: `default` when nothing was."""
    told = sorted(
        f"{_key(override)}={_plain(override)}"
        for override in overrides
        if override.key_or_group not in (GROUP, *NOT_A_VARIANT) and not override.key_or_group.startswith("hydra")
    )
    if not told:
        return DEFAULT_VARIANT
    text = ",".join(told)
    safe = re.sub(r"[^A-Za-z0-9._=,@-]", "_", text)
    if len(safe) > LONGEST_VARIANT or safe != text:
        digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:8]
        safe = f"{safe[: LONGEST_VARIANT - 9]}-{digest}"
    return safe


def _key(override: Override) -> str:
    return f"{override.key_or_group}@{override.package}" if override.package else str(override.key_or_group)


def _plain(override: Override) -> str:
    return "" if override.is_delete() else str(override.get_value_element_as_str(space_after_sep=False))
