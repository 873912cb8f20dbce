"""Run Hydra's sweepers and launchers: sweepers that choose the jobs of a sweep, and launchers that run them.

A sweeper always gets the launcher `tflbuild` (default_launcher.py), whichever launcher is chosen. A launcher gets a
configuration with the name of a job and nothing that would have to be read from YAML again.
"""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from tflbuild.config.composing.compose import Composer
from tflbuild.config.composing.config_errors import PLUGINS, KeyLocations
from tflbuild.config.composing.default_launcher import (
    Build,
    MissingObjectiveError,
    SinglePlanLauncher,
    StopSweep,
    Value,
)
from tflbuild.config.composing.hydra_setup import SweepPlugins
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.composing.yaml_keys import find_node
from tflbuild.config.freezing.freeze_sweep import KEY, freeze_objectives
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.core.digest import leaves
from tflbuild.core.objective import Objective
from tflbuild.errors import MachineError, RecipeError, StepError, TflbuildError

__all__ = ["MissingObjectiveError", "StopSweep", "Value", "find_jobs", "launch", "may_differ", "objectives_of"]

DIRECTIONS = {"min": "minimize", "max": "maximize"}
# The parts of a recipe that decide which figures a variant has.
FIGURE_SECTIONS = ("recipe", "target", "verify", "benchmark")
SILENT = {"version": 1, "disable_existing_loggers": False, "root": None}
# Hydra instantiates only registered plugins from these keys.
PLUGIN_TARGET_KEYS = ("hydra.sweeper._target_", "hydra.launcher._target_")
SAMPLER = re.compile(r"optuna\.samplers\.[A-Z]\w*")
# Optuna's error message for a study in which every trial failed.
NO_TRIAL_COMPLETED = "No trials are completed"


def objectives_of(plugins: SweepPlugins, locations: KeyLocations) -> tuple[Objective, ...]:
    """Return the objectives of a sweeper in their order.

    Raises:
        RecipeError: for objectives that are not valid, and for a sweeper without the objectives that it needs.
    """
    config = cast(DictConfig, plugins.config)
    metrics = OmegaConf.select(config, "verify.metrics") or {}
    sweep = schema.SweepConfig(objectives=[str(objective) for objective in config.sweep.objectives])
    objectives = freeze_objectives(sweep, [str(name) for name in metrics], RecipeErrors(locations))
    if "direction" in config.hydra.sweeper and not objectives:
        raise RecipeError(
            f"hydra/sweeper={plugins.sweeper} has no objective",
            where=locations.find("hydra/sweeper"),
            why="it searches for the variants that are best in some figure",
            next_step="sweep.objectives=[top1:max,bytes:min]",
        )
    return objectives


def may_differ(composer: Composer, plugins: SweepPlugins) -> bool:
    """Return whether a later batch may have figures that earlier ones do not have.

    That is so if the sweep varies a section that decides which figures a variant has.
    """
    if plugins.batches is not None and len(plugins.batches) == 1:
        return False
    params = plugins.config and plugins.config.hydra.sweeper.get("params")
    names = [
        *(override.key_or_group for override in composer.list_sweep_overrides()),
        *(str(key) for key in params or ()),
    ]
    return any(name.partition(".")[0] in FIGURE_SECTIONS for name in names)


def find_jobs(composer: Composer, plugins: SweepPlugins, folder: Path, build: Build) -> TflbuildError | None:
    """Let a sweeper choose jobs and build them, batch after batch, until it ends.

    Args:
        composer: The composer of the command.
        plugins: The sweeper and its configuration.
        folder: An empty folder for the files of the sweeper.
        build: Builds a batch of jobs and returns the values of their objectives.

    Returns:
        Why the sweeper ended early, or None.

    Raises:
        TflbuildError: for a sweeper that cannot start, and for what `build` raises.
    """
    locations = KeyLocations(composer.recipe, composer.overrides)
    config = _for_sweeper(plugins, objectives_of(plugins, locations), locations, folder)
    require_plugin_classes(plugins, locations)
    raised: list[BaseException] = []
    begun = False

    def launch(jobs: list[list[str]]) -> Sequence[Value | MissingObjectiveError]:
        nonlocal begun
        begun = True
        try:
            return build(jobs)
        except BaseException as error:
            raised.append(error)
            raise

    with (
        _suppress_messages(),
        _translate_plugin_errors(f"hydra/sweeper={plugins.sweeper}", locations),
        _use_launcher(SinglePlanLauncher(launch)),
    ):
        sweeper = Plugins.instance().instantiate_sweeper(
            hydra_context=_context(composer.hydra.config_loader), task_function=_no_task, config=config
        )
    try:
        with _suppress_messages():
            sweeper.sweep(arguments=composer.task)
    except MissingObjectiveError as error:
        return StepError(
            f"hydra/sweeper={plugins.sweeper} stopped after variants that failed",
            where=locations.find("hydra.sweeper.max_failure_rate"),
            why=str(error),
            next_step="remove max_failure_rate, so that failed variants do not stop the sweep",
        )
    except Exception as error:
        if raised and not isinstance(raised[0], StopSweep):
            raise raised[0] from None
        if raised or NO_TRIAL_COMPLETED in str(error):
            return None
        return _sweeper_error(plugins, error, locations, begun)
    return None


