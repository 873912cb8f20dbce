"""Conversion of JSON to dataclasses, by their annotations."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from tflbuild.core.digest import Json

Made = TypeVar("Made")


def from_json(kind: type[Made], value: Json, place: str = "") -> Made:
    """Return an instance of a dataclass from a JSON object. Unknown keys are ignored.

    Args:
        kind: The dataclass. The types of its fields may be str, int, float, bool, Any, tuple[X, ...], Mapping[str, X],
            other dataclasses, and unions of one of these with None.
        value: The JSON object.
        place: The dotted name of the object, for errors.

    Raises:
        ValueError: A value is missing or has another type. The text names it.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{place or 'it'} is no object")
    hints = get_type_hints(kind)
    values = {}
    for spec in fields(kind):  # type: ignore[arg-type]
        inside = f"{place}.{spec.name}" if place else spec.name
        if spec.name in value:
            values[spec.name] = _convert(hints[spec.name], value[spec.name], inside)
        elif spec.default is MISSING and spec.default_factory is MISSING:
            raise ValueError(f"{inside} is missing")
    return kind(**values)


def _convert(hint: Any, value: Json, place: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        (other,) = (member for member in get_args(hint) if member is not type(None))
        return _convert(other, value, place)
    if is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(get_args(hint)[0], item, f"{place}[{index}]") for index, item in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {name: _convert(get_args(hint)[1], item, f"{place}.{name}") for name, item in value.items()}
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if (hint is float and number) or (isinstance(hint, type) and type(value) is hint):
        return value
    raise ValueError(f"{place} is {value!r:.40}, of the wrong type")
