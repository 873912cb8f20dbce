"""YAML and overrides -> typed schemas: the room that knows Hydra.

What leaves it is a `Composed`: plain dataclass instances, their names, and what was read to make
them. Every mistake that Hydra finds becomes a RecipeError here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from tflbuild.config.composing import config_errors, default_launcher
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
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.errors import RecipeError, UsageError

BASIC = "basic"
UNNAMED = "unnamed"
ENVIRONMENT = re.compile(r"oc\.env:\s*([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Composed:
    """One composed variant. `environment` are the variables that the configuration reads, `unread` the keys that
    were declared and that the chosen options do not read.

    `written_store` is the section `store` before interpolation, `typed` what the user typed of it, of
    `executor` and of `source`."""

    name: str
    variant: str
    overrides: tuple[str, ...]
    build: schema.RecipeConfig
    environment: tuple[str, ...]
    locations: config_errors.KeyLocations
    unread: tuple[UnusedKey, ...] = ()
    written_store: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)


class Composer:
    """Composes the jobs of one command. What jobs share is done once: a sweep of leaf values composes one base.

    Hydra itself takes about 0.1 s a job, nearly all of it for groups and defaults.
    """

    def __init__(self, overrides: list[str]) -> None:
        require_readable(overrides)
        self.hydra = open_hydra()
        self.loader = cast(RecipeLoader, self.hydra.config_loader)
        self.overrides = tuple(overrides)
        self.normal = normalise(overrides)
        self.typed = dict(zip(self.normal, overrides, strict=True))  # -> what the user wrote
        self._origins: dict[str, str] = {}  # an override that a target's preset stands for -> where that is said
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], tuple[DictConfig, DeclaredKeys]] = {}
        self._read_in_recipe: dict[str, frozenset[str] | None] = {}
        self._recipes: dict[str, Path | None] = {}
        self._own: DictConfig | None = None  # Hydra's own configuration, of the first base
        self._driving: set[str] = set()  # recipes that say how to sweep

    def drive(self) -> SweepPlugins:
        """What `-m` is to do. Raises TflbuildError for a plugin that is not there and for a setting that is none."""
        parsed = self.parse(self.normal)
        check_hydra_keys(parsed, multirun=True)
        require_swept(parsed)
        for text, one in zip(self.overrides, parsed, strict=True):
            if not one.is_sweep_override():  # sweepers write what they were given anew
                self.typed.setdefault(f"{one.get_key_element()}={one.get_value_element_as_str()}", text)
        asked = [one for one in parsed if one.is_hydra_override() or one.is_sweep_override()]
        if not any(one.is_hydra_override() or not one.is_discrete_sweep() for one in asked):
            jobs = self._expand(self.normal)
            self._config_of(jobs[0])
            if self._own is not None and _is_usual(self._own):
                return SweepPlugins(BASIC, default_launcher.NAME, None, [jobs])
        with config_errors.translate_errors(self.normal, self._locations(self.normal)):
            leaves = [one for one in parsed if self._is_leaf(one) and not one.is_sweep_override()]
            others = [text for text, one in zip(self.normal, parsed, strict=True) if one not in leaves]
            config = self.hydra.compose_config(PRIMARY, [nest(text) for text in others], RunMode.MULTIRUN)
            nested = self.parse([nest(str(one.input_line)) for one in leaves])
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
        """The file of the recipe that is named; None for none, and for several."""
        return self._recipe_file(recipe_of(self.parse(self.normal)))

    def swept(self) -> list[Override]:
        """The overrides that stand for several values."""
        return [override for override in self.parse(self.normal) if override.is_sweep_override()]

    @property
    def task(self) -> Job:
        """The overrides that are not Hydra's own."""
        parsed = self.parse(self.normal)
        return [text for text, one in zip(self.normal, parsed, strict=True) if not one.is_hydra_override()]

    def _expand(self, overrides: Job) -> list[Job]:
        """The overrides of each job of a sweep: choices, ranges and globs multiplied out, repeats dropped."""
        parsed = self.parse(overrides)
        for override in parsed:
            if override.is_sweep_override() and not override.is_discrete_sweep():
                raise UsageError(
                    f"'{override.key_or_group}' has no end of values",
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
        """Each text is parsed once: the grammar takes milliseconds."""
        new = [text for text in overrides if text not in self._parsed]
        with config_errors.translate_errors(
            overrides, config_errors.KeyLocations(overrides=tuple(overrides), origins=self._origins)
        ):
            parsed = OverridesParser.create(self.hydra.config_loader).parse_overrides(new)
        self._parsed |= zip(new, parsed, strict=True)
        return [self._parsed[text] for text in overrides]

    def compose(self, overrides: list[str], *, shared: bool) -> Composed:
        """One job; `shared` where others of its kind follow."""
        parsed = self.parse(overrides)
        locations = self._locations(overrides)
        config, declared = self._config_of(overrides, shared=shared)
        if recipe_of(parsed) in self._driving and any(o.key_or_group == GROUP for o in self.swept()):
            raise RecipeError(
                f"'{recipe_of(parsed)}' says how to sweep, and is one of several recipes",
                where=locations.find("hydra"),
                why="one sweeper finds the jobs, and one launcher runs them",
                next_step="leave `hydra` out of the recipes, and choose on the command line: hydra/launcher=...",
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
        typed = read_typed(one for one in self.parse(self.normal) if self._is_leaf(one))
        refuse_sent_variables(plain, getattr(build.source, "handle", ""), typed, locations)
        return Composed(
            name=build.name or recipe_of(parsed).replace("/", "-") or UNNAMED,
            variant=name_variant(parsed),
            overrides=list_identifying_overrides(overrides, parsed),
            build=build,
            environment=tuple(sorted(set(ENVIRONMENT.findall(text)))),
            locations=locations,
            unread=tuple(self._mark_kept(find_unused_keys(build, declared), overrides, config)),
            written_store=texts_of(plain.get(STORE) if isinstance(plain, dict) else None),
            typed=typed,
        )

    def compose_all(self, jobs: list[Job]) -> list[Composed]:
        """Compose all jobs of a command. Raises RecipeError for a key that no chosen option has."""
        composed = [self.compose(job, shared=len(jobs) > 1) for job in jobs]
        composed = mark_keys_used_by_other_variants(composed)
        require_chosen(composed)
        return composed

    def _mark_kept(self, unread: list[UnusedKey], overrides: list[str], config: DictConfig) -> list[UnusedKey]:
        """Mark the keys of the recipe's file that the recipe as it is written reads, without other overrides."""
        by_target = self._locations(overrides).in_preset("quantization")  # whose targets choose the scheme
        unread = [replace(one, kept=by_target and one.root == "dataset") for one in unread]
        if not any(one.file for one in unread):
            return unread
        written = [
            text for text, one in zip(overrides, self.parse(overrides), strict=True) if one.key_or_group == GROUP
        ]
        recipe = "".join(written)
        if recipe not in self._read_in_recipe:
            self._read_in_recipe[recipe] = self._find_read_in(written, config)
        read = self._read_in_recipe[recipe]
        kept = {one.key for one in unread if one.file and not one.limit and (read is None or one.key in read)}
        return [replace(one, kept=one.kept or one.key in kept) for one in unread]

    def _find_read_in(self, overrides: list[str], complete: DictConfig) -> frozenset[str] | None:
        """Return the keys that a recipe alone declares and reads; None where it means nothing alone.

        Values that it leaves open are taken from `complete`.
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
        return frozenset({one.key for one in declared} - {one.key for one in find_unused_keys(build, declared)})

    def split(self, job: Job, *, shared: bool) -> list[Job]:
        """The job as several, where what is built is left to its targets and they want different artifacts."""
        if self.base_of(job)[0][0].quantization.scheme != BY_TARGET:
            return [job]
        composed = self.compose(job, shared=shared)
        origins = preset_origins(composed.build.target, composed.locations)
        self._origins |= {text: place for text, place in origins.items() if text not in self.normal}
        return split_by_preset(composed.build, job, self.parse(job))

    def _locations(self, overrides: list[str]) -> config_errors.KeyLocations:
        told = tuple(self.typed.get(override, override) for override in overrides)
        return config_errors.KeyLocations(self._recipe_file(recipe_of(self.parse(overrides))), told, self._origins)

    def _config_of(self, overrides: list[str], *, shared: bool = True) -> tuple[DictConfig, list[DeclaredKey]]:
        """Return the configuration as Hydra composes it, and what was declared. Plain values come after all else."""
        (base, declarations), leaves = self.base_of(overrides)
        config = copy.deepcopy(base) if shared else base
        if not shared:  # it is changed below, so nothing else may start from it
            self._bases = {key: kept for key, kept in self._bases.items() if kept[0] is not base}
        with config_errors.translate_errors(overrides, self._locations(overrides)):
            told = apply_leaves(config, self.parse([nest(text) for text in leaves]), declarations.kinds)
        chosen = [text for text in overrides if text not in leaves]
        told += list_choices(self.parse(chosen))
        return config, [*told, *declarations.keys]

    def base_of(self, overrides: list[str]) -> tuple[tuple[DictConfig, DeclaredKeys], list[str]]:
        """Return what groups and defaults compose to, made once, and the plain values that follow."""
        parsed = self.parse(overrides)
        config_errors.check_overrides(parsed, self._locations(overrides))
        leaves = [self._is_leaf(override) for override in parsed]
        base = tuple(text for text, leaf in zip(overrides, leaves, strict=True) if not leaf)
        with config_errors.translate_errors(overrides, self._locations(overrides)):
            if base not in self._bases:
                own = own_options(self.hydra.config_loader, PRIMARY, list(base))
                config = self.hydra.compose_config(PRIMARY, [nest(text) for text in base], RunMode.RUN)
                self._own = self._own or config.hydra
                if not _is_usual(config.hydra):
                    self._driving.add(recipe_of(parsed))
                with open_dict(config):
                    del config["hydra"]
                require_profiles(own, config.target)
                self._bases[base] = (config, self.loader.declarations)
        return self._bases[base], [text for text, leaf in zip(overrides, leaves, strict=True) if leaf]

    def _is_leaf(self, override: Override) -> bool:
        """Whether Hydra applies it to what the defaults came to. Mirrors hydra._internal.defaults_list.Overrides."""
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
    """One Composed for a build, one for each job of a sweep.

    Raises RecipeError for whatever is wrong with the configuration, before anything runs.
    """
    composer = Composer(overrides)
    if not multirun:
        check_hydra_keys(composer.parse(composer.normal), multirun=False)
        parts = composer.split(composer.normal, shared=False)
        return composer.compose_all(parts)
    drive = composer.drive()
    if drive.batches is None:
        raise UsageError(
            f"the jobs of hydra/sweeper={drive.sweeper} are not known beforehand",
            where="command line",
            why="it finds each by what came of those before",
            next_step="build the sweep; or leave the sweeper out, and name the values",
        )
    jobs = [job for batch in drive.batches for job in batch]
    return composer.compose_all(jobs)


def recipe_of(overrides: list[Override]) -> str:
    """The recipe that is named, "" for none."""
    return next((str(one.value()) for one in overrides if one.key_or_group == GROUP), "")


def _is_usual(own: DictConfig) -> bool:
    """Whether Hydra's own configuration leaves sweeper and launcher as they are by default."""
    if (
        own.runtime.choices["hydra/launcher"] != default_launcher.NAME
        or own.sweeper._target_ != BasicSweeperConf._target_
    ):
        return False
    return not own.sweeper.params and own.sweeper.max_batch_size is None
