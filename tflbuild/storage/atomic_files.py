"""Atomic writes: a reader sees the old file or the complete new one, never a part of it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def sync_folder(folder: Path) -> None:
    """Write the entries of a folder to the disk, so that they survive a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def open_atomic(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """Open a new file for writing that replaces `path` when the block ends, and is deleted when the block raises.

    Args:
        path: The final path. Its folder is made.
        durable: Write the bytes to the disk before the rename, so that they survive a power failure.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.parent / f".new-{secrets.token_hex(8)}"
    # The umask removes permissions from 0o666, as for any new file. `tempfile` would always use 0o600.
    handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        # The first error is the one to report.
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def replace_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file by one with these bytes. A reader sees either the old bytes or the new ones."""
    with open_atomic(path, durable=durable) as file:
        file.write(data)


def replace_copy(source: Path, path: Path) -> None:
    """Replace `path` by a copy of `source`. It is never a link, so an edit of the copy does not change the source."""
    with open_atomic(path, durable=False) as file, open(source, "rb") as source_file:
        shutil.copyfileobj(source_file, file, 1 << 20)


def publish_link(source: Path, path: Path) -> bool:
    """Link a finished file to its final path, unless that path exists, and write both to the disk.

    Returns:
        True if the link was made, False if the path existed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(source, "rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(source, path)
    except FileExistsError:
        return False
    sync_folder(path.parent)
    return True
