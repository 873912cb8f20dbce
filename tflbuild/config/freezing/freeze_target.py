"""Schema -> Recipe, the part that says where the artifact must run."""

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

ALL = "gates"  # beside the profiles: limits of all of them
ONLY = "only"  # and those that are meant, where a recipe is built in parts
VERSIONS = {"nnapi": ("1.0", "1.1", "1.2", "1.3"), "coreml": ("2", "3")}
FOLDERS = ("logs", "runners")
COMMON = {spec.name for spec in fields(schema.TargetConfig)}


def freeze_targets(node: Mapping[str, Any], refusals: RecipeErrors) -> tuple[Target, ...]:
    """The profiles in the order they were chosen. Raises RecipeError for what is none, and for unknown limits.

    Limits that other targets have are left out."""
    profiles = {name: profile for name, profile in node.items() if name not in (ALL, ONLY)}
    for name, profile in profiles.items():
        if not isinstance(profile, schema.TargetConfig):
            raise refusals.refuse(
                f"'target.{name}' is no profile that was chosen",
                f"target.{name}",
                why=nearest(str(name), list(profiles)) if isinstance(profile, dict) else "",
                next_step=f"choose it: target={name}, or target=[cpu,{name}]",
            )
    everywhere = freeze_limits(node.get(ALL) or {}, f"target.{ALL}", refusals)
    known = {name: RUNTIMES[profile.runtime].limits for name, profile in profiles.items()}
    chosen = tuple(limit for limits in known.values() for limit in limits)
    elsewhere = {
        limit for runtime in RUNTIMES.values() for limit in runtime.limits
    }  # `config.composing.unused_keys` judges those
    misspelt = tuple(one for one in everywhere if one[0] not in elsewhere)
    require_known(misspelt, chosen, f"target.{ALL}", refusals)
    return tuple(
        freeze_target(str(name), profile, [one for one in everywhere if one[0] in known[name]], refusals)
        for name, profile in profiles.items()
        if name in (node.get(ONLY) or profiles)
    )


def freeze_target(
    name: str, profile: schema.TargetConfig, everywhere: list[tuple[str, float]], refusals: RecipeErrors
) -> Target:
    """One profile; its own limits stand before those of all."""
    place = f"target.{name}"
    free = name not in FOLDERS and not name.startswith("previous.")
    refusals.require(free, place, f"'{name}'", "called otherwise: artifacts have a folder of that name")
    check_numbers(profile, place, refusals)
    own = freeze_limits(profile.gates, f"{place}.gates", refusals)
    require_known(own, RUNTIMES[profile.runtime].limits, f"{place}.gates", refusals)
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
        gates=tuple(sorted({**dict(everywhere), **dict(own)}.items())),
        options=own_options(profile),
    )


def own_options(profile: schema.TargetConfig) -> dict[str, Json]:
    """What this kind of profile alone has."""
    told = {spec.name: getattr(profile, spec.name) for spec in fields(profile) if spec.name not in COMMON}
    if isinstance(profile, schema.NpuTarget):
        told["vendor"] = profile.vendor
    return {name: value.value if isinstance(value, Enum) else value for name, value in told.items()}


