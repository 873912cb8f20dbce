"""Check which settings of Hydra itself are allowed: those of sweeps. Settings without an effect are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from hydra.core.override_parser.types import Override

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.yaml_keys import find_node
from tflbuild.errors import RecipeError, UsageError

PARAMS = "hydra.sweeper.params"
SECTIONS = ("sweeper", "launcher")
SWEEPING = re.compile(r"hydra[./](sweeper|launcher)([./@]|$)")


def check_hydra_keys(parsed: Iterable[Override], *, multirun: bool) -> None:
    """Raise UsageError for an override of Hydra itself that has no effect in tflbuild."""
    for override in parsed:
        if not override.is_hydra_override():
            continue
        if not SWEEPING.match(override.key_or_group):
            raise UsageError(
                f"'{override.key_or_group}' is not a setting of tflbuild",
                where=f"command line: {override.input_line}",
                why="of Hydra's own settings, only hydra/sweeper, hydra/launcher and their keys are allowed",
                next_step="leave it out; --cfg and --info show Hydra's own configuration",
            )
        if override.key_or_group.startswith(PARAMS):
            raise UsageError(
                f"'{override.key_or_group}' can be set in a recipe only",
                where=f"command line: {override.input_line}",
                next_step="sweep the key itself: quantization=int8,float16",
            )
        if override.is_sweep_override():
            raise UsageError(
                f"'{override.key_or_group}' has several values",
                where=f"command line: {override.input_line}",
                why="a sweep has one sweeper and one launcher",
                next_step="set one value; quote a value that contains commas: key='a,b'",
            )
        if not multirun:
            raise UsageError(
                f"'{override.key_or_group}' needs -m",
                where=f"command line: {override.input_line}",
                why="hydra/sweeper and hydra/launcher are for sweeps",
                next_step="add -m, or remove the override",
            )


def check_hydra_section(file: Path) -> None:
    """Raise RecipeError for a key under `hydra` in a recipe that has no effect in tflbuild."""
    node = find_node(file, "hydra")
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    for name in [key.value for key, _ in pairs]:
        if name not in SECTIONS:
            raise RecipeError(
                f"'hydra.{name}' is not a setting of tflbuild",
                where=KeyLocations(recipe=file).find(f"hydra.{name}"),
                why="of Hydra's own settings, a recipe may have hydra.sweeper and hydra.launcher",
                next_step="remove it",
            )
