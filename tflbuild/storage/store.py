"""The store: what was done (actions by key) and what came of it (blobs by digest).

    cas/ab/<digest>      bytes, read-only
    ac/ab/<key>.json     a finished action: its parts, its outputs, what was measured
    tmp/<run>/           scratch folders of one process, removed with it
    locks/ stats/ plans/ quarantine/

An action is published after its blobs, by a link that never replaces. A blob is believed while its
stat record is the one seen when it was hashed, and hashed again otherwise; one that does not match
its name is set aside and counts as missing. Locks save work and nothing else rests on them.

A record names the shared stores that it rests on. It counts as done for those builds alone that
believe all of them; for any other build the step runs, and what was made here takes its place.
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
from tflbuild.storage.record_signatures import believed_origins

FORMAT = 1
TREE_SUFFIX = "/"
EMPTY_FOLDER = hash_tree({})
STALE_SECONDS = 3600
UNKNOWN_ORIGIN = "unknown"  # of records that an earlier tflbuild wrote, which may have come from anywhere


@dataclass(frozen=True, kw_only=True)
class ActionOutput:
    """One output of an action. A folder's digest is over its listing; `files` are its blobs."""

    digest: str
    size: int
    files: Mapping[str, str] = field(default_factory=dict)

    def blobs(self) -> list[str]:
        """Digests of the blobs that hold it."""
        if self.digest == EMPTY_FOLDER:
            return []
        return list(self.files.values()) if self.files else [self.digest]


@dataclass(frozen=True, kw_only=True)
class ActionRecord:
    """A finished action, as the store keeps it. `created` is seconds since the epoch.

    `origins` are the shared stores that it came from, or that what it was made from came from; none where all was made
    on this machine. It is a note of this machine: what a shared store says of origins is not read.
    """

    key: str
    action: Mapping[str, Json]
    outputs: Mapping[str, ActionOutput]
    facts: Mapping[str, Json]
    elapsed: float
    created: float
    origins: tuple[str, ...] = field(default=(), compare=False)


class Store:
    """A store in a folder. The file system is its only truth."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stats = StatCache(root / "stats")
        self.believed: frozenset[str] = frozenset()

    def believe(self, shared: RemoteCacheSettings | None) -> None:
        """Let records that rest on this shared store count, and on no other."""
        self.believed = frozenset() if shared is None or not shared.usable else believed_origins(shared.origin)

    def blob(self, digest: str) -> Path:
        """Where a blob lies, or would lie."""
        return self.root / "cas" / digest[:2] / digest

    def action_file(self, key: str) -> Path:
        """Where a finished action lies, or would lie."""
        return self.root / "ac" / key[:2] / f"{key}.json"

    # looking up

    def read(self, key: str) -> ActionRecord | None:
        """The record of a key; its blobs may be gone. A damaged record is set aside."""
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
        """The record of a key that is believed, and whose every blob is there and whole; None is a miss."""
        record = self.read(key)
        if record is None or not self.believed.issuperset(record.origins):
            return None
        blobs = [digest for output in record.outputs.values() for digest in output.blobs()]
        whole = [self.has(digest) for digest in blobs]  # each one, so that every bad blob is set aside
        return record if all(whole) else None

    def has(self, digest: str) -> bool:
        """Whether a blob is there and its bytes match its name."""
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
        """Every readable record, for `explain` and `cache`."""
        for path in sorted((self.root / "ac").glob("*/*.json")):
            record = self.read(path.stem)
            if record is not None:
                yield record

    # publishing

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
        """Take finished outputs into the store. The files are consumed. First writer wins, unless `replace`."""
        kept = {name: self._keep(name, path) for name, path in outputs.items()}
        record = ActionRecord(
            key=key,
            action=action,
            outputs=kept,
            facts=facts,
            elapsed=elapsed,
            created=time.time(),
            origins=tuple(sorted(set(origins))),
        )
        return self.adopt(record, replace=replace)

    def adopt(self, record: ActionRecord, *, replace: bool = False) -> ActionRecord:
        """Take a record whose blobs are here. What stands under its key stays, unless it is lost, not believed
        or `replace`."""
        path = self.action_file(record.key)
        new = self.root / "tmp" / f"{uuid.uuid4().hex}.json"
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(_format_record(record))
        try:
            if not publish_link(new, path) and (replace or self.find(record.key) is None):
                os.replace(new, path)  # what stood there leads to lost blobs, or rests on a store that is not believed
                sync_folder(path.parent)
        finally:
            new.unlink(missing_ok=True)
        return self.read(record.key) or record

    def _keep(self, name: str, path: Path) -> ActionOutput:
        if not name.endswith(TREE_SUFFIX):
            return self.keep(path)
        paths = list(walk_files(path))
        sizes = sum(file.stat().st_size for file in paths)
        files = {file.relative_to(path).as_posix(): self._keep_file(file) for file in paths}
        return ActionOutput(digest=hash_tree(files), size=sizes, files=files)

    def keep(self, path: Path) -> ActionOutput:
        """Take one finished file as a blob, belonging to no action. The file is consumed."""
        size = path.stat().st_size
        return ActionOutput(digest=self._keep_file(path), size=size)

    def _keep_file(self, path: Path) -> str:
        digest = hash_file(path)
        self.take(path, digest)
        return digest

    def take(self, path: Path, digest: str) -> None:
        """Take a file whose digest is known as a blob. The file is consumed."""
        os.chmod(path, path.stat().st_mode & 0o444)  # readable for those that the umask lets read, and for no more
        place = self.blob(digest)
        if not publish_link(path, place) and not self.has(digest):
            publish_link(path, place)
        path.unlink()

    def _quarantine(self, path: Path) -> None:
        target = self.root / "quarantine" / f"{path.name}-{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(path, target)
        except FileNotFoundError:
            return

    # handing out

    def lay_out(self, output: ActionOutput, place: Path) -> None:
        """Show an output at `place` for a step to read: links to blobs, which are read-only."""
        if output.digest == EMPTY_FOLDER:
            place.mkdir(parents=True, exist_ok=True)
            return
        if not output.files:
            place.symlink_to(self.blob(output.digest))
            return
        for name, digest in output.files.items():
            file = place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to(self.blob(digest))

    def lock(self, name: str) -> FileLock:
        """The lock of that name, not held yet: among all processes that use this store."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / name)

    def try_lock(self, name: str) -> FileLock | None:
        """The lock of that name, held, or None while another process has it."""
        lock = self.lock(name)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return lock

    def open_scratch(self) -> ScratchFolder:
        """A private folder of this process; those of dead processes are swept first."""
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        return ScratchFolder(folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}")


