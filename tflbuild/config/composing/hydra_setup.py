"""Start Hydra for one command line, and the plugins that a sweep uses."""

from __future__ import annotations

from dataclasses import dataclass

from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from tflbuild.config.composing import default_launcher
from tflbuild.config.composing.config_folders import search_roots
from tflbuild.config.composing.declared_keys import RecipeLoader
from tflbuild.config.composing.hydra_config_sources import ProjectSource, RecipeSource
from tflbuild.config.composing.project_options import require_seen
from tflbuild.config.schema import recipe_schema as schema

# The overrides of one variant.
Job = list[str]
# The name of the configuration into which all others are composed.
PRIMARY = "tflbuild"


@dataclass(frozen=True)
class SweepPlugins:
    """The sweeper and the launcher of a sweep, by their names in Hydra's groups.

    `config` is the configuration without the swept keys, including Hydra's own; None if all settings are defaults.
    `batches` are the overrides of each job; None if a sweeper other than the basic one chooses jobs as it runs.
    """

    sweeper: str
    launcher: str
    config: DictConfig | None
    batches: list[list[Job]] | None


def open_hydra() -> Hydra:
    """Return a Hydra instance with tflbuild's search path, schemas and plugins."""
    store = ConfigStore.instance()
    store.store(group="schema", name="build", node=schema.RecipeConfig)
    for group, options in schema.OPTIONS.items():
        for option, node in options.items():
            store.store(group=f"schema/{group}", name=option, node=node)
    store.store(
        group="hydra/launcher",
        name=default_launcher.NAME,
        node=default_launcher.SinglePlanLauncherConfig,
        provider="tflbuild",
    )
    for plugin in (RecipeSource, ProjectSource, default_launcher.SinglePlanLauncher):
        Plugins.instance().register(plugin)
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    for provider, scheme, folder in search_roots():
        if provider == "project":
            require_seen(folder)
        if folder.is_dir():
            path.append(provider, f"{scheme}://{folder}")
    path.append("schema", "structured://")
    GlobalHydra.instance().clear()
    hydra = Hydra(task_name=PRIMARY, config_loader=RecipeLoader(path))
    GlobalHydra.instance().initialize(hydra)
    return hydra
