"""Cache of file digests by stat record, so that an unchanged file is read only once.

A stat record contains device, inode, size, mtime and ctime (in nanoseconds). An edit in place that restores size and
mtime still changes ctime, because no system call can set it. The clock of a file system is coarse. If a file was
changed within the last tick of that clock, the cache waits before it hashes the file, so that any later edit changes
the stat record.
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

# How often a file is hashed that changes while it is read.
ATTEMPTS = 5
# Links to folders that contain links multiply: a small tree could have an unlimited number of paths.
MAX_FOLDER_LINKS = 1000


class FileChanged(OSError):
    """A file that changed repeatedly while it was being read."""


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in a fixed order. Links are followed.

    Raises:
        OSError: A link leads to a folder that contains it, or there are more than MAX_FOLDER_LINKS links to folders.
    """
    links = 0
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in folders:
            path = Path(parent, name)
            if not path.is_symlink():
                continue
            links += 1
            if links > MAX_FOLDER_LINKS:
                raise OSError(errno.EMLINK, f"there are more than {MAX_FOLDER_LINKS:,} links to folders below {folder}")
            if Path(parent).resolve().is_relative_to(path.resolve()):
                raise OSError(errno.ELOOP, f"the link {path} leads to a folder that contains the link")
        for name in sorted(files):
            yield Path(parent, name)


class StatCache:
    """A cache of digests by path, in a folder that may be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _entry_file(self, path: Path) -> Path:
        name = hash_value("StatCachePath", str(path))
        return self.folder / name[:2] / f"{name}.json"

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file as hexadecimal digits.

        Raises:
            OSError: The file cannot be read.
            FileChanged: The file changed during each of ATTEMPTS attempts to read it.
        """
        entry_file = self._entry_file(path)
        stat = stat_record(path)
        entry = _load(entry_file)
        if entry is not None and entry[0] == stat:
            return entry[1]
        for _ in range(ATTEMPTS):
            outlast_tick(stat[4])
            digest = hash_file(path)
            stat_after = stat_record(path)
            if stat_after == stat:
                self._save(entry_file, stat, digest)
                return digest
            stat = stat_after
        raise FileChanged(f"{path} changed while it was being read")

    def _save(self, entry_file: Path, stat: Stat, digest: str) -> None:
        try:
            replace_bytes(entry_file, json.dumps([stat, digest]).encode(), durable=False)
        except OSError:
            # Without a writable cache, files are hashed again. That is slower, but not an error.
            return

    def digest_of(self, path: Path) -> str:
        """Return the digest of a file, or of a folder with everything in it."""
        return hash_tree(self.tree(path)) if path.is_dir() else self.digest(path)

    def digest_of_files(self, files: Mapping[str, Path]) -> str:
        """Return the digest of a folder that has these files under these relative names."""
        return hash_tree({name: self.digest(path) for name, path in files.items()})

    def tree(self, folder: Path) -> dict[str, str]:
        """Return the digest of every file below a folder, by its relative POSIX path."""
        return {file.relative_to(folder).as_posix(): self.digest(file) for file in walk_files(folder)}


class FrozenStatCache(StatCache):
    """A stat cache that reads each path only once.

    All recipes of a command are resolved with the same digests, even if a file changes in between.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._digests: dict[Path, str] = {}

    def digest_of(self, path: Path) -> str:
        """Return the digest of a file or folder at the time of the first call for its path."""
        if path not in self._digests:
            self._digests[path] = super().digest_of(path)
        return self._digests[path]


def _load(entry_file: Path) -> tuple[Stat, str] | None:
    try:
        stat, digest = read_json(entry_file)
        return tuple(stat), str(digest)
    except (OSError, ValueError, TypeError):
        return None
