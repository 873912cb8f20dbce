"""Digests of files, remembered by their stat record so that an unchanged file is read once.

A record holds device, inode, size, mtime and ctime in nanoseconds. An edit in place that restores
size and mtime still moves ctime, which no system call sets. The clock of a file system ticks
coarsely, so a file touched within the last tick is given time to age before it is hashed: any later
edit then shows.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tflbuild.core.digest import hash_tree, hash_value
from tflbuild.core.untrusted_files import hash_file, read_json
from tflbuild.storage.atomic_files import replace_bytes
from tflbuild.storage.stat_record import Stat, outlast_tick, stat_record

ATTEMPTS = 5
MOST_LINKS = 1000


class FileChanged(OSError):
    """A file went on changing while it was read."""


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, links followed, in a fixed order.

    Raises OSError for a link to a folder that it lies in, and for more than MOST_LINKS links to folders: those that
    lead to folders with links multiply.
    """
    links = 0
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in folders:
            place = Path(parent, name)
            if not place.is_symlink():
                continue
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.EMLINK, f"there are more than {MOST_LINKS:,} links to folders below {folder}")
            if Path(parent).resolve().is_relative_to(place.resolve()):
                raise OSError(errno.ELOOP, f"the link {place} leads to a folder that it lies in")
        for name in sorted(files):
            yield Path(parent, name)


class StatCache:
    """Maps a path to its digest. The folder may be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _place(self, path: Path) -> Path:
        name = hash_value("StatCachePath", str(path))
        return self.folder / name[:2] / f"{name}.json"

    def digest(self, path: Path) -> str:
        """SHA-256 of a file. Raises OSError when it cannot be read, FileChanged when it does not hold still."""
        place = self._place(path)
        found = stat_record(path)
        known = _load(place)
        if known is not None and known[0] == found:
            return known[1]
        for _ in range(ATTEMPTS):
            outlast_tick(found[4])
            digest = hash_file(path)
            after = stat_record(path)
            if after == found:
                self._save(place, found, digest)
                return digest
            found = after
        raise FileChanged(f"{path} was written to while it was read")

    def _save(self, place: Path, stat: Stat, digest: str) -> None:
        try:
            replace_bytes(place, json.dumps([stat, digest]).encode(), durable=False)
        except OSError:
            return  # a cache that cannot be written is a slower cache, not an error

    def digest_of(self, path: Path) -> str:
        """The digest of a file, or of a folder with all in it."""
        return hash_tree(self.tree(path)) if path.is_dir() else self.digest(path)

    def digest_of_files(self, files: Mapping[str, Path]) -> str:
        """The digest of a folder that would hold these files under these relative names."""
        return hash_tree({name: self.digest(path) for name, path in files.items()})

    def tree(self, folder: Path) -> dict[str, str]:
        """Relative POSIX path -> digest, of every file below `folder`."""
        return {file.relative_to(folder).as_posix(): self.digest(file) for file in walk_files(folder)}


class FrozenStatCache(StatCache):
    """The same, but each path is looked at once: recipes of one command are resolved on what was there at first."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._seen: dict[Path, str] = {}

    def digest_of(self, path: Path) -> str:
        """As it was when it was first asked for."""
        if path not in self._seen:
            self._seen[path] = super().digest_of(path)
        return self._seen[path]


def _load(place: Path) -> tuple[Stat, str] | None:
    try:
        stat, digest = read_json(place)
        return tuple(stat), str(digest)
    except (OSError, ValueError, TypeError):
        return None
