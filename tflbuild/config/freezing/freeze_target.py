"""Freeze the section of a recipe that describes the targets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.schema import schema_target as schema
from tflbuild.core.digest import Json
from tflbuild.core.recipe import Target
from tflbuild.errors import nearest
from tflbuild.targets.npu.profile import VENDORS
from tflbuild.targets.target_runtimes import RUNTIMES

# Keys next to the profiles: limits for all targets, and the targets of one part of a recipe with `by_target`.
ALL = "gates"
ONLY = "only"
VERSIONS = {"nnapi": ("1.0", "1.1", "1.2", "1.3"), "coreml": ("2", "3")}
FOLDERS = ("logs", "runners")
COMMON = {spec.name for spec in fields(schema.TargetConfig)}


def freeze_targets(node: Mapping[str, Any], refusals: RecipeErrors) -> tuple[Target, ...]:
    """Return the targets in the order in which they were chosen. Limits that only other targets have are left out.

    Raises:
        RecipeError: for a section that is not a chosen profile, and for unknown limits.
    """
    profiles = {name: profile for name, profile in node.items() if name not in (ALL, ONLY)}
    for name, profile in profiles.items():
        if not isinstance(profile, schema.TargetConfig):
            raise refusals.refuse(
                f"'target.{name}' is no profile that was chosen",
                f"target.{name}",
                why=nearest(str(name), list(profiles)) if isinstance(profile, dict) else "",
                next_step=f"choose it: target={name}, or target=[cpu,{name}]",
            )
    common_limits = freeze_limits(node.get(ALL) or {}, f"target.{ALL}", refusals)
    limits_by_target = {name: RUNTIMES[profile.runtime].limits for name, profile in profiles.items()}
    chosen = tuple(limit for limits in limits_by_target.values() for limit in limits)
    limits_of_runtimes = {
        limit for runtime in RUNTIMES.values() for limit in runtime.limits
    }  # `config.composing.unused_keys` judges those
    misspelt = tuple(limit_pair for limit_pair in common_limits if limit_pair[0] not in limits_of_runtimes)
    require_known(misspelt, chosen, f"target.{ALL}", refusals)
    return tuple(
        freeze_target(
            str(name),
            profile,
            [limit_pair for limit_pair in common_limits if limit_pair[0] in limits_by_target[name]],
            refusals,
        )
        for name, profile in profiles.items()
        if name in (node.get(ONLY) or profiles)
    )


def freeze_target(
    name: str, profile: schema.TargetConfig, common_limits: list[tuple[str, float]], refusals: RecipeErrors
) -> Target:
    """Return one target. Its own limits replace those for all targets."""
    location = f"target.{name}"
    is_allowed = name not in FOLDERS and not name.startswith("previous.")
    refusals.require(is_allowed, location, f"'{name}'", "called otherwise: artifacts have a folder of that name")
    check_numbers(profile, location, refusals)
    own_limits = freeze_limits(profile.gates, f"{location}.gates", refusals)
    require_known(own_limits, RUNTIMES[profile.runtime].limits, f"{location}.gates", refusals)
    return Target(
        name=name,
        runtime=profile.runtime,
        table=profile.table,
        schemes=tuple(profile.schemes),
        full_integer=profile.full_integer,
        static_shapes=profile.static_shapes,
        per_tensor=profile.per_tensor,
        select_tf=profile.select_tf,
        max_rank=profile.max_rank,
        must_be_proven=profile.require is schema.Require.proven,
        gates=tuple(sorted({**dict(common_limits), **dict(own_limits)}.items())),
        options=own_options(profile),
    )


def own_options(profile: schema.TargetConfig) -> dict[str, Json]:
    """Return the options that only this kind of profile has."""
    options = {spec.name: getattr(profile, spec.name) for spec in fields(profile) if spec.name not in COMMON}
    if isinstance(profile, schema.NpuTarget):
        options["vendor"] = profile.vendor
    return {name: value.value if isinstance(value, Enum) else value for name, value in options.items()}


def check_npu_options(profile: schema.NpuTarget, place: str, refusals: RecipeErrors) -> None:
    """Raise RecipeError for an option that is not one of the vendor's plugin: some options name libraries to load."""
    for name, value in profile.options.items():
        key, own = f"{place}.options.{name}", f"{profile.vendor}_"
        refusals.require(name.startswith(own) and name.isidentifier(), key, f"'{value}'", f"a flag '{own}...'")
        refusals.require("/" not in value, key, f"'{value}'", "no path, which could name a library")


