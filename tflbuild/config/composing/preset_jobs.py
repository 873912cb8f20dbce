"""`quantization=by_target`: each target gets what its profile's preset says; targets that want the same share it.

A part is the whole job with the preset's overrides, and with `target.only` naming the targets that it is for: what the
recipe says of the others stays readable, and is left out when the part is frozen.
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
    """Preset -> names of the targets that want it, both in the order of the recipe."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, profile in targets.items():
        if isinstance(profile, TargetConfig):
            found.setdefault(tuple(profile.preset), []).append(name)
    return found


def split_by_preset(build: schema.RecipeConfig, job: list[str], parsed: list[Override]) -> list[list[str]]:
    """The job as one job for each preset; as it is where there is no target."""
    groups = groups_of(build.target)
    if not groups:
        return [job]
    kept = [text for text, one in zip(job, parsed, strict=True) if one.key_or_group != "quantization"]
    return [[*preset, f"++{ONLY}=[{','.join(names)}]", *kept] for preset, names in groups.items()]
