"""Check which Hydra settings a file may have. Untrusted recipes must not reach outside of the build.

Sweepers and launchers run in tflbuild's own process without confinement. Their settings name databases, folders, shell
commands and environment variables. Numbers are harmless, and so are texts of the keys below. The user must set all
others on the command line. It does not matter how a file sets a value (a section, a package, a defaults list): the
configuration is compared with the one that the installed plugins have by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.hydra_keys import SECTIONS, SWEEPING
from tflbuild.core.digest import leaves
from tflbuild.errors import RecipeError
from tflbuild.locations import find_shipped_folder

# Sections that Hydra writes itself.
OF_THE_RUN = ("runtime", "overrides", "mode")
OF_THE_JOB = ("hydra.job.override_dirname", "hydra.job.config_name")
SWEEPER_TEXT = re.compile(r"hydra\.sweeper\.((params|search_space|sampler)\..+|(direction|study_name)(\.\d+)?)")
LAUNCHER_TEXT = re.compile(
    r"hydra\.launcher\.(_target_|prefer|require|mmap_mode|batch_size|max_nbytes|name|partition|qos|comment|constraint"
    r"|exclude|gres|account|mem_per_gpu|mem_per_cpu)"
)
ONE_LINE = re.compile(r"[^\x00-\x1f\x7f\x85\u2028\u2029]*")
# A word without shell syntax: launchers of clusters write it into a line of a job's script.
ONE_WORD = re.compile(r"[\w.,:=+@/&|*()-]*")


def require_harmless(primary: str, config: DictConfig, typed: Iterable[Override], locations: KeyLocations) -> None:
    """Raise RecipeError for a Hydra setting in a file that only the user may set, on the command line."""
    typed_keys = [str(override.key_or_group) for override in typed if override.is_hydra_override()]
    defaults = leaves(_compose_defaults(primary, config), "hydra")
    for key, value in leaves(OmegaConf.to_container(config.hydra, resolve=False), "hydra").items():
        section = key.split(".")[1]
        if section in OF_THE_RUN or key in OF_THE_JOB or (key in defaults and defaults[key] == value):
            continue
        if any(key == name or key.startswith(f"{name}.") for name in typed_keys):
            continue
        if section not in SECTIONS:
            raise RecipeError(
                f"'{key}' is not a setting of tflbuild",
                where=locations.find(key),
                why="of Hydra's own settings, a recipe may have hydra.sweeper and hydra.launcher",
                next_step="remove it",
            )
        if isinstance(value, str) and not _is_harmless(key, value):
            raise RecipeError(
                f"'{key}' may not be set in a file",
                where=locations.find(key),
                why="sweepers and launchers are not confined, and may connect, write or run something by this setting",
                next_step=f"check it, and set it on the command line if you trust it: {key}=...",
            )


def _is_harmless(key: str, text: str) -> bool:
    if LAUNCHER_TEXT.fullmatch(key):
        return bool(ONE_WORD.fullmatch(text))
    is_sweeper_text = SWEEPER_TEXT.fullmatch(key) or key == "hydra.sweeper._target_"
    return bool(is_sweeper_text and ONE_LINE.fullmatch(text))


def _compose_defaults(primary: str, config: DictConfig) -> Any:
    """Return Hydra's own configuration of the chosen plugins, from the installed packages only."""
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    path.append("tflbuild", f"file://{find_shipped_folder('conf')}")
    path.append("schema", "structured://")
    loader = ConfigLoaderImpl(path)
    choices = {str(group): str(option) for group, option in config.hydra.runtime.choices.items()}
    plugin_choices = [
        f"{group}={option}"
        for group, option in choices.items()
        if SWEEPING.match(group) and option in loader.get_group_options(group, ObjectType.CONFIG)
    ]
    return OmegaConf.to_container(
        loader.load_configuration(primary, plugin_choices, RunMode.MULTIRUN).hydra, resolve=False
    )
