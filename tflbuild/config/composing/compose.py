"""Compose YAML files and overrides into the typed schema. Outside of `config/`, nothing knows Hydra.

The result is `Composed`: plain dataclass instances, names, and what was read to make them. Every mistake that Hydra
finds becomes a RecipeError.
"""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from tflbuild.config.composing import config_errors, default_launcher
from tflbuild.config.composing.composed_variant import Composed
from tflbuild.config.composing.config_folders import find_recipe
from tflbuild.config.composing.config_secrets import note_config, refuse_secret_names, refuse_sent_variables
from tflbuild.config.composing.declared_keys import (
    DeclaredKey,
    DeclaredKeys,
    RecipeLoader,
    apply_leaves,
    leave_out_datasets,
    list_choices,
)
from tflbuild.config.composing.hydra_config_sources import GROUP
from tflbuild.config.composing.hydra_keys import check_hydra_keys, check_hydra_section
from tflbuild.config.composing.hydra_setup import PRIMARY, Job, SweepPlugins, open_hydra
from tflbuild.config.composing.mapping_overrides import nest, normalise
from tflbuild.config.composing.plugin_settings import require_harmless
from tflbuild.config.composing.preset_jobs import BY_TARGET, ONLY, split_by_preset
from tflbuild.config.composing.project_options import own_options, preset_origins, require_profiles
from tflbuild.config.composing.target_key_errors import refuse_only
from tflbuild.config.composing.trusted_stores import STORE, read_typed, texts_of
from tflbuild.config.composing.typed_config import find_missing, make_build
from tflbuild.config.composing.unused_keys import (
    UnusedKey,
    find_unused_keys,
    mark_keys_used_by_other_variants,
    require_chosen,
)
from tflbuild.config.composing.value_limits import require_bounded, require_plain, require_readable, require_repeatable
from tflbuild.config.composing.variant_names import (
    drop_repeated,
    list_identifying_overrides,
    name_variant,
    require_swept,
)
from tflbuild.errors import RecipeError, UsageError

BASIC = "basic"
UNNAMED = "unnamed"
ENVIRONMENT = re.compile(r"oc\.env:\s*([A-Za-z_]\w*)")


