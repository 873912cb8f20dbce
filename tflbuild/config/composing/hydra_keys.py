"""Which settings of Hydra's own a user may make: those of a sweep. What would do nothing is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from hydra.core.override_parser.types import Override

from tflbuild.config.composing.config_errors import KeyLocations, find_node
from tflbuild.errors import RecipeError, UsageError

PARAMS = "hydra.sweeper.params"
SECTIONS = ("sweeper", "launcher")
SWEEPING = re.compile(r"hydra[./](sweeper|launcher)([./@]|$)")


def check_hydra_keys(parsed: Iterable[Override], *, multirun: bool) -> None:
    """Raises UsageError for a setting of Hydra's own that does nothing here."""
    for override in parsed:
        if not override.is_hydra_override():
            continue
        if not SWEEPING.match(override.key_or_group):
            raise UsageError(
                f"'{override.key_or_group}' is no setting of tflbuild",
                where=f"command line: {override.input_line}",
                why="of Hydra's own settings it takes hydra/sweeper, hydra/launcher and their keys",
                next_step="leave it out; --cfg and --info show Hydra's own configuration",
            )
        if override.key_or_group.startswith(PARAMS):
            raise UsageError(
                f"'{override.key_or_group}' is for recipes",
                where=f"command line: {override.input_line}",
                next_step="sweep the key itself: quantization=int8,float16",
            )
        if override.is_sweep_override():
            raise UsageError(
                f"'{override.key_or_group}' has several values",
                where=f"command line: {override.input_line}",
                why="one sweeper finds the jobs, and one launcher runs them",
                next_step="give one; quote a value that has commas: key='a,b'",
            )
        if not multirun:
            raise UsageError(
                "there is nothing to sweep",
                where=f"command line: {override.input_line}",
                why="hydra/sweeper and hydra/launcher are for sweeps",
                next_step="add -m to sweep, or leave it out",
            )


def check_hydra_section(file: Path) -> None:
    """The same for what a recipe has under `hydra`."""
    node = find_node(file, "hydra")
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    for name in [key.value for key, _ in pairs]:
        if name not in SECTIONS:
            raise RecipeError(
                f"'hydra.{name}' is no setting of tflbuild",
                where=KeyLocations(recipe=file).find(f"hydra.{name}"),
                why="of Hydra's own settings a recipe takes hydra.sweeper and hydra.launcher",
                next_step="leave it out",
            )
