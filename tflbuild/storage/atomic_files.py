"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """A new file that takes its final name in one step when the block ends well, and vanishes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.parent / f".new-{secrets.token_hex(8)}"
    handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)  # less what the umask takes
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):  # the first error is the one to tell
            os.unlink(name)
        raise


def replace_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole. A reader sees the old bytes or the new."""
    with replacing(path, durable=durable) as file:
        file.write(data)


def replace_copy(source: Path, path: Path) -> None:
    """Copy a file whole; never a link, so that an edit stays local."""
    with replacing(path, durable=False) as file, open(source, "rb") as origin:
        shutil.copyfileobj(origin, file, 1 << 20)


def publish_link(source: Path, path: Path) -> bool:
    """Give a finished file its final name, durably, unless the name is taken. True when it was not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(source, "rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(source, path)
    except FileExistsError:
        return False
    sync_folder(path.parent)
    return True