class Composer:
    """Composes the jobs of one command. Shared work is done once: a sweep over values of keys composes one base.

    Hydra itself takes about 0.1 s a job, nearly all of it for groups and defaults.
    """

    def __init__(self, overrides: list[str]) -> None:
        require_readable(overrides)
        self.hydra = open_hydra()
        self.loader = cast(RecipeLoader, self.hydra.config_loader)
        self.overrides = tuple(overrides)
        self.normal = normalise(overrides)
        # Maps an override in Hydra's grammar to the text that the user typed.
        self.typed = dict(zip(self.normal, overrides, strict=True))
        # Maps an override of a target's preset to the place where the preset is written.
        self._origins: dict[str, str] = {}
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], tuple[DictConfig, DeclaredKeys]] = {}
        self._read_in_recipe: dict[str, frozenset[str] | None] = {}
        self._recipes: dict[str, Path | None] = {}
        # Hydra's own configuration, from the first base.
        self._hydra_config: DictConfig | None = None
        # The recipes that set a sweeper or a launcher.
        self._sweeping_recipes: set[str] = set()

    def find_plugins(self) -> SweepPlugins:
        """Return the sweeper, the launcher and, if they are known beforehand, the jobs of `-m`.

        Raises:
            TflbuildError: for a plugin that is not installed, and for a setting that is not valid.
        """
        parsed = self.parse(self.normal)
        check_hydra_keys(parsed, multirun=True)
        require_swept(parsed)
        for text, override in zip(self.overrides, parsed, strict=True):
            # Sweepers write overrides anew, so their texts are mapped to what the user typed as well.
            if not override.is_sweep_override():
                self.typed.setdefault(f"{override.get_key_element()}={override.get_value_element_as_str()}", text)
        sweep_overrides = [
            override for override in parsed if override.is_hydra_override() or override.is_sweep_override()
        ]
        if not any(override.is_hydra_override() or not override.is_discrete_sweep() for override in sweep_overrides):
            jobs = self._expand(self.normal)
            self._config_of(jobs[0])
            if self._hydra_config is not None and _has_default_plugins(self._hydra_config):
                return SweepPlugins(BASIC, default_launcher.NAME, None, [jobs])
        with config_errors.translate_errors(self.normal, self._locations(self.normal)):
            leaves = [override for override in parsed if self._is_leaf(override) and not override.is_sweep_override()]
            others = [text for text, override in zip(self.normal, parsed, strict=True) if override not in leaves]
            config = self.hydra.compose_config(PRIMARY, [nest(text) for text in others], RunMode.MULTIRUN)
            nested = self.parse([nest(str(override.input_line)) for override in leaves])
            apply_leaves(config, nested, self.loader.declarations.kinds)
            require_harmless(PRIMARY, config, parsed, self._locations(self.normal))
        chosen = config.hydra.runtime.choices
        sweeper, launcher = str(chosen["hydra/sweeper"]), str(chosen["hydra/launcher"])
        if sweeper != BASIC:
            return SweepPlugins(sweeper, launcher, config, None)
        params = config.hydra.sweeper.params or {}
        jobs = self._expand([*normalise([f"{key}={value}" for key, value in params.items()]), *self.task])
        size = config.hydra.sweeper.max_batch_size
        size = len(jobs) if size is None else size
        if size < 1:
            raise RecipeError(
                f"'hydra.sweeper.max_batch_size' is {size}, and must be at least 1, or null",
                where=self._locations(self.normal).find("hydra.sweeper.max_batch_size"),
            )
        return SweepPlugins(
            sweeper, launcher, config, [jobs[start : start + size] for start in range(0, len(jobs), size)]
        )

    @property
    def recipe(self) -> Path | None:
        """Return the file of the recipe. None if the command names no recipe or several."""
        return self._recipe_file(recipe_of(self.parse(self.normal)))

    def list_sweep_overrides(self) -> list[Override]:
        """Return the overrides that have several values."""
        return [override for override in self.parse(self.normal) if override.is_sweep_override()]

    @property
    def task(self) -> Job:
        """Return the overrides that are not settings of Hydra."""
        parsed = self.parse(self.normal)
        return [text for text, override in zip(self.normal, parsed, strict=True) if not override.is_hydra_override()]

    def _expand(self, overrides: Job) -> list[Job]:
        """Return the overrides of each job of a sweep: all combinations of choices, ranges and globs, each once."""
        parsed = self.parse(overrides)
        for override in parsed:
            if override.is_sweep_override() and not override.is_discrete_sweep():
                raise UsageError(
                    f"'{override.key_or_group}' has infinitely many values",
                    where=f"command line: {override.input_line}",
                    why="the basic sweeper builds each of them",
                    next_step="range(start,stop,step), or a sweeper that chooses: hydra/sweeper=optuna",
                )
        with config_errors.translate_errors(overrides):
            (jobs,) = BasicSweeper.split_arguments(drop_repeated(parsed), max_batch_size=None)
        unique = {tuple(job): list(job) for job in jobs}
        parts = [part for job in unique.values() for part in self.split(job, shared=len(unique) > 1)]
        return list({tuple(part): part for part in parts}.values())

    def parse(self, overrides: list[str]) -> list[Override]:
        """Parse overrides. Each text is parsed once, since the grammar takes milliseconds.

        Raises:
            UsageError: for a text that is not an override.
        """
        new = [text for text in overrides if text not in self._parsed]
        with config_errors.translate_errors(
            overrides, config_errors.KeyLocations(overrides=tuple(overrides), origins=self._origins)
        ):
            parsed = OverridesParser.create(self.hydra.config_loader).parse_overrides(new)
        self._parsed |= zip(new, parsed, strict=True)
        return [self._parsed[text] for text in overrides]

    def compose(self, overrides: list[str], *, shared: bool) -> Composed:
        """Compose one job.

        Args:
            overrides: The overrides of the job, in Hydra's grammar.
            shared: True if other jobs follow that may use the same base.

        Raises:
            RecipeError: for a configuration that is not valid.
        """
        parsed = self.parse(overrides)
        locations = self._locations(overrides)
        config, declared = self._config_of(overrides, shared=shared)
        if recipe_of(parsed) in self._sweeping_recipes and any(
            o.key_or_group == GROUP for o in self.list_sweep_overrides()
        ):
            raise RecipeError(
                f"the recipe '{recipe_of(parsed)}' chooses a sweeper or launcher, but the sweep has several recipes",
                where=locations.find("hydra"),
                why="a sweep has one sweeper and one launcher for all of its jobs",
                next_step="remove `hydra` from the recipes, and choose on the command line: hydra/launcher=...",
            )
        leave_out_datasets(config)
        refuse_only(config.target, overrides, locations.find(ONLY))
        config_errors.refuse_unknown(config, locations)
        plain = OmegaConf.to_container(config, resolve=False)
        text = str(plain)
        require_repeatable(text, locations)
        require_bounded(plain, locations)
        with config_errors.translate_errors(overrides, locations):
            build = make_build(config, sorted(find_missing(plain)), "${" in text, locations)
        require_plain(build, locations)
        note_config(plain, OmegaConf.to_container(config))
        refuse_secret_names(build.name, build.output_root, locations)
        typed = read_typed(override for override in self.parse(self.normal) if self._is_leaf(override))
        refuse_sent_variables(plain, getattr(build.source, "handle", ""), typed, locations)
        return Composed(
            name=build.name or recipe_of(parsed).replace("/", "-") or UNNAMED,
            variant=name_variant(parsed),
            overrides=list_identifying_overrides(overrides, parsed),
            build=build,
            environment=tuple(sorted(set(ENVIRONMENT.findall(text)))),
            locations=locations,
            unused_keys=tuple(self._mark_used_by_another(find_unused_keys(build, declared), overrides, config)),
            written_store=texts_of(plain.get(STORE) if isinstance(plain, dict) else None),
            typed=typed,
        )

    def compose_all(self, jobs: list[Job]) -> list[Composed]:
        """Compose all jobs of a command.

        Raises:
            RecipeError: for a configuration that is not valid, and for a key that no chosen option has.
        """
        composed = [self.compose(job, shared=len(jobs) > 1) for job in jobs]
        composed = mark_keys_used_by_other_variants(composed)
        require_chosen(composed)
        return composed

    def _mark_used_by_another(
        self, unused_keys: list[UnusedKey], overrides: list[str], config: DictConfig
    ) -> list[UnusedKey]:
        """Mark the keys of the recipe's file that the recipe uses without other overrides."""
        # With `quantization=by_target`, the other targets may have a scheme that uses the dataset.
        by_target = self._locations(overrides).in_preset("quantization")
        unused_keys = [
            replace(unused, used_by_another=by_target and unused.root == "dataset") for unused in unused_keys
        ]
        if not any(unused.file for unused in unused_keys):
            return unused_keys
        parsed = self.parse(overrides)
        written = [text for text, override in zip(overrides, parsed, strict=True) if override.key_or_group == GROUP]
        recipe = "".join(written)
        if recipe not in self._read_in_recipe:
            self._read_in_recipe[recipe] = self._find_used_keys(written, config)
        recipe_keys = self._read_in_recipe[recipe]
        used_by_recipe = {
            unused.key
            for unused in unused_keys
            if unused.file and not unused.limit and (recipe_keys is None or unused.key in recipe_keys)
        }
        return [
            replace(unused, used_by_another=unused.used_by_another or unused.key in used_by_recipe)
            for unused in unused_keys
        ]

    def _find_used_keys(self, overrides: list[str], complete: DictConfig) -> frozenset[str] | None:
        """Return the keys that a recipe declares and uses without further overrides.

        None if it is not valid without them.

        Values that the recipe does not set are taken from `complete`.
        """
        config, declared = self._config_of(overrides)
        leave_out_datasets(config)
        plain = OmegaConf.to_container(config, resolve=False)
        try:
            for key in find_missing(plain):
                OmegaConf.update(config, key, OmegaConf.select(complete, key))
            build = make_build(config, [], "${" in str(plain), self._locations(overrides))
        except (RecipeError, OmegaConfBaseException):
            return None
        unused = {unused_key.key for unused_key in find_unused_keys(build, declared)}
        return frozenset({declared_key.key for declared_key in declared} - unused)

    def split(self, job: Job, *, shared: bool) -> list[Job]:
        """Split a job with `quantization=by_target` into one job for each preset of its targets.

        Return other jobs unchanged.
        """
        if self.base_of(job)[0][0].quantization.scheme != BY_TARGET:
            return [job]
        composed = self.compose(job, shared=shared)
        origins = preset_origins(composed.build.target, composed.locations)
        self._origins |= {text: origin for text, origin in origins.items() if text not in self.normal}
        return split_by_preset(composed.build, job, self.parse(job))

    def _locations(self, overrides: list[str]) -> config_errors.KeyLocations:
        typed = tuple(self.typed.get(override, override) for override in overrides)
        return config_errors.KeyLocations(self._recipe_file(recipe_of(self.parse(overrides))), typed, self._origins)

    def _config_of(self, overrides: list[str], *, shared: bool = True) -> tuple[DictConfig, list[DeclaredKey]]:
        """Return the configuration as Hydra composes it, and the declared keys.

        Values of keys are applied after groups.
        """
        (base, declarations), leaves = self.base_of(overrides)
        config = copy.deepcopy(base) if shared else base
        # An unshared base is changed below, so no other job may start from it.
        if not shared:
            self._bases = {key: entry for key, entry in self._bases.items() if entry[0] is not base}
        with config_errors.translate_errors(overrides, self._locations(overrides)):
            declared = apply_leaves(config, self.parse([nest(text) for text in leaves]), declarations.kinds)
        declared += list_choices(self.parse([text for text in overrides if text not in leaves]))
        return config, [*declared, *declarations.keys]

    def base_of(self, overrides: list[str]) -> tuple[tuple[DictConfig, DeclaredKeys], list[str]]:
        """Compose the groups and defaults of a job, once.

        Return the result, and the overrides of values, not yet applied.
        """
        parsed = self.parse(overrides)
        config_errors.check_overrides(parsed, self._locations(overrides))
        leaves = [self._is_leaf(override) for override in parsed]
        base = tuple(text for text, leaf in zip(overrides, leaves, strict=True) if not leaf)
        with config_errors.translate_errors(overrides, self._locations(overrides)):
            if base not in self._bases:
                project_options = own_options(self.hydra.config_loader, PRIMARY, list(base))
                config = self.hydra.compose_config(PRIMARY, [nest(text) for text in base], RunMode.RUN)
                self._hydra_config = self._hydra_config or config.hydra
                if not _has_default_plugins(config.hydra):
                    self._sweeping_recipes.add(recipe_of(parsed))
                with open_dict(config):
                    del config["hydra"]
                require_profiles(project_options, config.target)
                self._bases[base] = (config, self.loader.declarations)
        return self._bases[base], [text for text, leaf in zip(overrides, leaves, strict=True) if leaf]

    def _is_leaf(self, override: Override) -> bool:
        """Return whether an override sets a value after the defaults.

        Mirrors hydra._internal.defaults_list.Overrides.
        """
        name = override.key_or_group
        if override.is_hydra_override() or override.is_delete():
            return False
        return isinstance(override.value(), dict) or not self._is_group(name)

    def _is_group(self, name: str) -> bool:
        repository = self.hydra.config_loader.repository  # type: ignore[attr-defined]
        return bool(repository.group_exists(name))

    def _recipe_file(self, recipe: str) -> Path | None:
        if recipe not in self._recipes:
            file = find_recipe(recipe)
            if file is not None:
                check_hydra_section(file)
            self._recipes[recipe] = file
        return self._recipes[recipe]


