"""What things are called: digests name bytes, keys name work.

Both are SHA-256 in lower-case hex, of a file's bytes and of tagged canonical JSON respectively.
The tag keeps values of different meaning apart even when their JSON is the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

Json = Any  # None, bool, int, finite float, str, list and str-keyed dict, nested


class HasIdentity:
    """A value that keys know by another text than its own."""

    __slots__ = ()

    @property
    def identity(self) -> str:
        """What stands for it in JSON."""
        raise NotImplementedError


def canonical_json(value: Json) -> bytes:
    """UTF-8 JSON with sorted keys and no white space: equal values give equal bytes.

    Tuples count as lists. A float keeps its point, so 1 and 1.0 differ, as their YAML does.
    Raises TypeError for a key that is not a string or a value that JSON lacks, ValueError for NaN
    and the infinities.
    """
    _reject_uncanonical(value)
    text = json.dumps(plain_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _reject_uncanonical(value: Json) -> None:
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
    """The value as it reads back from JSON: mappings as dicts, tuples as lists, what is secret as its identity."""
    return map_leaves(value, lambda leaf: leaf.identity if isinstance(leaf, HasIdentity) else leaf)


def map_leaves(value: Json, change: Callable[[Json], Json]) -> Json:
    """A nested value as dicts and lists, with each value that is none of them changed."""
    if isinstance(value, Mapping):
        return {name: map_leaves(item, change) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [map_leaves(item, change) for item in value]
    return change(value)


def leaves(value: Json, prefix: str = "") -> dict[str, Json]:
    """A nested value as dotted names of its leaves; an empty list or dict is a leaf."""
    if isinstance(value, Mapping) and value:
        found: dict[str, Json] = {}
        for name, item in value.items():
            found |= leaves(item, f"{prefix}.{name}" if prefix else str(name))
        return found
    if isinstance(value, (list, tuple)) and value:
        found = {}
        for index, item in enumerate(value):
            found |= leaves(item, f"{prefix}.{index}")
        return found
    return {prefix: value}


def hash_value(tag: str, value: Json) -> str:
    """The name of a value: SHA-256 over its tag and its canonical JSON."""
    return hashlib.sha256(tag.encode() + b"\0" + canonical_json(value)).hexdigest()


def hash_bytes(data: bytes) -> str:
    """SHA-256 of `data`, hex."""
    return hashlib.sha256(data).hexdigest()


def hash_tree(files: Mapping[str, str]) -> str:
    """The digest of a folder: over its files' relative POSIX paths and digests."""
    return hash_value("Tree", dict(files))
