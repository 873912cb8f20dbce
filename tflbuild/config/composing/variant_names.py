"""What a variant is called: by what tells it from its recipe."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from itertools import pairwise

from hydra.core.override_parser.types import Override

from tflbuild.config.composing.hydra_config_sources import GROUP
from tflbuild.config.composing.preset_jobs import ONLY
from tflbuild.core.recipe import DEFAULT_VARIANT
from tflbuild.core.secrets import hide, replace_secrets_with_hashes
from tflbuild.errors import UsageError

LONGEST_VARIANT = 100
NOT_TOLD = ("store", "executor")  # where results lie, or are made, is no part of them; a URL may hold a password
ANY_TYPE = ".arguments"  # below it, a list of one text and the text itself are different values
LIST_SEPARATOR = "+"
SEPARATORS = re.compile(r"[+,]")
NOT_A_VARIANT = ("name", "output_root", "store", "sweep", "executor")


def name_variant(overrides: list[Override]) -> str:
    """Return a folder name from what was changed on the command line: `default` when nothing was.

    Two lists of overrides have one name only where they mean the same: what the name cannot tell apart, a digest does.
    """
    parts = any(override.key_or_group == ONLY for override in overrides)
    named = [
        override
        for override in drop_repeated(overrides)
        if not (parts and override.key_or_group == "target")
        and section_of(override) not in (GROUP, *NOT_A_VARIANT)
        and not override.key_or_group.startswith("hydra")
    ]
    if not named:
        return DEFAULT_VARIANT
    texts = [
        f"{'target' if override.key_or_group == ONLY else _key(override)}={_plain(override)}" for override in named
    ]
    exact = replace_secrets_with_hashes(",".join(sorted(texts)))
    text = hide(",".join(sorted(texts)))
    if _overlap(named) or any(map(_is_ambiguous, named)):
        pairs = [[_key(one), None if one.is_delete() else one.value()] for one in named]
        exact = replace_secrets_with_hashes(repr(pairs if _overlap(named) else sorted(pairs, key=repr)))
    safe = re.sub(r"[^A-Za-z0-9._=,@+-]", "_", text)
    if len(safe) > LONGEST_VARIANT or safe != exact:
        digest = hashlib.sha256(os.fsencode(exact)).hexdigest()[:8]
        safe = f"{safe[: LONGEST_VARIANT - 9]}-{digest}"
    return safe


def drop_repeated(overrides: Sequence[Override]) -> list[Override]:
    """Return the overrides without those that a later one of the same key replaces."""
    last = {
        (_key(override), override.is_delete()): index
        for index, override in enumerate(overrides)
        if not _is_mapping(override)
    }
    return [
        override
        for index, override in enumerate(overrides)
        if _is_mapping(override) or last[_key(override), override.is_delete()] == index
    ]


def require_swept(overrides: Sequence[Override]) -> None:
    """Raises UsageError for several values of a key that a later override of the command line replaces."""
    kept = drop_repeated(overrides)
    for override in overrides:
        if override.is_sweep_override() and override not in kept:
            raise UsageError(
                f"'{override.key_or_group}' is set again after its several values",
                where=f"command line: {override.input_line}",
                why="the last value of a key counts, so nothing would be swept",
                next_step=f"set '{override.key_or_group}' once",
            )


def _is_mapping(override: Override) -> bool:
    """Whether the value is merged into what is there, so that an earlier one stays."""
    return not override.is_delete() and isinstance(override.value(), dict)


def _overlap(overrides: Sequence[Override]) -> bool:
    """Whether a mapping sets what another override sets too, so that their order matters."""
    keys = sorted((f"{_key(override)}.", not _is_mapping(override)) for override in overrides)
    return any(later.startswith(earlier) and not plain for (earlier, plain), (later, _) in pairwise(keys))


def _is_ambiguous(override: Override) -> bool:
    """Whether the value reads like another one, or like several overrides, once it is part of a name."""
    value = None if override.is_delete() else override.value()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        unlike_text = len(value) > 1 or ANY_TYPE not in override.key_or_group
        return not unlike_text or any(not item or SEPARATORS.search(item) for item in value)
    return value == "" or (isinstance(value, str) and LIST_SEPARATOR in value)


def list_identifying_overrides(texts: Sequence[str], overrides: Sequence[Override]) -> tuple[str, ...]:
    """Those that are part of what a variant is, as a person would write them; of a part, its own targets alone."""
    parts = any(one.key_or_group == ONLY for one in overrides)
    return tuple(
        hide(text).replace(f"++{ONLY}=", "target=", 1) if text.startswith(f"++{ONLY}=") else hide(text)
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
        return LIST_SEPARATOR.join(value)
    return "" if override.is_delete() else str(override.get_value_element_as_str(space_after_sep=False))
