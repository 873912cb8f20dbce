"""Refuse overrides and values that would take unbounded time or memory, or that no later stage can work with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.core.untrusted_files import find_invalid_value
from tflbuild.errors import RecipeError, UsageError

# The maximum length of an override. Hydra's grammar reads about 10,000 characters a second.
MOST_CHARACTERS = 20_000
MOST_DEPTH = 30
# The maximum number of characters after interpolations are resolved, which takes about 30 us an interpolation.
MOST_RESOLVED = 1 << 17
OPENING, CLOSING = "[{(", "]})"
UNREPEATABLE = re.compile(r"\$\{(now|random|hydra):?")
LONG_NUMBER = re.compile(r"\d{100,}")
NAME = re.compile(r"\w+(?:[.\[\]]+\w+)*")


def require_readable(overrides: Sequence[str]) -> None:
    """Raise UsageError for an override that is too long, nested too deeply, or not text."""
    for override in overrides:
        depth = deepest = 0
        for character in override[: MOST_CHARACTERS + 1]:
            depth += (character in OPENING) - (character in CLOSING)
            deepest = max(deepest, depth)
        reason = find_invalid_value(override)
        if len(override) > MOST_CHARACTERS:
            reason = f"it has {len(override):,} characters, and at most {MOST_CHARACTERS:,} are read"
        elif deepest > MOST_DEPTH:
            reason = f"its brackets are nested {deepest} levels deep, and at most {MOST_DEPTH} are read"
        elif long := LONG_NUMBER.search(override):
            reason = f"a number has {len(long[0])} digits"
        if reason:
            beginning = override[:40].encode(errors="backslashreplace").decode()
            raise UsageError(
                f"cannot read the override '{beginning}'",
                where="command line",
                why=reason,
                next_step="write long lists and nested values in the recipe's file",
            )


def list_values(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yield the plain values in mappings, sequences and dataclasses, each with its dotted key.

    The names in a mapping are yielded as values, too.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = {spec.name: getattr(value, spec.name) for spec in fields(value)}
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield key, name
            yield from list_values(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from list_values(item, f"{key}.{index}")
    else:
        yield key, value


def require_plain(value: object, locations: KeyLocations) -> None:
    """Raise RecipeError for a text that no file can contain, and for a number outside of 64 bits."""
    for key, item in list_values(value):
        # Whether a key accepts infinity is checked by the rule of that key.
        reason = "" if isinstance(item, float) else find_invalid_value(item)
        if isinstance(item, str) and "\0" in item:
            reason = "a text has a null character"
        if reason:
            raise RecipeError(f"the value of '{key}' cannot be used", where=locations.find(key), why=reason)


def require_repeatable(text: str, locations: KeyLocations) -> None:
    """Raise RecipeError for an interpolation whose value differs from run to run."""
    if computed := UNREPEATABLE.search(text):
        raise RecipeError(
            f"a recipe may not use ${{{computed[1]}:...}}",
            where=locations.recipe_text(),
            why="its value differs from run to run, so the artifact could not be built again",
            next_step="write the value itself, or read it from the environment with ${oc.env:NAME}",
        )


def require_bounded(plain: object, locations: KeyLocations) -> None:
    """Raise RecipeError for interpolations that expand to more than MOST_RESOLVED characters.

    Values that name each other twice grow exponentially. The bound is computed from names only: a name that may mean
    several keys counts as the longest of them.
    """
    texts: dict[str, str] = {}
    for key, item in list_values(plain):
        if isinstance(item, str) and "${" in item:
            texts[key] = texts.get(key, "") + item
    sizes: dict[str, int] = {}
    total = sum(_measure(key, texts, sizes) for key in texts)
    if total > MOST_RESOLVED:
        key = max(sizes, key=sizes.__getitem__)
        raise RecipeError(
            f"the interpolations of '{key}' expand to too much text",
            where=locations.find(key),
            why=f"resolved, they may have {total:,} characters, and at most {MOST_RESOLVED:,} are read",
            next_step="write the values out",
        )


def _measure(key: str, texts: Mapping[str, str], sizes: dict[str, int]) -> int:
    if key not in sizes:
        # A key that is met again while it is measured is part of a cycle, which OmegaConf refuses.
        sizes[key] = 0
        text = texts[key]
        sizes[key] = len(text) + sum(_measure_name(name, texts, sizes) for name in _names(text, texts))
    return sizes[key]


def _names(text: str, texts: Mapping[str, str]) -> list[str]:
    """Return the names that a text may refer to. A computed name may be any key: "", with which every key ends."""
    names = NAME.findall(text)
    computed = re.findall(r"\$\{[^:{}]*\$\{", text)
    return names + [""] * len(computed)


def _measure_name(name: str, texts: Mapping[str, str], sizes: dict[str, int]) -> int:
    dotted = re.sub(r"[.\[\]]+", ".", name).strip(".")
    exact = [dotted] if dotted in texts else []
    below = [key for key in texts if key.startswith(f"{dotted}.")] if dotted else []
    similar = [] if exact or below else [key for key in texts if not dotted or key.endswith(f".{dotted}")]
    inside = sum(_measure(key, texts, sizes) for key in below)
    return max([inside, *(_measure(key, texts, sizes) for key in (*exact, *similar))])