def check_numbers(profile: schema.TargetConfig, location: str, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a number out of range."""
    if isinstance(profile, schema.CpuTarget):
        for key, values in (("threads", [profile.threads]), ("threads_swept", profile.threads_swept)):
            for value in values:
                refusals.require(value >= 1, f"{location}.{key}", value, "at least 1")
    if isinstance(profile, schema.TableTarget) and profile.version not in ("", *VERSIONS.get(profile.table, ())):
        versions = VERSIONS.get(profile.table, ())
        rule = f"one of {', '.join(versions)}" if versions else "empty: its rules know no versions"
        refusals.require(False, f"{location}.version", f"'{profile.version}'", rule)
    if isinstance(profile, schema.TflmTarget):
        name = profile.symbol
        plain = name.isascii() and name.isidentifier()
        refusals.require(plain, f"{location}.symbol", f"'{name}'", "a name as C has them")
    if isinstance(profile, schema.EthosUTarget):
        check_ethos_u(profile, location, refusals)
    if isinstance(profile, (schema.EdgetpuTarget, schema.NpuTarget)):
        refusals.require(profile.timeout_s >= 1, f"{location}.timeout_s", profile.timeout_s, "at least 1")
    if isinstance(profile, schema.NpuTarget):
        check_npu_options(profile, location, refusals)
    if isinstance(profile, schema.NpuTarget) and profile.soc:
        vendor = VENDORS[profile.vendor]
        if profile.soc not in vendor.socs:
            raise refusals.refuse(
                f"LiteRT knows no {vendor.title} chip '{profile.soc}'",
                f"{location}.soc",
                why=nearest(profile.soc, list(vendor.socs)),
                next_step=f"one of: {', '.join(vendor.socs)}",
            )
    if profile.max_rank is not None:
        refusals.require(profile.max_rank >= 1, f"{location}.max_rank", profile.max_rank, "at least 1, or null")


ACCELERATORS = {
    "ethos_u55": (32, 64, 128, 256),
    "ethos_u65": (256, 512),
    "ethos_u85": (128, 256, 512, 1024, 2048),
}


def check_ethos_u(profile: schema.EthosUTarget, location: str, refusals: RecipeErrors) -> None:
    """Raise RecipeError for an unknown accelerator, and for a system configuration without a memory mode."""
    accelerators = [f"{profile.table.replace('_', '-')}-{macs}" for macs in ACCELERATORS[profile.table]]
    if profile.accelerator not in accelerators:
        raise refusals.refuse(
            f"'{profile.accelerator}' is not an accelerator of {profile.table}",
            f"{location}.accelerator",
            why=nearest(profile.accelerator, accelerators),
            next_step=f"one of: {', '.join(accelerators)}",
        )
    if bool(profile.system_config) != bool(profile.memory_mode):
        lacking = "memory_mode" if profile.system_config else "system_config"
        raise refusals.refuse(
            f"'{location}.{lacking}' is not set",
            f"{location}.{lacking}",
            why="Vela needs both a system configuration and a memory mode",
        )
    refusals.require(
        profile.arena_cache_bytes >= 0, f"{location}.arena_cache_bytes", profile.arena_cache_bytes, "at least 0"
    )


def freeze_limits(limits: Mapping[str, Any], location: str, refusals: RecipeErrors) -> tuple[tuple[str, float], ...]:
    """Return (figure, limit) of each limit that is set.

    Raises:
        RecipeError: for a limit that is not a finite number.
    """
    if not isinstance(limits, Mapping):
        raise refusals.refuse(
            f"'{location}' takes limits by name", location, next_step=f"{location}={{fallback_ops: 0}}"
        )
    for name, limit in limits.items():
        number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if limit is not None and not (number and math.isfinite(limit)):
            raise refusals.refuse(f"'{location}.{name}' is {limit}, and must be a finite number, or null", location)
    return tuple(sorted((str(name), float(limit)) for name, limit in limits.items() if limit is not None))


def require_known(
    limits: tuple[tuple[str, float], ...], figures: tuple[str, ...], location: str, refusals: RecipeErrors
) -> None:
    """Raise RecipeError for a limit on a figure that no verdict of the targets has."""
    for name, _ in limits:
        if name not in figures:
            raise refusals.refuse(
                f"'{name}' is not a figure of "
                + (f"'{location.rpartition('.')[0]}'" if figures else "a target: none is chosen"),
                f"{location}.{name}",
                why=nearest(name, list(figures)),
                next_step=f"known here: {', '.join(dict.fromkeys(figures))}" if figures else "target=cpu, gpu, ...",
            )
