"""`quantization=by_target`: each target gets what its profile's preset says; targets that want the same share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import Override

from tflbuild.config import schema
from tflbuild.config.schema_target import Target

BY_TARGET = "by_target"
REPLACED = ("quantization", "target")  # groups whose choice a preset makes


def groups_of(targets: Mapping[str, Any]) -> dict[tuple[str, ...], list[str]]:
    """Preset -> names of the targets that want it, both in the order of the recipe."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, profile in targets.items():
        if isinstance(profile, Target):
            found.setdefault(tuple(profile.preset), []).append(name)
    return found


def split_by_preset(build: schema.Build, job: list[str], parsed: list[Override]) -> list[list[str]]:
    """The job as one job for each preset; as it is where there is no target."""
    groups = groups_of(build.target)
    if not groups:
        return [job]
    kept = [text for text, one in zip(job, parsed, strict=True) if one.key_or_group not in REPLACED]
    elsewhere = [text for text in kept if not _is_of(text, build)]
    return [
        [*preset, f"target=[{','.join(names)}]", *elsewhere, *(text for text in kept if _is_of(text, build, names))]
        for preset, names in groups.items()
    ]


def _is_of(text: str, build: schema.Build, names: list[str] | None = None) -> bool:
    """Whether an override sets a key of one of these targets, or of any."""
    wanted = build.target if names is None else names
    return any(text.lstrip("+~").startswith(f"target.{name}.") for name in wanted if name != "gates")
