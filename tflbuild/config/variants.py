"""What a variant is called: by what tells it from its recipe."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from tflbuild.config.by_target import ONLY
from tflbuild.config.recipe_source import GROUP
from tflbuild.core.recipe import DEFAULT_VARIANT

LONGEST_VARIANT = 100
NOT_TOLD = ("store", "executor")  # where results lie, or are made, is no part of them; a URL may hold a password
NOT_A_VARIANT = ("name", "output_root", "store", "sweep", "executor")


def name_variant(overrides: list[Override]) -> str:
    """A folder name from what was changed on the command line: `default` when nothing was."""
    parts = any(override.key_or_group == ONLY for override in overrides)
    told = sorted(
        f"{'target' if override.key_or_group == ONLY else _key(override)}={_plain(override)}"
        for override in overrides
        if not (parts and override.key_or_group == "target")
        and section_of(override) not in (GROUP, *NOT_A_VARIANT)
        and not override.key_or_group.startswith("hydra")
    )
    if not told:
        return DEFAULT_VARIANT
    text = ",".join(told)
    safe = re.sub(r"[^A-Za-z0-9._=,@+-]", "_", text)
    if len(safe) > LONGEST_VARIANT or safe != text:
        digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:8]
        safe = f"{safe[: LONGEST_VARIANT - 9]}-{digest}"
    return safe


def told_overrides(texts: Sequence[str], overrides: Sequence[Override]) -> tuple[str, ...]:
    """Those that are part of what a variant is, as a person would write them; of a part, its own targets alone."""
    parts = any(one.key_or_group == ONLY for one in overrides)
    return tuple(
        text.replace(f"++{ONLY}=", "target=", 1) if text.startswith(f"++{ONLY}=") else text
        for text, one in zip(texts, overrides, strict=True)
        if section_of(one) not in NOT_TOLD and not (parts and one.key_or_group == "target")
    )


def section_of(override: Override) -> str:
    """The first part of a key."""
    return str(override.key_or_group).partition(".")[0]


def _key(override: Override) -> str:
    return f"{override.key_or_group}@{override.package}" if override.package else str(override.key_or_group)


def _plain(override: Override) -> str:
    value = None if override.is_delete() else override.value()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "+".join(value)
    return "" if override.is_delete() else str(override.get_value_element_as_str(space_after_sep=False))