def check_npu_options(profile: schema.NpuTarget, place: str, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a flag that is not of the vendor's plugin: some name libraries to load."""
    for name, value in profile.options.items():
        key, own = f"{place}.options.{name}", f"{profile.vendor}_"
        refusals.require(name.startswith(own) and name.isidentifier(), key, f"'{value}'", f"a flag '{own}...'")
        refusals.require("/" not in value, key, f"'{value}'", "no path, which could name a library")


def check_numbers(profile: schema.TargetConfig, place: str, refusals: RecipeErrors) -> None:
    """Raises RecipeError for a number out of range."""
    if isinstance(profile, schema.CpuTarget):
        for key, values in (("threads", [profile.threads]), ("threads_swept", profile.threads_swept)):
            for value in values:
                refusals.require(value >= 1, f"{place}.{key}", value, "at least 1")
    if isinstance(profile, schema.TableTarget) and profile.version not in ("", *VERSIONS.get(profile.table, ())):
        known = VERSIONS.get(profile.table, ())
        rule = f"one of {', '.join(known)}" if known else "empty: its rules know no versions"
        refusals.require(False, f"{place}.version", f"'{profile.version}'", rule)
    if isinstance(profile, schema.TflmTarget):
        name = profile.symbol
        plain = name.isascii() and name.isidentifier()
        refusals.require(plain, f"{place}.symbol", f"'{name}'", "a name as C has them")
    if isinstance(profile, schema.EthosUTarget):
        check_ethos_u(profile, place, refusals)
    if isinstance(profile, (schema.EdgetpuTarget, schema.NpuTarget)):
        refusals.require(profile.timeout_s >= 1, f"{place}.timeout_s", profile.timeout_s, "at least 1")
    if isinstance(profile, schema.NpuTarget):
        check_npu_options(profile, place, refusals)
    if isinstance(profile, schema.NpuTarget) and profile.soc:
        vendor = VENDORS[profile.vendor]
        if profile.soc not in vendor.socs:
            raise refusals.refuse(
                f"LiteRT knows no {vendor.title} chip '{profile.soc}'",
                f"{place}.soc",
                why=nearest(profile.soc, list(vendor.socs)),
                next_step=f"one of: {', '.join(vendor.socs)}",
            )
    if profile.max_rank is not None:
        refusals.require(profile.max_rank >= 1, f"{place}.max_rank", profile.max_rank, "at least 1, or null")


ACCELERATORS = {
    "ethos_u55": (32, 64, 128, 256),
    "ethos_u65": (256, 512),
    "ethos_u85": (128, 256, 512, 1024, 2048),
}


def check_ethos_u(profile: schema.EthosUTarget, place: str, refusals: RecipeErrors) -> None:
    """Raises RecipeError for an accelerator that this NPU does not come as, and for half a configuration."""
    known = [f"{profile.table.replace('_', '-')}-{macs}" for macs in ACCELERATORS[profile.table]]
    if profile.accelerator not in known:
        raise refusals.refuse(
            f"'{profile.accelerator}' is no accelerator of {profile.table}",
            f"{place}.accelerator",
            why=nearest(profile.accelerator, known),
            next_step=f"one of: {', '.join(known)}",
        )
    if bool(profile.system_config) != bool(profile.memory_mode):
        lacking = "memory_mode" if profile.system_config else "system_config"
        raise refusals.refuse(
            f"'{place}.{lacking}' is not set",
            f"{place}.{lacking}",
            why="Vela takes a system configuration together with a memory mode",
        )
    refusals.require(
        profile.arena_cache_bytes >= 0, f"{place}.arena_cache_bytes", profile.arena_cache_bytes, "at least 0"
    )


def freeze_limits(told: Mapping[str, Any], place: str, refusals: RecipeErrors) -> tuple[tuple[str, float], ...]:
    """(figure, limit) of each that is set. Raises RecipeError for what is no number."""
    if not isinstance(told, Mapping):
        raise refusals.refuse(f"'{place}' takes limits by name", place, next_step=f"{place}={{fallback_ops: 0}}")
    for name, limit in told.items():
        number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if limit is not None and not (number and math.isfinite(limit)):
            raise refusals.refuse(f"'{place}.{name}' is {limit}, and must be a finite number, or null", place)
    return tuple(sorted((str(name), float(limit)) for name, limit in told.items() if limit is not None))


def require_known(
    limits: tuple[tuple[str, float], ...], known: tuple[str, ...], place: str, refusals: RecipeErrors
) -> None:
    """Raises RecipeError for a limit on what no verdict of the targets has."""
    for name, _ in limits:
        if name not in known:
            raise refusals.refuse(
                f"'{name}' is no figure of "
                + (f"'{place.rpartition('.')[0]}'" if known else "a target: none is chosen"),
                f"{place}.{name}",
                why=nearest(name, list(known)),
                next_step=f"known here: {', '.join(dict.fromkeys(known))}" if known else "target=cpu, gpu, ...",
            )
