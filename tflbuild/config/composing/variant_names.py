"""Name variants by the overrides in which they differ from their recipe."""

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
# Where results are stored or made does not identify a variant. A URL may contain a password, too.
UNLISTED_SECTIONS = ("store", "executor")
# In this mapping, a list of one text and the text itself are different values.
ANY_TYPE = ".arguments"
LIST_SEPARATOR = "+"
SEPARATORS = re.compile(r"[+,]")
NOT_A_VARIANT = ("name", "output_root", "store", "sweep", "executor")


def name_variant(overrides: list[Override]) -> str:
    """Return the folder name of a variant: its overrides, or `default` without overrides.

    Two lists of overrides have the same name only if they mean the same. A digest is added where the texts are
    ambiguous.
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
        pairs = [[_key(override), None if override.is_delete() else override.value()] for override in named]
        exact = replace_secrets_with_hashes(repr(pairs if _overlap(named) else sorted(pairs, key=repr)))
    safe = re.sub(r"[^A-Za-z0-9._=,@+-]", "_", text)
    if len(safe) > LONGEST_VARIANT or safe != exact:
        digest = hashlib.sha256(os.fsencode(exact)).hexdigest()[:8]
        safe = f"{safe[: LONGEST_VARIANT - 9]}-{digest}"
    return safe


def drop_repeated(overrides: Sequence[Override]) -> list[Override]:
    """Return the overrides without those that a later override of the same key replaces."""
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
    """Raise UsageError for several values of a key that a later override replaces."""
    effective = drop_repeated(overrides)
    for override in overrides:
        if override.is_sweep_override() and override not in effective:
            raise UsageError(
                f"'{override.key_or_group}' is set again after its several values",
                where=f"command line: {override.input_line}",
                why="the last value of a key is used, so nothing would be swept",
                next_step=f"set '{override.key_or_group}' once",
            )


def _is_mapping(override: Override) -> bool:
    """Return whether the value is a mapping, which is merged with earlier values."""
    return not override.is_delete() and isinstance(override.value(), dict)


def _overlap(overrides: Sequence[Override]) -> bool:
    """Return whether a mapping sets a key that another override sets too, so that their order matters."""
    keys = sorted((f"{_key(override)}.", not _is_mapping(override)) for override in overrides)
    return any(later.startswith(earlier) and not plain for (earlier, plain), (later, _) in pairwise(keys))


def _is_ambiguous(override: Override) -> bool:
    """Return whether the value, as a part of a name, looks like another value or like several overrides."""
    value = None if override.is_delete() else override.value()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        unlike_text = len(value) > 1 or ANY_TYPE not in override.key_or_group
        return not unlike_text or any(not item or SEPARATORS.search(item) for item in value)
    return value == "" or (isinstance(value, str) and LIST_SEPARATOR in value)


def list_identifying_overrides(texts: Sequence[str], overrides: Sequence[Override]) -> tuple[str, ...]:
    """Return the overrides that identify a variant, as a user would write them. A part keeps only its own targets."""
    parts = any(override.key_or_group == ONLY for override in overrides)
    return tuple(
        hide(text).replace(f"++{ONLY}=", "target=", 1) if text.startswith(f"++{ONLY}=") else hide(text)
        for text, override in zip(texts, overrides, strict=True)
        if section_of(override) not in UNLISTED_SECTIONS and not (parts and override.key_or_group == "target")
    )


def section_of(override: Override) -> str:
    """Return the first part of the key of an override."""
    return str(override.key_or_group).partition(".")[0]


def _key(override: Override) -> str:
    return f"{override.key_or_group}@{override.package}" if override.package else str(override.key_or_group)


def _plain(override: Override) -> str:
    value = None if override.is_delete() else override.value()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return LIST_SEPARATOR.join(value)
    return "" if override.is_delete() else str(override.get_value_element_as_str(space_after_sep=False))
