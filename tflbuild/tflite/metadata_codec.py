"""Conversion of TFLite Metadata between JSON and a flatbuffer.

The JSON is that of `flatc --json`: a table is an object of the fields that are set, and an enumeration is the name of
its value. A union `options` has the name of its member in `options_type`. Numbers and enumerations that the flatbuffer
omits have their default, 0, in the JSON.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np

from tflbuild.tflite.metadata_schema import (
    ALIGNMENT,
    ENUMERATIONS,
    FIRST_VERSION,
    IDENTIFIER,
    NUMBERS,
    SINCE,
    TABLES,
    UNIONS,
)

Json = Any
ROOT = "ModelMetadata"
# The largest number of values in a file. Offsets of a malicious file may refer to the same bytes again and again.
MOST_VALUES = 1_000_000


def encode_metadata(tree: Mapping[str, Json]) -> bytes:
    """Return a ModelMetadata as a flatbuffer with its identifier. Equal trees result in equal bytes.

    `min_parser_version` is set to the oldest version that has everything in the tree.

    Args:
        tree: A ModelMetadata as JSON.

    Raises:
        KeyError: A field does not exist in the schema.
        ValueError: A value of an enumeration does not exist in the schema.
    """
    builder = flatbuffers.Builder(1024)
    full_tree = {**tree, "min_parser_version": least_parser_version(tree)}
    builder.Finish(_write_table(builder, ROOT, full_tree), IDENTIFIER)
    return bytes(builder.Output())


def least_parser_version(tree: Mapping[str, Json], table: str = ROOT) -> str:
    """Return the first version of the schema that has everything in the tree."""
    versions = [FIRST_VERSION]
    for name, value in tree.items():
        if name not in TABLES[table] or value is None or value == []:
            continue
        versions.append(SINCE.get((table, name), FIRST_VERSION))
        kind = TABLES[table][name].strip("[]")
        for element in value if isinstance(value, list) else [value]:
            if kind in ENUMERATIONS:
                versions.append(SINCE.get((kind, element), FIRST_VERSION))
            elif kind in UNIONS:
                versions.append(SINCE.get((kind, tree[f"{name}_type"]), FIRST_VERSION))
                versions.append(least_parser_version(element, tree[f"{name}_type"]))
            elif kind in TABLES:
                versions.append(least_parser_version(element, kind))
    return max(versions, key=lambda version: [int(part) for part in version.split(".")])


def _write_table(builder: Any, table: str, tree: Mapping[str, Json]) -> int:
    """Write a table without its empty fields, and return its offset."""
    fields = TABLES[table]
    known = {*fields, *(f"{name}_type" for name, kind in fields.items() if kind in UNIONS)}
    if unknown := sorted(set(tree) - known):
        raise KeyError(f"{table} has no field {', '.join(unknown)}")
    set_ = {name: tree[name] for name in fields if tree.get(name) is not None and tree[name] != []}
    offsets = {name: _write_far(builder, fields[name], tree, name) for name in set_ if not _is_near(fields[name])}
    builder.StartObject(sum(2 if kind in UNIONS else 1 for kind in fields.values()))
    slot = 0
    for name, kind in fields.items():
        if kind in UNIONS:
            if name in offsets:
                builder.PrependUint8Slot(slot, UNIONS[kind].index(tree[f"{name}_type"]) + 1, 0)
            slot += 1
        if name in offsets:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[name], 0)
        elif name in set_:
            _write_near(builder, slot, kind, set_[name])
        slot += 1
    return int(builder.EndObject())


def _is_near(kind: str) -> bool:
    """Return whether the value of a field is stored in the table itself."""
    return kind in NUMBERS or kind in ENUMERATIONS


def _write_near(builder: Any, slot: int, kind: str, value: Json) -> None:
    if kind in ENUMERATIONS:
        builder.PrependInt8Slot(slot, ENUMERATIONS[kind].index(value), 0)
    elif kind == "int":
        builder.PrependInt32Slot(slot, value, 0)
    elif kind == "uint":
        builder.PrependUint32Slot(slot, value, 0)
    else:
        builder.PrependFloat32Slot(slot, value, 0.0)


def _write_far(builder: Any, kind: str, tree: Mapping[str, Json], name: str) -> int:
    """Write the target of a field, and return its offset. Targets are written before the table."""
    value = tree[name]
    if kind == "string":
        return int(builder.CreateString(value))
    if kind == "bytes":
        return _write_vector(builder, "B", list(bytes.fromhex(value)), 1, ALIGNMENT)
    if kind in UNIONS:
        return _write_table(builder, tree[f"{name}_type"], value)
    if not kind.startswith("["):
        return _write_table(builder, kind, value)
    inner = kind.strip("[]")
    if inner in NUMBERS:
        return _write_vector(builder, NUMBERS[inner], value, 4, 4)
    offsets = [
        builder.CreateString(element) if inner == "string" else _write_table(builder, inner, element)
        for element in value
    ]
    return _write_vector(builder, "", offsets, 4, 4)


def _write_vector(builder: Any, form: str, values: Sequence[Any], size: int, alignment: int) -> int:
    """Write a vector of numbers in a `struct` format, or of offsets if the format is empty."""
    put = {
        "": builder.PrependUOffsetTRelative,
        "B": builder.PrependUint8,
        "i": builder.PrependInt32,
        "I": builder.PrependUint32,
        "f": builder.PrependFloat32,
    }[form]
    builder.StartVector(size, len(values), alignment)
    for value in reversed(values):
        put(value)
    return int(builder.EndVector())


def decode_metadata(raw: bytes) -> dict[str, Json]:
    """Return a ModelMetadata flatbuffer as JSON.

    Fields of a newer schema are ignored. An unknown value of an enumeration or union is represented by its number.

    Raises:
        ValueError: The bytes are not such a flatbuffer, or an offset in it is not valid.
    """
    if raw[4:8] != IDENTIFIER:
        raise ValueError(f"its identifier is not {IDENTIFIER.decode()}")
    reader = _Reader(raw)
    try:
        return reader.table(ROOT, reader.follow(0))
    except struct.error as error:
        raise ValueError(f"an offset in it leads nowhere: {error}") from error


@dataclass
class _Reader:
    raw: bytes
    left: int = MOST_VALUES

    def at(self, form: str, place: int) -> Any:
        """Return a number at a position.

        Raises:
            struct.error: The position is outside of the bytes.
            ValueError: Too many values were read.
        """
        self.left -= 1
        if place < 0 or self.left < 0:
            raise ValueError("an offset in it leads nowhere, or it has no end")
        return struct.unpack_from(f"<{form}", self.raw, place)[0]

    def number(self, kind: str, place: int) -> Json:
        """Return a number as JSON. A float32 has the fewest digits that identify it; NaN and infinity are names."""
        value = self.at(NUMBERS[kind], place)
        if kind != "float":
            return int(value)
        return float(str(np.float32(value))) if math.isfinite(value) else str(value)

    def follow(self, place: int) -> int:
        return place + int(self.at("I", place))

    def slots(self, place: int) -> list[int]:
        """Where each field of the table lies, 0 for those that are not set."""
        vtable = place - int(self.at("i", place))
        found = [int(self.at("H", vtable + 4 + 2 * slot)) for slot in range((int(self.at("H", vtable)) - 4) // 2)]
        return [place + offset if offset else 0 for offset in found]

    def table(self, table: str, place: int) -> dict[str, Json]:
        slots, slot = self.slots(place), 0
        found: dict[str, Json] = {}

        def next_slot() -> int:
            nonlocal slot
            slot += 1
            return slots[slot - 1] if slot <= len(slots) else 0

        for name, kind in TABLES[table].items():
            member = 0
            if kind in UNIONS:
                told = next_slot()
                member = int(self.at("B", told)) if told else 0
            value = next_slot()
            if kind in UNIONS and member:
                found |= self.union(name, kind, member, value)
            elif kind in NUMBERS:
                found[name] = self.number(kind, value) if value else 0
            elif kind in ENUMERATIONS:
                found[name] = _named(ENUMERATIONS[kind], int(self.at("b", value)) if value else 0)
            elif value and kind not in UNIONS:
                found[name] = self.far(kind, value)
        return found

    def union(self, name: str, kind: str, member: int, value: int) -> dict[str, Json]:
        if member > len(UNIONS[kind]) or not value:
            return {f"{name}_type": str(member)}
        which = UNIONS[kind][member - 1]
        return {f"{name}_type": which, name: self.table(which, self.follow(value))}

    def far(self, kind: str, place: int) -> Json:
        start = self.follow(place)
        if kind == "string":
            return self.bytes_at(start).decode("utf-8", "replace")
        if kind == "bytes":
            return self.bytes_at(start).hex()
        if not kind.startswith("["):
            return self.table(kind, start)
        inner, count = kind.strip("[]"), int(self.at("I", start))
        if inner in NUMBERS:
            return [self.number(inner, start + 4 + 4 * index) for index in range(count)]
        return [self.far(inner, start + 4 + 4 * index) for index in range(count)]

    def bytes_at(self, start: int) -> bytes:
        size = int(self.at("I", start))
        self.left -= size // 64
        if start + 4 + size > len(self.raw):
            raise ValueError("a string in it is longer than it")
        return self.raw[start + 4 : start + 4 + size]


def _named(names: Sequence[str], value: int) -> str:
    return names[value] if 0 <= value < len(names) else str(value)
