"""Refuse overrides and values that would take unbounded time or memory, or that no later stage can work with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.core.untrusted_files import find_invalid_value
from tflbuild.errors import RecipeError, UsageError

MOST_CHARACTERS = 20_000  # of an override: Hydra's grammar reads about 10,000 a second
MOST_DEPTH = 30
MOST_RESOLVED = 1 << 17  # characters of all values whose interpolations are resolved; 30 us an interpolation
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
        why = find_invalid_value(override)
        if len(override) > MOST_CHARACTERS:
            why = f"it has {len(override):,} characters, and at most {MOST_CHARACTERS:,} are read"
        elif deepest > MOST_DEPTH:
            why = f"its brackets are nested {deepest} levels deep, and at most {MOST_DEPTH} are read"
        elif long := LONG_NUMBER.search(override):
            why = f"a number has {len(long[0])} digits"
        if why:
            shown = override[:40].encode(errors="backslashreplace").decode()
            raise UsageError(
                f"cannot read the override '{shown}'",
                where="command line",
                why=why,
                next_step="write long lists and nested values in the recipe's file",
            )


def list_values(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yield the plain values below mappings, sequences and dataclasses, each with its dotted key; names are values."""
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
    """Raise RecipeError for a text that no file can hold, and for a number outside 64 bits."""
    for key, item in list_values(value):
        why = (
            "" if isinstance(item, float) else find_invalid_value(item)
        )  # whether a key takes infinity is its own rule
        if isinstance(item, str) and "\0" in item:
            why = "a text has a null character"
        if why:
            raise RecipeError(f"the value of '{key}' cannot be used", where=locations.find(key), why=why)


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
    """Raise RecipeError for interpolations that stand for more than MOST_RESOLVED characters.

    Values that name each other twice grow exponentially. The bound is computed from names alone: a name that may mean
    several keys counts as the longest.
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
            f"the interpolations of '{key}' stand for too much text",
            where=locations.find(key),
            why=f"resolved, they may have {total:,} characters, and at most {MOST_RESOLVED:,} are read",
            next_step="write the values out",
        )


def _measure(key: str, texts: Mapping[str, str], sizes: dict[str, int]) -> int:
    if key not in sizes:
        sizes[key] = 0  # a cycle, which OmegaConf refuses
        text = texts[key]
        sizes[key] = len(text) + sum(_measure_name(name, texts, sizes) for name in _names(text, texts))
    return sizes[key]


def _names(text: str, texts: Mapping[str, str]) -> list[str]:
    """Return the names that a text may refer to. A name that is computed may be any: the empty one, which ends all."""
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
