"""Hydra's sweepers and launchers at work: who finds the jobs of a sweep where it is not the basic sweeper, and who
runs them where they are not to be one plan.

A sweeper gets the launcher `tflbuild` (one_plan.py), whichever is chosen. A launcher gets a configuration that holds
the name of a job and nothing that could be read again from YAML.
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
from tflbuild.config.composing.config_errors import PLUGINS, KeyLocations, find_node
from tflbuild.config.composing.default_launcher import (
    Build,
    MissingObjectiveError,
    SinglePlanLauncher,
    StopSweep,
    Value,
)
from tflbuild.config.composing.hydra_setup import SweepPlugins
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.freeze_sweep import KEY, freeze_objectives
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.core.digest import leaves
from tflbuild.core.objective import Objective
from tflbuild.errors import MachineError, RecipeError, StepError, TflbuildError

__all__ = ["MissingObjectiveError", "StopSweep", "Value", "find_jobs", "launch", "may_differ", "objectives_of"]

DIRECTIONS = {"min": "minimize", "max": "maximize"}
MEASURING = ("recipe", "target", "verify", "benchmark")  # what decides which figures a variant will have
SILENT = {"version": 1, "disable_existing_loggers": False, "root": None}
PLUGINS_THEMSELVES = ("hydra.sweeper._target_", "hydra.launcher._target_")  # Hydra makes registered ones alone
SAMPLER = re.compile(r"optuna\.samplers\.[A-Z]\w*")
NOTHING_FOUND = "No trials are completed"  # how Optuna ends a study in which every trial failed


def objectives_of(drive: SweepPlugins, locations: KeyLocations) -> tuple[Objective, ...]:
    """What a sweeper is to optimize, in its order. Raises RecipeError for objectives that are none."""
    config = cast(DictConfig, drive.config)
    metrics = OmegaConf.select(config, "verify.metrics") or {}
    asked = schema.SweepConfig(objectives=[str(one) for one in config.sweep.objectives])
    found = freeze_objectives(asked, [str(name) for name in metrics], RecipeErrors(locations))
    if "direction" in config.hydra.sweeper and not found:
        raise RecipeError(
            f"hydra/sweeper={drive.sweeper} has no objective",
            where=locations.find("hydra/sweeper"),
            why="it looks for the variants that are best by some figure",
            next_step="sweep.objectives=[top1:max,bytes:min]",
        )
    return found


def may_differ(composer: Composer, drive: SweepPlugins) -> bool:
    """Whether a later batch may measure what those before it did not: some of what is swept decides that."""
    if drive.batches is not None and len(drive.batches) == 1:
        return False
    params = drive.config and drive.config.hydra.sweeper.get("params")
    names = [*(one.key_or_group for one in composer.swept()), *(str(key) for key in params or ())]
    return any(name.partition(".")[0] in MEASURING for name in names)


def find_jobs(composer: Composer, drive: SweepPlugins, folder: Path, build: Build) -> TflbuildError | None:
    """Let a sweeper find jobs and have them built, batch after batch, until it ends; `folder` is its to write into.

    Gives why it ended early, where it did. Raises what `build` raises, and TflbuildError for a sweeper that cannot
    even begin.
    """
    locations = KeyLocations(composer.recipe, composer.overrides)
    config = _for_sweeper(drive, objectives_of(drive, locations), locations, folder)
    require_plugin_classes(drive, locations)
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

    with _quiet(), _set_up(f"hydra/sweeper={drive.sweeper}", locations), _launching(SinglePlanLauncher(launch)):
        sweeper = Plugins.instance().instantiate_sweeper(
            hydra_context=_context(composer.hydra.config_loader), task_function=_no_task, config=config
        )
    try:
        with _quiet():
            sweeper.sweep(arguments=composer.task)
    except MissingObjectiveError as error:
        return StepError(
            f"hydra/sweeper={drive.sweeper} gave up after variants that failed",
            where=locations.find("hydra.sweeper.max_failure_rate"),
            why=str(error),
            next_step="leave max_failure_rate out to go on",
        )
    except Exception as error:
        if raised and not isinstance(raised[0], StopSweep):
            raise raised[0] from None
        if raised or NOTHING_FOUND in str(error):
            return None
        return _ended(drive, error, locations, begun)
    return None


def require_plugin_classes(drive: SweepPlugins, locations: KeyLocations) -> None:
    """Refuse settings of a sweeper or a launcher that have Hydra make or call something else than parts of plugins.

    Hydra calls whatever a `_target_` names, in tflbuild's own process. Raises RecipeError with the key.
    """
    hydra = OmegaConf.to_container(cast(DictConfig, drive.config).hydra, resolve=False)
    sections = {name: hydra.get(name) for name in ("sweeper", "launcher")} if isinstance(hydra, dict) else {}
    for key, value in leaves(sections, "hydra").items():
        called = key.endswith(".custom_search_space") and value is not None
        nested = key.endswith("._target_") and key not in PLUGINS_THEMSELVES
        if called or (nested and not SAMPLER.fullmatch(str(value))):
            raise RecipeError(
                f"'{key}' would call '{value}'",
                where=locations.find(key),
                why="sweepers and launchers run in tflbuild's own process, which runs no code that a recipe names",
                next_step="leave it out; a sampler is a class of optuna.samplers",
            )


@contextmanager
def _launching(launcher: Launcher) -> Iterator[None]:
    """Sweepers ask Hydra for their launcher, and it makes none but those of the package hydra_plugins."""
    plugins = vars(Plugins.instance())
    plugins["instantiate_launcher"] = lambda **_: launcher
    try:
        yield
    finally:
        del plugins["instantiate_launcher"]


def _no_task(_: Any) -> Any:
    raise NotImplementedError("jobs are built by the launcher")


def _ended(drive: SweepPlugins, error: Exception, locations: KeyLocations, begun: bool) -> TflbuildError:
    """A sweeper's own complaint. Raised where nothing was built that could be told besides."""
    found = RecipeError(
        f"hydra/sweeper={drive.sweeper} {'ended early' if begun else 'cannot begin'}",
        where=locations.find("hydra/sweeper"),
        why=_line(error),
        next_step="see hydra.sweeper.* and what is swept: --cfg hydra shows the sweeper's keys",
    )
    if not begun:
        raise found from None
    return found