def compose(overrides: list[str], *, multirun: bool = False) -> list[Composed]:
    """Compose a command: one variant for a build, one for each job of a sweep.

    Args:
        overrides: The overrides of the command line, as the user typed them.
        multirun: Whether the command has `-m`.

    Raises:
        RecipeError: for a configuration that is not valid.
        UsageError: for an override that is not valid, and for a sweeper whose jobs are not known beforehand.
    """
    composer = Composer(overrides)
    if not multirun:
        check_hydra_keys(composer.parse(composer.normal), multirun=False)
        parts = composer.split(composer.normal, shared=False)
        return composer.compose_all(parts)
    plugins = composer.find_plugins()
    if plugins.batches is None:
        raise UsageError(
            f"the jobs of hydra/sweeper={plugins.sweeper} are not known beforehand",
            where="command line",
            why="it chooses each job by the results of earlier jobs",
            next_step="build the sweep; or remove the sweeper, and name the values",
        )
    return composer.compose_all([job for batch in plugins.batches for job in batch])


def recipe_of(overrides: list[Override]) -> str:
    """Return the name of the recipe that the overrides choose, "" if they choose none."""
    return next((str(override.value()) for override in overrides if override.key_or_group == GROUP), "")


def _has_default_plugins(hydra_config: DictConfig) -> bool:
    """Return whether Hydra's own configuration has the default sweeper and launcher with default settings."""
    sweeper = hydra_config.sweeper
    if sweeper._target_ != BasicSweeperConf._target_ or sweeper.params or sweeper.max_batch_size is not None:
        return False
    return bool(hydra_config.runtime.choices["hydra/launcher"] == default_launcher.NAME)