class ScratchFolder:
    """A folder held by a lock file for as long as its process lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(f"{folder}.lock")
        self._lock.acquire()
        folder.mkdir(mode=0o700)  # what a step is told may hold passwords

    def close(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(f"{self.folder}.lock").unlink(missing_ok=True)
        self._lock.release()


def _sweep(folder: Path) -> None:
    for left in folder.glob("*.json"):  # a record whose writer died; a living one is seconds old
        if time.time() - left.stat().st_mtime > STALE_SECONDS:
            left.unlink(missing_ok=True)
    for held in folder.glob("*.lock"):
        lock = FileLock(held)
        try:
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            continue
        shutil.rmtree(held.with_suffix(""), ignore_errors=True)
        held.unlink(missing_ok=True)
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
    """Return the record in the bytes of its file; None for a damaged one, and for one that does not fit its key."""
    try:
        envelope = parse_json(raw)
        text = envelope["body"]
        if hash_bytes(text.encode()) != envelope["sha256"]:
            return None
        body = parse_json(text, finite=False)  # facts of samples with infinite values have such
        if body["format"] != FORMAT or body["key"] != key:
            return None
        if body["facts"].get("tied") and not is_cpu_dependent(body["action"]):
            return None  # another CPU would have made something else, and could find it
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
    """Delete everything in the store but its locks."""
    for name in ("plans", "ac", "cas", "stats", "quarantine"):
        shutil.rmtree(root / name, ignore_errors=True)


def replace_json(path: Path, value: Json) -> None:
    """A JSON file, written whole and without secrets, for readers of any language."""
    spelled = map_leaves(hide_json(value), _spell_float)
    text = json.dumps(spelled, indent=2, sort_keys=True, allow_nan=False)
    replace_bytes(path, f"{text}\n".encode())


def _spell_float(value: Json) -> Json:
    """Return NaN and the infinities, which JSON lacks, as the texts that JSON of protocol buffers has for them."""
    return json.dumps(value) if isinstance(value, float) and not math.isfinite(value) else value
