"""The JSON schema of recipe files, for editors: docs/recipe.schema.json.

It comes from the same dataclasses and texts as docs/reference.md. The option of a group is chosen in the defaults list
of a recipe, so for each option there is a condition on that list. A group without a choice there may have the keys of
any of its options.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from tflbuild.config.reference.schema_texts import class_text, field_text
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.config.schema.schema_data import DatasetConfig
from tflbuild.core.digest import Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLAIN_TYPES: Mapping[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
# Hydra replaces `${...}` while it composes, and `???` is a value that is still missing: every value may be one of them.
OPEN_VALUE: Json = {"type": "string", "pattern": r"\$\{|^\?\?\?$"}
OPEN_REFERENCE: Json = {"$ref": "#/$defs/open"}


def recipe_schema() -> dict[str, Json]:
    """Return the schema of a recipe file."""
    groups = {group: {"anyOf": [_reference(group, option) for option in schema.OPTIONS[group]]} for group in _groups()}
    single = {spec.name: _field_schema(schema.RecipeConfig, spec) for spec in _single_fields()}
    return {
        "$schema": DIALECT,
        "title": "A recipe of tflbuild",
        "type": "object",
        "properties": {"defaults": {"type": "array"}, **single, **groups, "target": _target_schema()},
        "additionalProperties": False,
        "allOf": [_condition(group, option) for group in _groups() for option in schema.OPTIONS[group]],
        "$defs": {"open": OPEN_VALUE, **_definitions()},
    }


def _groups() -> list[str]:
    """Return the groups of which a recipe has one option. It may have several targets, each below its own name."""
    return [group for group in schema.OPTIONS if group != "target"]


def _target_schema() -> dict[str, Json]:
    """Return the schema of `target`: profiles below their names. A project may have profiles with other names."""
    return {
        "type": "object",
        "properties": {option: _reference("target", option) for option in schema.OPTIONS["target"]},
    }


def _single_fields() -> list[Field[Any]]:
    """Return the keys of a recipe that are no group."""
    return [spec for spec in fields(schema.RecipeConfig) if spec.name not in schema.OPTIONS]


def _definitions() -> dict[str, Json]:
    """Return the schema of every option, and of every other dataclass that is the type of a key."""
    definitions: dict[str, Json] = {
        f"{group}.{option}": _class_schema(kind)
        for group, options in schema.OPTIONS.items()
        for option, kind in options.items()
    }
    hints = _hints(schema.RecipeConfig)
    todo = [hints[spec.name] for spec in _single_fields()]
    todo += [hint for options in schema.OPTIONS.values() for kind in options.values() for hint in _hints(kind).values()]
    while todo:
        for kind in _list_classes(todo.pop()):
            if kind.__name__ not in definitions:
                definitions[kind.__name__] = _class_schema(kind)
                todo += _hints(kind).values()
    return definitions


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's keys."""
    return typing.get_type_hints(kind)


def _list_classes(hint: Any) -> list[type]:
    """Return the dataclasses in the type of a key. A dataset is one of the options of its group."""
    if isinstance(hint, type) and is_dataclass(hint):
        return [] if hint is DatasetConfig else [hint]
    return [kind for argument in typing.get_args(hint) for kind in _list_classes(argument)]


def _reference(group: str, option: str) -> Json:
    return {"$ref": f"#/$defs/{group}.{option}"}


def _condition(group: str, option: str) -> Json:
    """Return: when the defaults list chooses an option of a group, the group has the keys of that option."""
    choices = [
        {"type": "object", "properties": {key: {"const": option}}, "required": [key]}
        for key in (f"override /{group}", f"/{group}")
    ]
    chosen = {"properties": {"defaults": {"contains": {"anyOf": choices}}}, "required": ["defaults"]}
    return {"if": chosen, "then": {"properties": {group: _reference(group, option)}}}


def _class_schema(kind: type) -> dict[str, Json]:
    unused = getattr(kind, "unused", ())
    keys = {spec.name: _field_schema(kind, spec) for spec in fields(kind) if spec.name not in unused}
    return {
        "type": "object",
        "description": class_text(kind),
        "properties": keys,
        "additionalProperties": False,
    }


def _field_schema(kind: type, spec: Field[Any]) -> dict[str, Json]:
    value = _type_schema(_hints(kind)[spec.name])
    text = field_text(kind, spec.name)
    documented = {**value, "description": " ".join(text.split())} if text else value
    default = spec.default.value if isinstance(spec.default, Enum) else spec.default
    return documented if default is MISSING or default == "???" else {**documented, "default": default}


def _type_schema(hint: Any) -> dict[str, Json]:
    """Return the schema of a field's type. Every value may be open as well."""
    return {} if hint is Any else {"anyOf": [*_alternatives(hint), OPEN_REFERENCE]}


def _alternatives(hint: Any) -> list[Json]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return [schema for argument in arguments for schema in _alternatives(argument)]
    if hint is type(None):
        return [{"type": "null"}]
    if origin is list:
        return [{"type": "array", "items": _type_schema(arguments[0])}]
    if origin is dict:
        return [{"type": "object", "additionalProperties": _type_schema(arguments[1])}]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [{"enum": [member.value for member in hint]}]
    if hint is DatasetConfig:
        return [_reference("dataset", option) for option in schema.OPTIONS["dataset"]]
    if is_dataclass(hint) and isinstance(hint, type):
        return [{"$ref": f"#/$defs/{hint.__name__}"}]
    return [{"type": PLAIN_TYPES[hint]}] if hint in PLAIN_TYPES else [{}]
