"""A reader of TFRecord files without TensorFlow: records, checksums, and tf.train.Example.

A record consists of its length (uint64), the checksum of the length, the data, and the checksum of the data, all in
little-endian order. A checksum is a CRC-32C that is masked: rotated, and added to a constant.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, cast

import numpy as np

# The polynomial of CRC-32C with its bits in reverse order.
POLYNOMIAL = 0x82F63B78
MASK_DELTA = 0xA282EAD8
ONES = 0xFFFFFFFF
# A plain loop is faster for less data.
SMALL_BYTES = 2048
GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 12
# A compressed file of a few bytes could unpack to any length.
MAX_RECORD_BYTES = 1 << 30
# Wire types of protocol buffers.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

# The kind of the values, "bytes", "float" or "int64", and the values.
Feature = tuple[str, np.ndarray]


class DamagedRecord(ValueError):
    """The file is damaged, incomplete, or not a TFRecord file."""


@cache
def crc_table() -> np.ndarray:
    """Return the CRC of each byte: uint32 of shape [256]."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = (values >> np.uint32(1)) ^ np.where(values & np.uint32(1), np.uint32(POLYNOMIAL), np.uint32(0))
    return values


@cache
def plain_table() -> list[int]:
    """Return `crc_table` as integers of Python, for the plain loop."""
    return [int(value) for value in crc_table()]


@cache
def shift_table(level: int) -> np.ndarray:
    """Return the effect of 2**level zero bytes on a CRC, for each of its four bytes: uint32 of shape [4, 256]."""
    if level == 0:
        bytes_of = np.arange(256, dtype=np.uint32)[None] << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
        once: np.ndarray = crc_table()[bytes_of & np.uint32(255)] ^ (bytes_of >> np.uint32(8))
        return once
    return shift(shift_table(level - 1), level - 1)


def shift(values: np.ndarray, level: int) -> np.ndarray:
    """Return CRCs after 2**level zero bytes."""
    table = shift_table(level)
    shifted: np.ndarray = table[0][values & np.uint32(255)]
    for index in (1, 2, 3):
        shifted = shifted ^ table[index][(values >> np.uint32(8 * index)) & np.uint32(255)]
    return shifted


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of data.

    The CRC is linear, so the CRCs of long data are combined in pairs, with all pairs of a level at once in NumPy.
    """
    if len(data) < SMALL_BYTES:
        crc, table = ONES, plain_table()
        for byte in data:
            crc = table[(crc ^ byte) & 255] ^ (crc >> 8)
        return crc ^ ONES
    raw = np.frombuffer(data, np.uint8).copy()
    # This is equivalent to a CRC that starts with ones.
    raw[:4] ^= 255
    values = crc_table()[raw]
    level = 0
    while len(values) > 1:
        # Zeros at the start do not change the CRC.
        if len(values) % 2:
            values = np.concatenate([np.zeros(1, np.uint32), values])
        values = shift(values[0::2], level) ^ values[1::2]
        level += 1
    return int(values[0]) ^ ONES


def masked(crc: int) -> int:
    """Return a checksum in its stored form."""
    return (((crc >> 15) | (crc << 17)) + MASK_DELTA) & ONES


def frame(data: bytes) -> bytes:
    """Return a record in its stored form."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


