"""What files may set of Hydra: a stranger's recipe, or a file in a project's conf/, sets nothing that reaches out.

Sweepers and launchers run in tflbuild's own process, where nothing confines them, and their settings name databases,
folders, shell commands and variables of the environment. Numbers do no harm, nor do the texts of the keys below. All
else is the user's to type. It does not matter how a file gets there (a section, a package, a defaults list): the
configuration is compared with what the installed plugins say by themselves.
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

OF_THE_RUN = ("runtime", "overrides", "mode")  # what Hydra writes there itself
OF_THE_JOB = ("hydra.job.override_dirname", "hydra.job.config_name")
SWEEPER_TEXT = re.compile(r"hydra\.sweeper\.((params|search_space|sampler)\..+|(direction|study_name)(\.\d+)?)")
LAUNCHER_TEXT = re.compile(
    r"hydra\.launcher\.(_target_|prefer|require|mmap_mode|batch_size|max_nbytes|name|partition|qos|comment|constraint"
    r"|exclude|gres|account|mem_per_gpu|mem_per_cpu)"
)
ONE_LINE = re.compile(r"[^\x00-\x1f\x7f\x85\u2028\u2029]*")
ONE_WORD = re.compile(r"[\w.,:=+@/&|*()-]*")  # of a line of a job's script


def require_harmless(primary: str, config: DictConfig, typed: Iterable[Override], locations: KeyLocations) -> None:
    """Raise RecipeError for a setting of Hydra in a file that only the user may make."""
    told = [str(one.key_or_group) for one in typed if one.is_hydra_override()]
    usual = leaves(_compose_usual(primary, config), "hydra")
    for key, value in leaves(OmegaConf.to_container(config.hydra, resolve=False), "hydra").items():
        section = key.split(".")[1]
        if section in OF_THE_RUN or key in OF_THE_JOB or (key in usual and usual[key] == value):
            continue
        if any(key == name or key.startswith(f"{name}.") for name in told):
            continue
        if section not in SECTIONS:
            raise RecipeError(
                f"'{key}' is no setting of tflbuild",
                where=locations.find(key),
                why="of Hydra's own settings a recipe takes hydra.sweeper and hydra.launcher",
                next_step="leave it out",
            )
        if isinstance(value, str) and not _is_harmless(key, value):
            raise RecipeError(
                f"'{key}' is not taken from a file",
                where=locations.find(key),
                why="sweepers and launchers are not confined, and it may have them connect, write or run something",
                next_step=f"read it, and type it if you want it: {key}=...",
            )


def _is_harmless(key: str, text: str) -> bool:
    if LAUNCHER_TEXT.fullmatch(key):
        return bool(ONE_WORD.fullmatch(text))
    known = SWEEPER_TEXT.fullmatch(key) or key == "hydra.sweeper._target_"
    return bool(known and ONE_LINE.fullmatch(text))


def _compose_usual(primary: str, config: DictConfig) -> Any:
    """Return Hydra's own configuration as the installed packages alone say it, for the chosen plugins."""
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    path.append("tflbuild", f"file://{find_shipped_folder('conf')}")
    path.append("schema", "structured://")
    loader = ConfigLoaderImpl(path)
    choices = {str(group): str(option) for group, option in config.hydra.runtime.choices.items()}
    known = [
        f"{group}={option}"
        for group, option in choices.items()
        if SWEEPING.match(group) and option in loader.get_group_options(group, ObjectType.CONFIG)
    ]
    return OmegaConf.to_container(loader.load_configuration(primary, known, RunMode.MULTIRUN).hydra, resolve=False)