def require_plugin_classes(plugins: SweepPlugins, locations: KeyLocations) -> None:
    """Refuse settings that make Hydra instantiate or call anything except parts of registered plugins.

    Hydra calls whatever a `_target_` names, in tflbuild's own process.

    Raises:
        RecipeError: with the key of the setting.
    """
    hydra = OmegaConf.to_container(cast(DictConfig, plugins.config).hydra, resolve=False)
    sections = {name: hydra.get(name) for name in ("sweeper", "launcher")} if isinstance(hydra, dict) else {}
    for key, value in leaves(sections, "hydra").items():
        called = key.endswith(".custom_search_space") and value is not None
        nested = key.endswith("._target_") and key not in PLUGIN_TARGET_KEYS
        if called or (nested and not SAMPLER.fullmatch(str(value))):
            raise RecipeError(
                f"'{key}' would call '{value}'",
                where=locations.find(key),
                why="sweepers and launchers run in tflbuild's own process, where code that a recipe names may not run",
                next_step="remove it; a sampler must be a class of optuna.samplers",
            )


@contextmanager
def _use_launcher(launcher: Launcher) -> Iterator[None]:
    """Make Hydra return this launcher to sweepers.

    By itself, it returns launchers of the package hydra_plugins only.
    """
    plugins = vars(Plugins.instance())
    plugins["instantiate_launcher"] = lambda **_: launcher
    try:
        yield
    finally:
        del plugins["instantiate_launcher"]


def _no_task(_: Any) -> Any:
    raise NotImplementedError("jobs are built by the launcher")


def _sweeper_error(plugins: SweepPlugins, error: Exception, locations: KeyLocations, begun: bool) -> TflbuildError:
    """Return the error of a sweeper. Raise it if no job was built, since there is nothing else to report then."""
    recipe_error = RecipeError(
        f"hydra/sweeper={plugins.sweeper} {'ended early' if begun else 'cannot start'}",
        where=locations.find("hydra/sweeper"),
        why=_first_lines(error),
        next_step="check hydra.sweeper.* and the swept values; --cfg hydra shows the sweeper's keys",
    )
    if not begun:
        raise recipe_error from None
    return recipe_error


def launch(plugins: SweepPlugins, folder: Path, work: Callable[[str], None], jobs: Sequence[Path]) -> str:
    """Let a launcher run a function on each job, in processes of its own.

    Args:
        plugins: The launcher and its configuration.
        folder: A folder for the files of the launcher.
        work: A function of a module, which the processes import by its name. Its argument is the path of a job.
        jobs: The paths of the jobs.

    Returns:
        Why the launcher ended early, or "".

    Raises:
        TflbuildError: for a launcher that cannot be instantiated.
    """
    config = OmegaConf.create({"hydra": _silence(cast(DictConfig, plugins.config), folder).hydra, "job": ""})
    name = f"hydra/launcher={plugins.launcher}"
    require_plugin_classes(plugins, KeyLocations())
    with _translate_plugin_errors(name, KeyLocations()):
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=_context(JobLoader()), task_function=JobTask(work), config=config
        )
    try:
        with _suppress_messages():
            launcher.launch([[str(job)] for job in jobs], initial_job_idx=0)
    except Exception as error:
        return _remove_paths(str(folder), _first_lines(error))
    finally:
        setup_globals()
    return ""


