"""Explain values whose type a key does not accept, by the type that the schema declares."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig

from tflbuild.config.composing.target_key_errors import SEVERAL
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.errors import RecipeError

TYPE_ERROR = re.compile(
    r"could not be converted to|is not a valid bool|Cannot convert '|is not a ListConfig|Cannot assign"
    r"|is not a subclass of|is not a valid input for|is not Optional|Cannot merge \w+ with \w+"
)
VALUE = re.compile(r"Value '?(.*?)'? (?:of type|\(|is not)|Cannot convert '\w+' to string: '(.*)'$|value: (.*)$")
# Returns where a key was written.
Find = Callable[[str], str]
PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def convert_type_error(text: str, key: str, override: str, where: str) -> RecipeError | None:
    """Return the error for OmegaConf's message about the type of a value; None if the message is about something else.

    Args:
        text: The message.
        key: The dotted key.
        override: The override that set the key, or "".
        where: Where the key was written.
    """
    hint = next(_hints(re.split(r"[.\[]", key.replace("]", ""))), None) if TYPE_ERROR.search(text) else None
    type_text = "" if hint is None else describe_type(hint)
    if not type_text:
        return None
    value = "null" if "is not Optional" in text else override.partition("=")[2] or _value(text)
    return RecipeError(
        f"'{key}' takes {type_text}" + (f", not {value}" if value else ""),
        where=where,
        why=f"its keys: {', '.join(spec.name for spec in fields(hint))}" if is_dataclass(hint) else "",
        next_step=_example(key, hint),
    )


def require_plain(values: ListConfig, key: str, find: Find) -> None:
    """Raise RecipeError for a mapping or a list in a list of plain values, such as `a: b`. OmegaConf accepts it."""
    plain = PLAIN.get(values._metadata.element_type)
    if plain is None or values._is_none() or values._is_missing():
        return
    for index, node in enumerate(values._iter_ex(resolve=False)):
        if isinstance(node, DictConfig | ListConfig):
            raise RecipeError(
                f"'{key}[{index}]' takes {plain}, not {node}", where=find(key), next_step="quote it if it is one text"
            )


def scalar_for_keys(kind: str, value: str, find: Find) -> RecipeError:
    """Return the error for a value where keys belong, such as `quantization: int8` in a recipe.

    Args:
        kind: The name of the class that has the keys.
        value: The value as text.
        find: Returns where a key was written.
    """
    for group, options in schema.OPTIONS.items():
        if kind in {base.__name__ for option in options.values() for base in option.__mro__}:
            return RecipeError(
                f"'{group}' takes keys, not the value {value}",
                where=find(group),
                why="an option is chosen in the recipe's defaults, or on the command line",
                next_step=f"defaults:\n  - override /{group}: {value}",
            )
    keys = [*_keys_of(kind), (kind, None)]
    # Several keys may have this class: the one that the recipe has is meant.
    key, hint = next((entry for entry in keys if find(entry[0]) != entry[0]), keys[0])
    names = ", ".join(spec.name for spec in fields(hint)) if hint is not None else ""
    return RecipeError(
        f"'{key}' takes keys, not the value {value}", where=find(key), why=f"its keys: {names}" if names else ""
    )


def _keys_of(kind: str) -> Iterator[tuple[str, Any]]:
    """Yield (key, class) of each key whose class has this name in the schema."""
    options = [(f"{group}.", node) for group, nodes in schema.OPTIONS.items() for node in nodes.values()]
    for prefix, start in [("", schema.RecipeConfig), *options]:
        for name, hint in get_type_hints(start).items():
            if is_dataclass(hint) and getattr(hint, "__name__", "") == kind:
                yield f"{prefix}{name}", hint


def describe_type(hint: Any) -> str:
    """Describe the values that a declared type accepts, such as "a whole number".

    "" for a type that accepts anything.
    """
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {', '.join(member.name for member in hint)}"
    if hint in PLAIN:
        return PLAIN[hint]
    if is_dataclass(hint):
        return "keys"
    return {list: "a list", dict: "names with values"}.get(get_origin(hint) or hint, "")


def _example(key: str, hint: Any) -> str:
    inner = get_args(hint)
    if get_origin(hint) is list:
        return f"{key}=[{'{...}' if is_dataclass(inner[0]) else '...'}]"
    if get_origin(hint) is dict:
        return f"{key}={{NAME: {'{...}' if is_dataclass(inner[1]) else '...'}}}"
    return f"{key}.{fields(hint)[0].name}=..." if is_dataclass(hint) else ""


def _value(text: str) -> str:
    match = VALUE.search(text)
    return next(filter(None, match.groups()), "") if match else ""


def _hints(path: list[str]) -> Iterator[Any]:
    """Yield the types that the schema declares for a key, for each option of its group."""
    group, *rest = path
    starts: list[Any] = list(schema.OPTIONS.get(group, {}).values())
    if group == SEVERAL and rest:
        starts = [schema.OPTIONS[SEVERAL][rest[0]]] if rest[0] in schema.OPTIONS[SEVERAL] else []
        rest = rest[1:]
    if not starts:
        starts, rest = [schema.RecipeConfig], path
    for hint in starts:
        key_type = _walk(hint, rest)
        if key_type is not None and rest:
            yield key_type


def _walk(hint: Any, path: list[str]) -> Any:
    """Return the type at the end of a path that starts at a type, or None."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(member for member in get_args(hint) if member is not type(None))
    if not path:
        return hint
    if is_dataclass(hint):
        inner = get_type_hints(hint).get(path[0])
    else:
        inner = get_args(hint)[-1] if get_origin(hint) in (list, dict) else None
    return None if inner is None else _walk(inner, path[1:])
