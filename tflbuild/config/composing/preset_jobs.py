"""Split a job with `quantization=by_target`: each target gets the preset of its profile. Equal presets are shared.

A part is the whole job with the overrides of a preset, and with `target.only` naming its targets. The keys of the other
targets stay valid, and are left out when the part is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import Override

from tflbuild.config.schema import recipe_schema as schema
from tflbuild.config.schema.schema_target import TargetConfig

BY_TARGET = "by_target"
ONLY = "target.only"


def groups_of(targets: Mapping[str, Any]) -> dict[tuple[str, ...], list[str]]:
    """Return preset -> names of the targets that have it, in the order of the recipe."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, profile in targets.items():
        if isinstance(profile, TargetConfig):
            groups.setdefault(tuple(profile.preset), []).append(name)
    return groups


def split_by_preset(build: schema.RecipeConfig, job: list[str], parsed: list[Override]) -> list[list[str]]:
    """Return one job for each preset. A job without a target is returned unchanged."""
    groups = groups_of(build.target)
    if not groups:
        return [job]
    other_overrides = [
        text for text, override in zip(job, parsed, strict=True) if override.key_or_group != "quantization"
    ]
    return [[*preset, f"++{ONLY}=[{','.join(names)}]", *other_overrides] for preset, names in groups.items()]
