"""Digests of files and of JSON values.

All digests are SHA-256 in lower-case hexadecimal digits. The digest of a value is over a tag and the canonical JSON of
the value. The tag makes sure that values of different meaning have different digests even if their JSON is equal.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

# None, bool, int, finite float, str, and nested lists and dicts with string keys.
Json = Any


class HasIdentity:
    """A value that is represented in digests by another text than its own, such as a URL with a password."""

    __slots__ = ()

    @property
    def identity(self) -> str:
        """Return the text that represents the value in JSON."""
        raise NotImplementedError


def canonical_json(value: Json) -> bytes:
    """Return a value as UTF-8 JSON with sorted keys and no white space. Equal values result in equal bytes.

    Tuples are written as lists. The integer 1 and the float 1.0 result in different bytes, as in YAML.

    Raises:
        TypeError: A key is not a string, or a value has a type that JSON lacks.
        ValueError: A float is NaN or infinite.
    """
    _reject_uncanonical(value)
    text = json.dumps(plain_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _reject_uncanonical(value: Json) -> None:
    """Raise TypeError or ValueError for a value that canonical JSON cannot represent."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, str):
                raise TypeError(f"canonical JSON has string keys only, not {name!r}")
            _reject_uncanonical(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _reject_uncanonical(item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"canonical JSON has no {value!r}")


def plain_json(value: Json) -> Json:
    """Return a value with dicts for mappings, lists for tuples, and the identity of values that have one."""
    return map_leaves(value, lambda leaf: leaf.identity if isinstance(leaf, HasIdentity) else leaf)


def map_leaves(value: Json, change: Callable[[Json], Json]) -> Json:
    """Return a nested value as dicts and lists, with `change` applied to every value that is neither."""
    if isinstance(value, Mapping):
        return {name: map_leaves(item, change) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [map_leaves(item, change) for item in value]
    return change(value)


def leaves(value: Json, prefix: str = "") -> dict[str, Json]:
    """Return the leaves of a nested value by dotted name. An empty list or dict is a leaf."""
    if isinstance(value, Mapping) and value:
        values: dict[str, Json] = {}
        for name, item in value.items():
            values |= leaves(item, f"{prefix}.{name}" if prefix else str(name))
        return values
    if isinstance(value, (list, tuple)) and value:
        values = {}
        for index, item in enumerate(value):
            values |= leaves(item, f"{prefix}.{index}")
        return values
    return {prefix: value}


def hash_value(tag: str, value: Json) -> str:
    """Return the digest of a value: the SHA-256 of its tag and its canonical JSON."""
    return hashlib.sha256(tag.encode() + b"\0" + canonical_json(value)).hexdigest()


def hash_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def hash_tree(files: Mapping[str, str]) -> str:
    """Return the digest of a folder, which is over the relative POSIX paths and the digests of its files.

    Args:
        files: The digest of each file, by its relative POSIX path.
    """
    return hash_value("Tree", dict(files))
