"""Freeze the section of a recipe that becomes TFLite Metadata of the artifact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.schema import schema_metadata as schema
from tflbuild.core.digest import Json
from tflbuild.core.recipe import Metadata

FILE_KEYS = ("labels", "value_labels", "vocabulary", "file", "path")
PLACE = "metadata"
COUNTED, GREATEST = ("sample_rate", "channels"), 2**32 - 1  # 32 bits in the format
UNSAID_AT_ZERO = ("sample_rate", "channels", "default_score")


def freeze_metadata(metadata: schema.MetadataConfig, name: str, refusals: RecipeErrors) -> Metadata | None:
    """Return the metadata, or None if all keys have their defaults.

    Raises:
        RecipeError: for a number out of range, and for a file name that is not valid or not unique.
    """
    told = _plain(asdict(metadata))
    if not told:
        return None
    for key, value in _leaves(told, PLACE):
        if isinstance(value, float) and not math.isfinite(value):
            raise refusals.refuse(f"'{key}' is {value}, and must be a finite number", key)
        refusals.require(value != 0 or not key.endswith(".std"), key, value, "without zeros: it divides")
        if key.rpartition(".")[2] in COUNTED and not 0 <= value <= GREATEST:
            raise refusals.refuse(f"'{key}' is {value}, and must be from 1 to {GREATEST:,}", key)
    for file, packed in metadata.files.items():
        plain = bool(file) and PurePosixPath(file).name == file and file not in (".", "..")
        refusals.require(
            plain, f"{PLACE}.files", f"'{file}'", "a plain file name: files lie side by side in an artifact"
        )
        refusals.require(bool(packed.path), f"{PLACE}.files.{file}.path", "empty", "set")
    paths = {key: str(value) for key, value in _leaves(told, PLACE) if key.rpartition(".")[2] in FILE_KEYS}
    names = {key: _packed_name(key, path) for key, path in paths.items()}
    for key, packed_as in names.items():
        first = next(other for other in names if names[other] == packed_as)
        if paths[first] != paths[key]:
            raise refusals.refuse(
                f"two files would be called '{packed_as}' in the artifact",
                key,
                why=f"'{paths[first]}' ({first}) and '{paths[key]}'",
                next_step="rename one of them",
            )
    files = {packed_as: (key, paths[key]) for key, packed_as in reversed(names.items())}
    described = _described(told, names, PLACE)
    described.setdefault("name", name)
    if "files" in described:
        described["files"] = {file: one.get("description", "") for file, one in described["files"].items()}
    return Metadata(described, tuple(sorted((packed, *where) for packed, where in files.items())))


def _packed_name(key: str, path: str) -> str:
    return key.split(".", 2)[2].rpartition(".")[0] if key.startswith(f"{PLACE}.files.") else PurePosixPath(path).name


def _plain(value: Any) -> Any:
    """Return the values without those that have their defaults, which mean that nothing is declared."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        plain = {str(name): _plain(one) for name, one in value.items()}
        unsaid = {name for name in UNSAID_AT_ZERO if name in plain and not plain[name]}
        return {name: one for name, one in plain.items() if one not in ("", None, [], {}) and name not in unsaid}
    return [float(one) for one in value] if isinstance(value, list) else value


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if pairs is None:
        yield place, value
        return
    for name, one in pairs:
        yield from _leaves(one, place if isinstance(value, list) else f"{place}.{name}")


def _described(value: Any, names: dict[str, str], place: str) -> Json:
    """Return the values with every file path replaced by the file's name in the artifact."""
    if isinstance(value, dict):
        return {name: _described(one, names, f"{place}.{name}") for name, one in value.items()}
    return names.get(place, value)
