"""Open files that a stranger may have written: regular files only, of a bounded size, JSON of a bounded depth.

Every reader of a file that tflbuild did not just write itself opens it here. Opening a pipe waits for its writer,
reading a device may never end, and a socket cannot be opened: all are refused, and the error says what the path is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

# A record of a folder lists one line a file, about 120 bytes. Objects of Python take up to 25 times their JSON.
MOST_JSON_BYTES = 16 << 20
CHUNK_BYTES = 1 << 20
MOST_DEPTH = 100
MOST_BITS = 64  # of an integer, sign excluded
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link"),
)


class UnreadableFileError(OSError):
    """A path is no regular file, or its file is too large. The text says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.strerror = reason


class BadContentError(ValueError):
    """The bytes of a file are not what they should be. The text says why."""


def open_file(path: Path | str, most_bytes: int | None = None, *, follow: bool = True) -> BinaryIO:
    """Open a regular file to read its bytes; `follow` a link to one.

    Raises:
        UnreadableFileError: The path is something else, or the file has more than `most_bytes`.
        OSError: The file cannot be opened.
    """
    try:
        # before it is opened, since opening a device may act on it
        _require_regular(os.stat(path, follow_symlinks=follow), most_bytes)
        # What lies there may be exchanged in between: without O_NONBLOCK, opening a pipe would wait.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        handle = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    except ValueError as error:  # a null character in the path
        raise UnreadableFileError(str(error)) from None
    try:
        _require_regular(os.fstat(handle), most_bytes)
        return os.fdopen(handle, "rb")
    except OSError:
        os.close(handle)
        raise


def _require_regular(status: os.stat_result, most_bytes: int | None) -> None:
    for is_kind, kind in KINDS:
        if is_kind(status.st_mode):
            raise UnreadableFileError(f"it is {kind}, not a regular file")
    if most_bytes is not None and status.st_size > most_bytes:
        raise UnreadableFileError(f"it has {status.st_size:,} bytes, and at most {most_bytes:,} are read")


def read_file(path: Path | str, most_bytes: int, *, follow: bool = True) -> bytes:
    """Return the bytes of a regular file. Raises OSError, as `open_file` does, also for one that grows meanwhile."""
    with open_file(path, most_bytes, follow=follow) as file:
        raw = file.read(most_bytes + 1)
    if len(raw) > most_bytes:  # files of /proc have no size
        raise UnreadableFileError(f"it has more than {most_bytes:,} bytes")
    return raw


def hash_file(path: Path | str) -> str:
    """Return the SHA-256 of a regular file's bytes, read in chunks. Raises OSError, as `open_file` does."""
    digest = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_text(path: Path | str, most_bytes: int) -> str:
    """Return the text of a UTF-8 file. Raises OSError, and BadContentError for other bytes."""
    try:
        return read_file(path, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadContentError(f"it is not UTF-8 text: {error.reason} at byte {error.start:,}") from None


def read_json(path: Path | str, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Return the value of a JSON file. Raises OSError, and BadContentError for what `parse_json` refuses."""
    return parse_json(read_file(path, most_bytes))


def parse_json(raw: bytes | str, *, finite: bool = True) -> Any:
    """Return the value of a JSON text.

    Args:
        raw: The text, as UTF-8 where it is bytes.
        finite: Refuse NaN and the infinities, which JSON lacks, and Python writes.

    Raises BadContentError for text that is no JSON, that nests deeper than MOST_DEPTH, for a number outside 64 bits,
    and for text that cannot be written as UTF-8.
    """
    try:
        value = json.loads(raw, parse_constant=_refuse_constant if finite else None)
    except RecursionError:
        raise BadContentError("it is nested too deeply") from None
    except ValueError as error:
        raise BadContentError(f"it is no JSON: {error}") from None
    _require_plain(value, finite=finite)
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _require_plain(value: object, *, finite: bool) -> None:
    """Walk level by level: a walk that calls itself could exhaust the stack."""
    level = [value]
    for _ in range(MOST_DEPTH):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif (finite or type(item) is not float) and (why := find_invalid_value(item)):
                raise BadContentError(why)
        if not below:
            return
        level = below
    raise BadContentError(f"it is nested more than {MOST_DEPTH} levels deep")


def find_invalid_value(value: object) -> str:
    """Return why a number or text cannot be worked with, "" for one that can: no reader needs to check it again."""
    if type(value) is str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                return (
                    f"a text has \\u{ord(value[error.start]):04x}, half of a surrogate pair, which no encoding can hold"
                )
    elif type(value) is int:
        if value.bit_length() > MOST_BITS:
            return f"a number has more than {MOST_BITS} bits"
    elif type(value) is float and not math.isfinite(value):
        return "a number is too large for a float"
    return ""
