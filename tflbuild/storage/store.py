"""The store: records of finished actions by cache key, and blobs by digest.

    cas/ab/<digest>      a blob, read-only
    ac/ab/<key>.json     the record of a finished action: the action, its outputs, its facts
    tmp/<run>/           the scratch folder of a process, which is removed when the process ends
    locks/ stats/ plans/ quarantine/

A record is published after its blobs, by a link that never replaces a file. A blob is trusted as long as its stat
record is the same as when it was hashed; otherwise it is hashed again. A blob whose digest is not its name is moved to
the quarantine folder and counts as missing. Locks only save work: results are correct without them.

A record names the remote caches on which it depends. It is a cache hit only in builds that trust all of them. In any
other build the step runs, and its result replaces the record.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from tflbuild.core.digest import Json, hash_bytes, hash_tree, map_leaves
from tflbuild.core.remote_cache_settings import RemoteCacheSettings
from tflbuild.core.secrets import hide_json
from tflbuild.core.step import is_cpu_dependent
from tflbuild.core.untrusted_files import MOST_JSON_BYTES, hash_file, parse_json, read_file
from tflbuild.storage.atomic_files import publish_link, replace_bytes, sync_folder
from tflbuild.storage.digest_cache import StatCache, walk_files
from tflbuild.storage.record_signatures import trusted_origins

FORMAT = 1
TREE_SUFFIX = "/"
EMPTY_FOLDER = hash_tree({})
STALE_SECONDS = 3600
# The origin of records that an earlier tflbuild wrote. They may come from any remote cache.
UNKNOWN_ORIGIN = "unknown"


@dataclass(frozen=True, kw_only=True)
class ActionOutput:
    """An output of an action: a file or a folder.

    Attributes:
        digest: The digest of the file, or of the folder's file names and digests.
        size: The total size in bytes.
        files: The digests of the files of a folder, by relative path. Empty for a file.
    """

    digest: str
    size: int
    files: Mapping[str, str] = field(default_factory=dict)

    def blobs(self) -> list[str]:
        """Return the digests of the blobs that store this output."""
        if self.digest == EMPTY_FOLDER:
            return []
        return list(self.files.values()) if self.files else [self.digest]


@dataclass(frozen=True, kw_only=True)
class ActionRecord:
    """The record of a finished action.

    Attributes:
        key: The cache key of the action.
        action: The action, of which the cache key is the digest.
        outputs: The outputs by name.
        facts: What the step measured or read.
        elapsed: The wall time of the step, in seconds.
        created: The time of the record, in seconds since the epoch.
        origins: The remote caches from which the record or its inputs were downloaded. Empty if everything was made
            on this machine. This machine writes it; origins in a downloaded record are ignored.
    """

    key: str
    action: Mapping[str, Json]
    outputs: Mapping[str, ActionOutput]
    facts: Mapping[str, Json]
    elapsed: float
    created: float
    origins: tuple[str, ...] = field(default=(), compare=False)


class Store:
    """A store in a folder. All its state is in the file system, so several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stats = StatCache(root / "stats")
        self.trusted_origins: frozenset[str] = frozenset()

    def trust(self, settings: RemoteCacheSettings | None) -> None:
        """Accept records that depend on this remote cache, and on no other one. None: accept only local records."""
        usable = settings if settings is not None and settings.usable else None
        self.trusted_origins = frozenset() if usable is None else trusted_origins(usable.origin)

    def blob(self, digest: str) -> Path:
        """Return the path of a blob, whether it exists or not."""
        return self.root / "cas" / digest[:2] / digest

    def action_file(self, key: str) -> Path:
        """Return the path of the record of a cache key, whether it exists or not."""
        return self.root / "ac" / key[:2] / f"{key}.json"

    # lookup

    def read(self, key: str) -> ActionRecord | None:
        """Return the record of a cache key, None if there is none. Its blobs may be missing.

        A damaged record is moved to the quarantine folder.
        """
        path = self.action_file(key)
        try:
            raw = read_file(path, MOST_JSON_BYTES)
        except OSError:
            return None
        record = parse_record(key, raw)
        if record is None:
            self._quarantine(path)
        return record

    def find(self, key: str) -> ActionRecord | None:
        """Return the record of a cache key, None for a cache miss.

        A record is a cache hit if all its origins are trusted and all its blobs exist and are undamaged.
        """
        record = self.read(key)
        if record is None or not self.trusted_origins.issuperset(record.origins):
            return None
        blobs = [digest for output in record.outputs.values() for digest in output.blobs()]
        # A list, and not a generator, so that every damaged blob is moved to the quarantine folder.
        valid = [self.has(digest) for digest in blobs]
        return record if all(valid) else None

    def has(self, digest: str) -> bool:
        """Return whether a blob exists and its bytes have its digest. A damaged blob is moved to the quarantine."""
        path = self.blob(digest)
        try:
            if self.stats.digest(path) == digest:
                return True
        except FileNotFoundError:
            return False
        except OSError:
            pass
        self._quarantine(path)
        return False

    def records(self) -> Iterator[ActionRecord]:
        """Yield every readable record, in the order of the cache keys."""
        for path in sorted((self.root / "ac").glob("*/*.json")):
            record = self.read(path.stem)
            if record is not None:
                yield record

    # publication

    def publish(
        self,
        key: str,
        action: Mapping[str, Json],
        outputs: Mapping[str, Path],
        facts: Mapping[str, Json],
        elapsed: float,
        *,
        replace: bool = False,
        origins: Iterable[str] = (),
    ) -> ActionRecord:
        """Add the outputs of a finished action to the store, and its record.

        Args:
            key: The cache key of the action.
            action: The action.
            outputs: The file or folder of each output, by name. They are moved into the store.
            facts: What the step measured or read.
            elapsed: The wall time of the step, in seconds.
            replace: Replace an existing record. Otherwise the first record stays.
            origins: The remote caches on which the result depends.

        Returns:
            The record that is now in the store.
        """
        record = ActionRecord(
            key=key,
            action=action,
            outputs={name: self._add_output(name, path) for name, path in outputs.items()},
            facts=facts,
            elapsed=elapsed,
            created=time.time(),
            origins=tuple(sorted(set(origins))),
        )
        return self.adopt(record, replace=replace)

    def adopt(self, record: ActionRecord, *, replace: bool = False) -> ActionRecord:
        """Add a record whose blobs are in the store, and return the record that is now under its cache key.

        An existing record stays if it is a cache hit and `replace` is false.
        """
        path = self.action_file(record.key)
        new = self.root / "tmp" / f"{uuid.uuid4().hex}.json"
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(_format_record(record))
        try:
            if not publish_link(new, path) and (replace or self.find(record.key) is None):
                # The existing record refers to missing blobs or depends on an untrusted origin, or must be replaced.
                os.replace(new, path)
                sync_folder(path.parent)
        finally:
            new.unlink(missing_ok=True)
        return self.read(record.key) or record

    def _add_output(self, name: str, path: Path) -> ActionOutput:
        """Move an output into the store. A name that ends in TREE_SUFFIX is that of a folder."""
        if not name.endswith(TREE_SUFFIX):
            return self.add_file(path)
        paths = list(walk_files(path))
        size = sum(file.stat().st_size for file in paths)
        files = {file.relative_to(path).as_posix(): self._hash_and_add(file) for file in paths}
        return ActionOutput(digest=hash_tree(files), size=size, files=files)

    def add_file(self, path: Path) -> ActionOutput:
        """Move a file into the store as a blob that belongs to no action."""
        size = path.stat().st_size
        return ActionOutput(digest=self._hash_and_add(path), size=size)

    def _hash_and_add(self, path: Path) -> str:
        digest = hash_file(path)
        self.add_blob(path, digest)
        return digest

    def add_blob(self, path: Path, digest: str) -> None:
        """Move a file into the store as a blob. The caller has computed its digest."""
        # The blob is read-only. Users who could not read the file cannot read the blob either.
        os.chmod(path, path.stat().st_mode & 0o444)
        blob = self.blob(digest)
        # If the existing blob is damaged, `has` has moved it away, and the new file takes its name.
        if not publish_link(path, blob) and not self.has(digest):
            publish_link(path, blob)
        path.unlink()

    def _quarantine(self, path: Path) -> None:
        target = self.root / "quarantine" / f"{path.name}-{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(path, target)
        except FileNotFoundError:
            return

    # access by steps and processes

    def link_output(self, output: ActionOutput, path: Path) -> None:
        """Make an output available at `path` by links to its blobs, which are read-only."""
        if output.digest == EMPTY_FOLDER:
            path.mkdir(parents=True, exist_ok=True)
            return
        if not output.files:
            path.symlink_to(self.blob(output.digest))
            return
        for name, digest in output.files.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to(self.blob(digest))

    def lock(self, name: str) -> FileLock:
        """Return the lock of this name among all processes that use the store. It is not acquired yet."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / name)

    def try_lock(self, name: str) -> FileLock | None:
        """Return the acquired lock of this name, None if another process holds it."""
        lock = self.lock(name)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return lock

    def open_scratch(self) -> ScratchFolder:
        """Return a new private folder of this process. The folders of processes that have ended are removed first."""
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        return ScratchFolder(folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}")


class ScratchFolder:
    """A temporary folder with a lock file, which is locked as long as the process of the folder lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(f"{folder}.lock")
        self._lock.acquire()
        # Only this user may read the folder, since the parameters of steps may contain passwords.
        folder.mkdir(mode=0o700)

    def close(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(f"{self.folder}.lock").unlink(missing_ok=True)
        self._lock.release()


def _remove_stale(folder: Path) -> None:
    """Remove the temporary files and folders of processes that have ended."""
    # A record exists here for seconds before it is published. An old one is from a process that died.
    for record_file in folder.glob("*.json"):
        if time.time() - record_file.stat().st_mtime > STALE_SECONDS:
            record_file.unlink(missing_ok=True)
    for lock_file in folder.glob("*.lock"):
        lock = FileLock(lock_file)
        try:
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            continue
        shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
        lock_file.unlink(missing_ok=True)
        lock.release()


def _format_record(record: ActionRecord) -> bytes:
    outputs = {n: {"digest": o.digest, "size": o.size, "files": dict(o.files)} for n, o in record.outputs.items()}
    body = {
        "format": FORMAT,
        "key": record.key,
        "action": dict(record.action),
        "outputs": outputs,
        "facts": hide_json(record.facts),
        "elapsed": record.elapsed,
        "created": record.created,
        "origins": list(record.origins),
    }
    text = json.dumps(body, sort_keys=True)
    return json.dumps({"sha256": hash_bytes(text.encode()), "body": text}).encode()


def parse_record(key: str, raw: bytes) -> ActionRecord | None:
    """Return the record in the bytes of its file, None if it is damaged or does not match its cache key."""
    try:
        envelope = parse_json(raw)
        text = envelope["body"]
        if hash_bytes(text.encode()) != envelope["sha256"]:
            return None
        # Facts about samples with infinite values are infinite, too.
        body = parse_json(text, finite=False)
        if body["format"] != FORMAT or body["key"] != key:
            return None
        if body["facts"].get("tied") and not is_cpu_dependent(body["action"]):
            # The cache key does not contain the CPU, so this result could be used on a CPU with another result.
            return None
        return ActionRecord(
            key=key,
            action=body["action"],
            outputs={name: ActionOutput(**output) for name, output in body["outputs"].items()},
            facts=body["facts"],
            elapsed=body["elapsed"],
            created=body["created"],
            origins=tuple(map(str, body.get("origins", [UNKNOWN_ORIGIN]))),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def clear(root: Path) -> None:
    """Delete everything in the store except its locks."""
    for name in ("plans", "ac", "cas", "stats", "quarantine"):
        shutil.rmtree(root / name, ignore_errors=True)


def replace_json(path: Path, value: Json) -> None:
    """Write a JSON file atomically, without secrets, and with infinite values as strings."""
    encoded = map_leaves(hide_json(value), _encode_float)
    text = json.dumps(encoded, indent=2, sort_keys=True, allow_nan=False)
    replace_bytes(path, f"{text}\n".encode())


def _encode_float(value: Json) -> Json:
    """Return NaN and infinities as strings, since JSON has no such numbers. Protocol buffers use the same strings."""
    return json.dumps(value) if isinstance(value, float) and not math.isfinite(value) else value
