"""Turn a composed configuration into the typed schema."""

from __future__ import annotations

import re
from collections.abc import Iterator

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tflbuild.config.composing import config_errors
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.errors import RecipeError, nearest


def find_missing(node: object, key: str = "") -> Iterator[str]:
    """Yield the keys of plain configuration that are `???`."""
    if node == MISSING:
        yield key
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in pairs:
        yield from find_missing(value, f"{key}.{name}" if key else str(name))


def make_build(
    config: DictConfig, missing: list[str], interpolates: bool, locations: config_errors.KeyLocations
) -> schema.RecipeConfig:
    """Return the configuration as an instance of the typed schema.

    Args:
        config: The composed configuration. Interpolations are resolved in place.
        missing: The keys without a value.
        interpolates: Whether a value contains an interpolation.
        locations: Where keys are written.

    Raises:
        RecipeError: for keys without a value, and for values that the schema does not accept.
    """
    try:
        if interpolates:
            OmegaConf.resolve(config)
        if missing:
            raise RecipeError(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
                where=_where_left_open(locations, missing[0]),
                why=("no recipe was named" if locations.recipe is None else "the recipe does not set it")
                + _near_input(config, missing[0]),
                next_step=f"set it in the recipe, or on the command line: {missing[0]}=..."
                + ("" if locations.recipe else ", or name a recipe: +recipe=mobilenet_int8"),
            )
        build = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise config_errors.convert_omegaconf_error(error, locations) from None
    assert isinstance(build, schema.RecipeConfig)
    return build


def _where_left_open(locations: config_errors.KeyLocations, key: str) -> str:
    """Return the override that set the parent of a missing key, or the recipe's file."""
    parent = key.rpartition(".")[0]
    where = locations.find(parent) if parent else ""
    return where if where.startswith("command line: ") else locations.recipe_text()


def _near_input(config: DictConfig, key: str) -> str:
    """Return a suggestion for a misspelt input, or "". Hydra treats a misspelt input as a new one."""
    match = re.fullmatch(r"signature\.inputs\.([^.]+)\.shape", key)
    close = nearest(match[1], set(config.signature.inputs) - {match[1]}) if match else ""
    return f"; {close}" if close else ""