class JobLoader(ConfigLoader):
    """Provides the configuration of a job to a launcher: the launcher's own, and the job's name. It reads no file."""

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        config = copy.deepcopy(master_config)
        config.job = sweep_overrides[0]
        return config

    def _nothing(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("a job's recipe is composed before it is launched")

    load_configuration = get_search_path = get_sources = list_groups = get_group_options = _nothing
    compute_defaults_list = ensure_main_config_source_available = _nothing


@dataclass(frozen=True)
class JobTask:
    """The task function of a launcher."""

    work: Callable[[str], None]

    def __call__(self, config: Any) -> None:
        self.work(config.job)


def _context(loader: ConfigLoader) -> HydraContext:
    return HydraContext(config_loader=loader, callbacks=Callbacks())


def _for_sweeper(
    plugins: SweepPlugins, objectives: Sequence[Objective], locations: KeyLocations, folder: Path
) -> DictConfig:
    """Return the configuration from which a sweeper is instantiated."""
    config = _silence(cast(DictConfig, plugins.config), folder)
    sweeper = config.hydra.sweeper
    with open_dict(config):
        if "direction" in sweeper:
            _require_directions(sweeper.direction, objectives, locations)
            directions = [DIRECTIONS[objective.direction] for objective in objectives]
            sweeper.direction = directions if len(directions) > 1 else directions[0]
        if "max_failure_rate" in sweeper and not _is_set_by_user("hydra.sweeper.max_failure_rate", locations):
            # A variant that fails must not end the others.
            sweeper.max_failure_rate = 1.0
    return config


def _require_directions(direction: Any, objectives: Sequence[Objective], locations: KeyLocations) -> None:
    """Raise RecipeError if the user's own directions differ from those of the objectives."""
    key = "hydra.sweeper.direction"
    directions = direction if isinstance(direction, ListConfig) else [direction]
    names = [str(getattr(member, "name", member)) for member in directions]
    expected = [DIRECTIONS[objective.direction] for objective in objectives]
    if _is_set_by_user(key, locations) and names != expected:
        raise RecipeError(
            f"'{key}' is {names}, and the objectives are {', '.join(objective.text for objective in objectives)}",
            where=locations.find(key),
            why=f"{KEY} sets the directions: {expected}",
            next_step=f"remove {key}",
        )


def _is_set_by_user(key: str, locations: KeyLocations) -> bool:
    """Return whether the user set a key, possibly to its default."""
    is_override = any(text.lstrip("+").startswith(f"{key}=") for text in locations.overrides)
    return is_override or (locations.recipe is not None and find_node(locations.recipe, key) is not None)


def _silence(config: DictConfig, folder: Path) -> DictConfig:
    """Return a copy of a configuration whose files are in `folder`, and that configures no logging."""
    copied = copy.deepcopy(config)
    with open_dict(copied):
        copied.hydra.sweep.dir = str(folder)
        copied.hydra.hydra_logging = copied.hydra.job_logging = SILENT
        copied.hydra.job.chdir = False
    return copied


@contextmanager
def _translate_plugin_errors(name: str, locations: KeyLocations) -> Iterator[None]:
    """Turn errors that a plugin raises while it is instantiated into errors of tflbuild."""
    try:
        yield
    except ImportError as error:
        raise MachineError(
            f"{name} cannot be imported",
            why=_first_lines(error),
            next_step=f"pip install {PLUGINS.get(name.replace('=', '/'), 'the package that contains it')}",
        ) from None
    except TflbuildError:
        raise
    except Exception as error:
        group = name.partition("=")[0]
        raise RecipeError(
            f"{name} cannot be set up",
            where=locations.find(group),
            why=_first_lines(error.__cause__ or error),
            next_step=f"check {group.replace('/', '.')}.*; --cfg hydra shows its keys",
        ) from None


@contextmanager
def _suppress_messages() -> Iterator[None]:
    """Suppress log messages and warnings of plugins.

    Tables and errors report the same, or they are about the plugin's age.
    """
    names = ("optuna", "hydra_plugins")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(optuna|hydra_plugins|hydra|joblib|submitit)\b")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _remove_paths(folder: str, text: str) -> str:
    """Return an error message without the paths of files that are deleted before it is read."""
    lines = [re.sub(rf"( with path)?\s*{re.escape(folder)}\S*", "", line) for line in text.splitlines()]
    return "\n".join(line for line in lines if not line.startswith("No error stream produced"))


def _first_lines(error: BaseException) -> str:
    """Return the first three lines of an error message that are not empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:3])[:600] or type(error).__name__