def open_records(path: Path) -> IO[bytes]:
    """Open a file, and decompress it if it is compressed with gzip."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def read_records(path: Path, *, skip: bool = False) -> Iterator[bytes]:
    """Yield the data of every record.

    Args:
        path: The file.
        skip: Whether to verify only the length of each record, and to yield empty bytes.

    Raises:
        DamagedRecord: A checksum does not match, or the file is incomplete. The message has the position in the file.
    """
    end = path.stat().st_size
    with open_records(path) as file:
        plain = not isinstance(file, gzip.GzipFile)
        at = 0
        try:
            while head := file.read(HEAD_BYTES):
                length = length_of(head, at)
                if plain and at + HEAD_BYTES + length + 4 > end:
                    raise DamagedRecord(f"the record at byte {at} is incomplete")
                if skip:
                    file.seek(length + 4, 1)
                    yield b""
                else:
                    yield body_of(file.read(length + 4), length, at)
                at += HEAD_BYTES + length + 4
        except EOFError:
            raise DamagedRecord(f"its compressed data ends early, after {at} bytes of decompressed data") from None


def length_of(head: bytes, at: int) -> int:
    """Return the length in the header of a record. Raise DamagedRecord if it is damaged or too great."""
    if len(head) < HEAD_BYTES:
        raise DamagedRecord(f"the record at byte {at} is incomplete")
    length, check = struct.unpack("<QI", head)
    if masked(crc32c(head[:8])) != check:
        raise DamagedRecord(f"the length of the record at byte {at} does not match its checksum")
    if length > MAX_RECORD_BYTES:
        raise DamagedRecord(f"the record at byte {at} is {length:,} bytes long, more than {MAX_RECORD_BYTES:,}")
    return int(length)


def body_of(raw: bytes, length: int, at: int) -> bytes:
    """Return the data of a record. Raise DamagedRecord if it is incomplete or its checksum does not match."""
    if len(raw) < length + 4:
        raise DamagedRecord(f"the record at byte {at} is incomplete")
    data = raw[:length]
    if masked(crc32c(data)) != struct.unpack("<I", raw[length:])[0]:
        raise DamagedRecord(f"the data of the record at byte {at} does not match its checksum")
    return data


def fields(raw: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield the number, the wire type and the bytes of each field of a protocol buffer.

    Raises:
        DamagedRecord: The bytes are not a protocol buffer.
    """
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
            raise DamagedRecord(f"a field has the unknown wire type {wire}")
        if at + size > len(raw):
            raise DamagedRecord("a field is longer than its message")
        yield number, wire, raw[at : at + size]
        at += size


def varint(raw: memoryview, at: int) -> tuple[int, int]:
    """Return the value of the varint at a position, and the position after it."""
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
    """Return the values of consecutive varints: int64 of shape [values]."""
    data = np.frombuffer(raw, np.uint8)
    if not len(data):
        return np.zeros(0, np.int64)
    if data[-1] >= 128:
        raise DamagedRecord("a number does not end")
    starts = np.concatenate([[0], np.flatnonzero(data < 128)[:-1] + 1])
    lengths = np.diff(np.append(starts, len(data)))
    positions = np.arange(len(data)) - np.repeat(starts, lengths)
    parts = (data & 127).astype(np.uint64) << (7 * positions).astype(np.uint64)
    values: np.ndarray = np.bitwise_or.reduceat(parts, starts).view(np.int64)
    return values


def parse_example(data: bytes) -> dict[str, Feature]:
    """Parse a serialized tf.train.Example, and return its features by name. Raise DamagedRecord if it is damaged."""
    example: dict[str, Feature] = {}
    for number, _, features in fields(memoryview(data)):
        if number != 1:
            continue
        for _, _, entry in fields(features):
            parts = {field: raw for field, _, raw in fields(entry)}
            name = bytes(parts.get(1, b"")).decode("utf-8", "replace")
            example[name] = parse_feature(parts.get(2, memoryview(b"")))
    return example


def parse_feature(raw: memoryview) -> Feature:
    """Parse a list of bytes, floats or integers. If nothing is set, return an empty list of bytes."""
    for number, _, values in fields(raw):
        if number == 1:
            return "bytes", np.array([bytes(value) for field, _, value in fields(values) if field == 1], object)
        parts = [value for field, _, value in fields(values) if field == 1]
        # Packed and separate floats have the same bytes.
        if number == 2:
            raw_floats = b"".join(parts)
            if len(raw_floats) % 4:
                raise DamagedRecord(f"{len(raw_floats)} bytes are not a whole number of floats")
            return "float", np.frombuffer(raw_floats, "<f4")
        if number == 3:
            return "int64", varints(memoryview(b"".join(parts)))
    return "bytes", np.array([], object)
