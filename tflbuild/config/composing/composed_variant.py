"""A composed variant: the result of the stage compose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.unused_keys import UnusedKey
from tflbuild.config.schema import recipe_schema as schema


@dataclass(frozen=True)
class Composed:
    """One composed variant.

    `environment` are the environment variables that the configuration reads. `unused_keys` are the declared keys that
    the chosen options do not use. `written_store` is the section `store` before interpolation. `typed` has what the
    user typed of the sections `store`, `executor` and `source`.
    """

    name: str
    variant: str
    overrides: tuple[str, ...]
    build: schema.RecipeConfig
    environment: tuple[str, ...]
    locations: KeyLocations
    unused_keys: tuple[UnusedKey, ...] = ()
    written_store: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)
