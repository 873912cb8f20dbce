"""TFRecord files without TensorFlow: their framing, their checksums, and tf.train.Example in them.

A record is its length (uint64), the length's checksum, the bytes, and their checksum, all
little-endian; a checksum is the CRC-32C, rotated and added to, as TensorFlow masks it.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, cast

import numpy as np

POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed
MASK_DELTA = 0xA282EAD8
ONES = 0xFFFFFFFF
SMALL_BYTES = 2048  # below this a plain loop is quicker
GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 12
MOST_RECORD_BYTES = 1 << 30  # a compressed file of a few bytes can unpack to any length
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

Feature = tuple[str, np.ndarray]  # ("bytes" | "float" | "int64", values)


class DamagedRecord(ValueError):
    """A file that is no TFRecord file, or no whole one."""


@cache
def crc_table() -> np.ndarray:
    """uint32 [256]: the CRC of each byte."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = (values >> np.uint32(1)) ^ np.where(values & np.uint32(1), np.uint32(POLYNOMIAL), np.uint32(0))
    return values


@cache
def plain_table() -> list[int]:
    """The same as Python's integers, for the plain loop."""
    return [int(value) for value in crc_table()]


@cache
def shift_table(level: int) -> np.ndarray:
    """uint32 [4, 256]: what 2**level zero bytes make of a CRC, by the values of its four bytes."""
    if level == 0:
        bytes_of = np.arange(256, dtype=np.uint32)[None] << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
        once: np.ndarray = crc_table()[bytes_of & np.uint32(255)] ^ (bytes_of >> np.uint32(8))
        return once
    return shift(shift_table(level - 1), level - 1)


def shift(values: np.ndarray, level: int) -> np.ndarray:
    """CRCs after 2**level zero bytes."""
    table = shift_table(level)
    shifted: np.ndarray = table[0][values & np.uint32(255)]
    for place in (1, 2, 3):
        shifted = shifted ^ table[place][(values >> np.uint32(8 * place)) & np.uint32(255)]
    return shifted


def crc32c(data: bytes) -> int:
    """CRC-32C. Long data is folded pairwise, all pairs of a level at once: the CRC is linear."""
    if len(data) < SMALL_BYTES:
        crc, table = ONES, plain_table()
        for byte in data:
            crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
        return crc ^ ONES
    raw = np.frombuffer(data, np.uint8).copy()
    raw[:4] ^= 255  # what starting with ones comes to
    values = crc_table()[raw]
    level = 0
    while len(values) > 1:
        if len(values) % 2:  # zeros in front change nothing
            values = np.concatenate([np.zeros(1, np.uint32), values])
        values = shift(values[0::2], level) ^ values[1::2]
        level += 1
    return int(values[0]) ^ ONES


def masked(crc: int) -> int:
    """A checksum as it is stored."""
    return (((crc >> 15) | (crc << 17)) + MASK_DELTA) & ONES


def frame(data: bytes) -> bytes:
    """A record as it is stored."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


def open_records(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where it is compressed with gzip."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def read_records(path: Path, *, skip: bool = False) -> Iterator[bytes]:
    """Every record, verified; with `skip`, empty bytes for each, verified by its length alone.

    Raises DamagedRecord with the place in the file.
    """
    end = path.stat().st_size
    with open_records(path) as file:
        plain = not isinstance(file, gzip.GzipFile)
        at = 0
        try:
            while head := file.read(HEAD_BYTES):
                length = length_of(head, at)
                if plain and at + HEAD_BYTES + length + 4 > end:
                    raise DamagedRecord(f"the record at byte {at} is cut short")
                if skip:
                    file.seek(length + 4, 1)
                    yield b""
                else:
                    yield body_of(file.read(length + 4), length, at)
                at += HEAD_BYTES + length + 4
        except EOFError:
            raise DamagedRecord(f"its compressed data ends early, after byte {at} of what it unpacks to") from None


def length_of(head: bytes, at: int) -> int:
    """The length that a record begins with."""
    if len(head) < HEAD_BYTES:
        raise DamagedRecord(f"the record at byte {at} is cut short")
    length, check = struct.unpack("<QI", head)
    if masked(crc32c(head[:8])) != check:
        raise DamagedRecord(f"the length of the record at byte {at} does not match its checksum")
    if length > MOST_RECORD_BYTES:
        raise DamagedRecord(f"the record at byte {at} is {length:,} bytes long, and {MOST_RECORD_BYTES:,} are read")
    return int(length)


def body_of(raw: bytes, length: int, at: int) -> bytes:
    """A record's data, held against its checksum."""
    if len(raw) < length + 4:
        raise DamagedRecord(f"the record at byte {at} is cut short")
    data = raw[:length]
    if masked(crc32c(data)) != struct.unpack("<I", raw[length:])[0]:
        raise DamagedRecord(f"the data of the record at byte {at} does not match its checksum")
    return data


def fields(raw: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(number, wire type, bytes) of each field of a protocol buffer; of a varint, its bytes."""
    at = 0
    while at < len(raw):
        tag, at = varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == LENGTH:
            size, at = varint(raw, at)
        elif wire == VARINT:
            size = varint(raw, at)[1] - at
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise DamagedRecord(f"wire type {wire}")
        if at + size > len(raw):
            raise DamagedRecord("a field is longer than its message")
        yield number, wire, raw[at : at + size]
        at += size


def varint(raw: memoryview, at: int) -> tuple[int, int]:
    """(value, place behind it)."""
    value = 0
    for shifted in range(0, 70, 7):
        if at >= len(raw):
            break
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shifted
        if byte < 128:
            return value, at
    raise DamagedRecord("a number does not end")


def varints(raw: memoryview) -> np.ndarray:
    """int64 [n]: numbers that stand one after the other."""
    data = np.frombuffer(raw, np.uint8)
    if not len(data):
        return np.zeros(0, np.int64)
    if data[-1] >= 128:
        raise DamagedRecord("a number does not end")
    starts = np.concatenate([[0], np.flatnonzero(data < 128)[:-1] + 1])
    lengths = np.diff(np.append(starts, len(data)))
    places = np.arange(len(data)) - np.repeat(starts, lengths)
    parts = (data & 127).astype(np.uint64) << (7 * places).astype(np.uint64)
    whole: np.ndarray = np.bitwise_or.reduceat(parts, starts).view(np.int64)
    return whole


def parse_example(data: bytes) -> dict[str, Feature]:
    """The features of a serialized tf.train.Example by name. Raises DamagedRecord for what is none."""
    found: dict[str, Feature] = {}
    for number, _, features in fields(memoryview(data)):
        if number != 1:
            continue
        for _, _, entry in fields(features):
            parts = {field: raw for field, _, raw in fields(entry)}
            name = bytes(parts.get(1, b"")).decode("utf-8", "replace")
            found[name] = parse_feature(parts.get(2, memoryview(b"")))
    return found


def parse_feature(raw: memoryview) -> Feature:
    """A list of bytes, floats or integers; an empty list of bytes where nothing is set."""
    for number, _, values in fields(raw):
        if number == 1:
            return "bytes", np.array([bytes(value) for field, _, value in fields(values) if field == 1], object)
        parts = [value for field, _, value in fields(values) if field == 1]
        if number == 2:  # packed, or one by one: the bytes are the same
            raw_floats = b"".join(parts)
            if len(raw_floats) % 4:
                raise DamagedRecord(f"{len(raw_floats)} bytes of floats are no whole number of them")
            return "float", np.frombuffer(raw_floats, "<f4")
        if number == 3:
            return "int64", varints(memoryview(b"".join(parts)))
    return "bytes", np.array([], object)