def launch(drive: SweepPlugins, folder: Path, work: Callable[[str], None], jobs: Sequence[Path]) -> str:
    """Have a launcher run `work` on each of the jobs, in processes of its own; `work` is found by its name there.

    Gives why it ended early, "" where it did not. Raises TflbuildError for one that is not ready to.
    """
    config = OmegaConf.create({"hydra": _quieted(cast(DictConfig, drive.config), folder).hydra, "job": ""})
    name = f"hydra/launcher={drive.launcher}"
    require_plugin_classes(drive, KeyLocations())
    with _set_up(name, KeyLocations()):
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=_context(JobLoader()), task_function=JobTask(work), config=config
        )
    try:
        with _quiet():
            launcher.launch([[str(job)] for job in jobs], initial_job_idx=0)
    except Exception as error:
        return _without(str(folder), _line(error))
    finally:
        setup_globals()
    return ""


class JobLoader(ConfigLoader):
    """What a launcher asks for the configuration of a job: its own, and the job's name. It reads nothing."""

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


def _for_sweeper(drive: SweepPlugins, aims: Sequence[Objective], locations: KeyLocations, folder: Path) -> DictConfig:
    """The configuration that a sweeper is made from."""
    config = _quieted(cast(DictConfig, drive.config), folder)
    sweeper = config.hydra.sweeper
    with open_dict(config):
        if "direction" in sweeper:
            _require_directions(sweeper.direction, aims, locations)
            wanted = [DIRECTIONS[one.direction] for one in aims]
            sweeper.direction = wanted if len(wanted) > 1 else wanted[0]
        if "max_failure_rate" in sweeper and not _is_told("hydra.sweeper.max_failure_rate", locations):
            sweeper.max_failure_rate = 1.0  # a variant that fails is no reason to end the others
    return config


def _require_directions(told: Any, aims: Sequence[Objective], locations: KeyLocations) -> None:
    """Raises RecipeError where the user's own direction is another than that of the objectives."""
    key = "hydra.sweeper.direction"
    names = [str(getattr(one, "name", one)) for one in (told if isinstance(told, ListConfig) else [told])]
    wanted = [DIRECTIONS[one.direction] for one in aims]
    if _is_told(key, locations) and names != wanted:
        raise RecipeError(
            f"'{key}' is {names}, and the objectives are {', '.join(one.text for one in aims)}",
            where=locations.find(key),
            why=f"{KEY} says what is better: {wanted}",
            next_step=f"leave {key} out",
        )


def _is_told(key: str, locations: KeyLocations) -> bool:
    """Whether the user set a key, which might be to what it is by default."""
    told = any(text.lstrip("+").startswith(f"{key}=") for text in locations.overrides)
    return told or (locations.recipe is not None and find_node(locations.recipe, key) is not None)


def _quieted(config: DictConfig, folder: Path) -> DictConfig:
    """A copy whose files lie in `folder`, and that configures no logging."""
    copied = copy.deepcopy(config)
    with open_dict(copied):
        copied.hydra.sweep.dir = str(folder)
        copied.hydra.hydra_logging = copied.hydra.job_logging = SILENT
        copied.hydra.job.chdir = False
    return copied


@contextmanager
def _set_up(name: str, locations: KeyLocations) -> Iterator[None]:
    """Raises what a plugin says of its own making as an error of tflbuild."""
    try:
        yield
    except ImportError as error:
        raise MachineError(
            f"{name} cannot be imported",
            why=_line(error),
            next_step=f"pip install {PLUGINS.get(name.replace('=', '/'), 'the package it comes with')}",
        ) from None
    except TflbuildError:
        raise
    except Exception as error:
        group = name.partition("=")[0]
        raise RecipeError(
            f"{name} cannot be set up",
            where=locations.find(group),
            why=_line(error.__cause__ or error),
            next_step=f"see {group.replace('/', '.')}.*: --cfg hydra shows its keys",
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """What plugins log and warn of is said by tables and errors, or is about their own age."""
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


def _without(folder: str, text: str) -> str:
    """A complaint without the files that are gone when it is read."""
    told = [re.sub(rf"( with path)?\s*{re.escape(folder)}\S*", "", line) for line in text.splitlines()]
    return "\n".join(line for line in told if not line.startswith("No error stream produced"))


def _line(error: BaseException) -> str:
    """The first lines of a complaint that say something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:3])[:600] or type(error).__name__
