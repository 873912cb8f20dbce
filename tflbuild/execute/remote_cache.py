"""What passes between the store here and one that others share: results fetched, results sent.

The executor's thread asks and goes on; threads here speak with the remote, and wake its selector
through a socket. What comes is a stranger's until its digest was computed, and what is taken is
marked with where it came from. The first outage turns the remote off for good, with one warning, and
so does a remote that made the build wait for too long in all; whatever else is wrong with it is a miss.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tflbuild import interrupts
from tflbuild.core.remote_cache_settings import DEFAULT_SECONDS, TRUSTED_KEYS
from tflbuild.core.step import Step
from tflbuild.core.step_kind import CacheScope
from tflbuild.execute.daemon_threads import DaemonThreadPool
from tflbuild.execute.events import Event, Notice, StepFetching
from tflbuild.registry.step_kinds import KINDS, LOG
from tflbuild.storage.record_signatures import RecordSigner, believed_origins
from tflbuild.storage.record_validation import LONGEST_RECORD, read_incoming
from tflbuild.storage.remote_storage import BlobMissing, BlobTruncated, RemoteStorage, RemoteUnavailable
from tflbuild.storage.store import ActionRecord, Store

FETCHES, SENDS = 8, 4  # at once
UPLOAD_SECONDS = 60.0  # that the end of a build waits for what is still being sent
QUIET_SECONDS = 0.5  # that it waits before it says so


@dataclass
class _IncomingRecord:
    """A record that came, how many of its blobs did not yet, and how many bytes those may have together."""

    record: ActionRecord
    left: int
    room: int


class WaitBudget:
    """How long a build waits for a store in all; time in which nothing is awaited does not count."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waited = 0.0
        self._since: float | None = None

    @property
    def left(self) -> float:
        """Seconds that it may still wait."""
        now = time.monotonic()
        return max(0.0, self.seconds - self._waited - (now - (now if self._since is None else self._since)))

    def is_over(self, *, waiting: bool) -> bool:
        """Note whether something is awaited from now on. Returns whether the time is up."""
        if self._since is not None:
            self._waited += time.monotonic() - self._since
        self._since = time.monotonic() if waiting else None
        return self._waited > self.seconds


class RemoteCache:
    """One remote, for one run. A key is asked for once."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        remote: RemoteStorage,
        on_event: Callable[[Event], None],
        *,
        push: bool,
        seconds: float = DEFAULT_SECONDS,
        signatures: RecordSigner | None = None,
    ) -> None:
        folder.mkdir()
        store.believed |= believed_origins(remote.origin)
        self.signatures = signatures or RecordSigner()
        self.patience = WaitBudget(seconds)
        self.store = store
        self.folder = folder
        self.remote = remote
        self.push = push
        self.on_event = on_event
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        self._fetchers, self._senders = DaemonThreadPool(FETCHES), DaemonThreadPool(SENDS)
        self._lock = threading.Lock()
        self._off = False
        self._trouble = ""
        self._asked: set[str] = set()
        self._awaited: set[str] = set()
        self._brought: set[str] = set()
        self._known: set[str] = set()  # blobs that the remote has, whole
        self._bad: set[str] = set()  # and those that it has under a wrong name
        self._unsent = 0
        self._refused = 0  # records that no trusted key signed

    # for the executor's thread

    def fileno(self) -> int:
        """What becomes readable when something came of what was asked."""
        return self._ear.fileno()

    def receive(self) -> None:
        """Take note of it. The one warning is given here."""
        with contextlib.suppress(BlockingIOError):
            while self._ear.recv(4096):
                pass
        with self._lock:
            trouble, self._trouble = self._trouble, ""
        if trouble:
            self.on_event(
                Notice(
                    f"warning: the shared store at {self.remote.host} does not serve: {trouble};"
                    " built from the local store alone"
                )
            )

    @property
    def busy(self) -> bool:
        """Whether something is on its way here."""
        self._measure_wait()
        return bool(self._awaited) and not self._off

    def fetching(self, step: Step, key: str) -> bool:
        """Whether a result may still come; the first question asks for it."""
        self._measure_wait()
        if self._off or KINDS[step.kind].scope is not CacheScope.EVERYWHERE:
            return False
        if key not in self._asked:
            self._asked.add(key)
            self._awaited.add(key)
            self.on_event(StepFetching(step))
            names = {*KINDS[step.kind].outputs, LOG}
            self._fetchers.submit(partial(self._attempt, key, partial(self._fetch, key, names)))
        return key in self._awaited

    def origin(self, key: str) -> str:
        """Where a result came from, "" for one that was not fetched."""
        return self.remote.host if key in self._brought else ""

    def send(self, kind: str, record: ActionRecord) -> None:
        """Let others have a result."""
        if self.push and not self._off and KINDS[kind].scope is CacheScope.EVERYWHERE:
            with self._lock:
                self._unsent += 1
            self._senders.submit(partial(self._send, record))

    def finish(self) -> None:
        """Wait for what is still being sent, but not for long."""
        begun, told = time.monotonic(), False
        limit = min(UPLOAD_SECONDS, self.patience.left)
        while self._unsent and not self._off:
            interrupts.check()
            waited = time.monotonic() - begun
            if waited > limit:
                late = f"{_count(self._unsent)} not sent to {self.remote.host} within {limit:.3g} s"
                self.on_event(Notice(f"warning: {late}; the build is complete without"))
                break
            if waited > QUIET_SECONDS and not told:
                self.on_event(Notice(f"uploading {_count(self._unsent)} to {self.remote.host}"))
                told = True
            select.select([self._ear], [], [], QUIET_SECONDS)
            self.receive()
        self.receive()
        if self._refused:
            what = f"{_count(self._refused)} of the shared store at {self.remote.host}"
            self.on_event(Notice(f"warning: {what} not taken: no key of {TRUSTED_KEYS} signed what it sent"))

    def close(self) -> None:
        """End the threads. One that waits for the network is left to itself: what it may still take is whole."""
        self._off = True
        for threads in (self._fetchers, self._senders):
            threads.close()
        self._ear.close()
        with self._lock:
            self._mouth.close()

    def _measure_wait(self) -> None:
        """Turn the remote off once the build has waited for it as long as it may."""
        if not self._off and self.patience.is_over(waiting=bool(self._awaited)):
            self._turn_off(f"the {self.patience.seconds:g} s that a build waits for it in all are over (store.seconds)")

    # for the threads

    def _wake(self) -> None:
        with contextlib.suppress(OSError), self._lock:  # full: it is awake; closed: nobody waits
            self._mouth.send(b".")

    def _turn_off(self, why: str) -> None:
        with self._lock:
            if not self._off:
                self._off, self._trouble = True, why
        self._wake()

    def _attempt(self, key: str, job: Callable[[], None]) -> None:
        """A part of fetching a key; when it cannot be done the key is a miss."""
        try:
            if not self._off:
                return job()
        except (BlobMissing, BlobTruncated, OSError):  # OSError: the disk here; the step that runs instead will say
            pass
        except RemoteUnavailable as outage:
            self._turn_off(str(outage))
        except Exception as error:  # a mistake of ours or of a library: no reason to fail a build
            self._turn_off(f"{type(error).__name__}: {error}")
        return self._settle(key)

    def _settle(self, key: str, *, brought: bool = False) -> None:
        with self._lock:
            self._awaited.discard(key)
            if brought:
                self._brought.add(key)
        self._wake()

    def _fetch(self, key: str, names: Iterable[str]) -> None:
        raw = b""
        with contextlib.closing(self.remote.read(f"ac/{key}")) as pieces:
            for piece in pieces:
                raw += piece
                if len(raw) > LONGEST_RECORD:
                    raise BlobTruncated("it is too long for a record")
        if not self.signatures.accept(raw):
            with self._lock:
                self._refused += 1
            raise BlobTruncated("no trusted key signed it")
        record = read_incoming(key, raw, set(names))
        if record is None:
            raise BlobTruncated("it is no record of this key")
        limits = {digest: output.size for output in record.outputs.values() for digest in output.blobs()}
        room = sum(output.size for output in record.outputs.values())
        if room > shutil.disk_usage(self.folder).free:
            raise BlobTruncated("it would not fit on the disk")
        missing = [digest for digest in limits if not self.store.has(digest)]
        if not missing:
            self._adopt(record)
        arrival = _IncomingRecord(record, len(missing), room)
        for digest in missing:
            job = partial(self._bring, arrival, digest, limits[digest])
            self._fetchers.submit(partial(self._attempt, key, job))

    def _bring(self, arrival: _IncomingRecord, digest: str, limit: int) -> None:
        """One blob, streamed to disk and given its name when its digest is that name."""
        path = self.folder / uuid.uuid4().hex
        try:
            if self._save(f"cas/{digest}", path, limit, arrival) != digest:
                self._bad.add(digest)
                raise BlobTruncated("its bytes do not have this digest")
            self.store.take(path, digest)
        finally:
            path.unlink(missing_ok=True)
        self.store.has(digest)  # hashed again and remembered, which the executor's thread need not do then
        self._known.add(digest)
        with self._lock:
            arrival.left -= 1
            last = not arrival.left
        if last:
            self._adopt(arrival.record)

    def _save(self, name: str, path: Path, limit: int, arrival: _IncomingRecord) -> str:
        """The SHA-256 of what came, of which no more is taken than `limit` bytes and a piece.

        All blobs of a record together are no longer than it says either.
        """
        digest, size = hashlib.sha256(), 0
        with open(path, "xb") as file, contextlib.closing(self.remote.read(name)) as pieces:
            for piece in pieces:
                size += len(piece)
                with self._lock:
                    arrival.room -= len(piece)
                if size > limit or arrival.room < 0 or self._off:
                    raise BlobTruncated("it is longer than its record says")
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    def _adopt(self, record: ActionRecord) -> None:
        self.store.adopt(replace(record, origins=(self.signatures.mark(self.remote.origin),)))
        self._settle(record.key, brought=True)

    def _send(self, record: ActionRecord) -> None:
        """Blobs first, the record last."""
        try:
            for digest in dict.fromkeys(digest for output in record.outputs.values() for digest in output.blobs()):
                if self._off:
                    return
                self._send_blob(digest)
            self._send_record(record.key)
        except RemoteUnavailable as outage:
            self._turn_off(str(outage))
        except OSError:
            pass  # the file is gone here; what was sent of it leads nowhere without a record
        except Exception as error:
            self._turn_off(f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._unsent -= 1
            self._wake()

    def _send_record(self, key: str) -> None:
        """Signed, where this machine signs."""
        path = self.folder / uuid.uuid4().hex
        try:
            path.write_bytes(self.signatures.sign(self.store.action_file(key).read_bytes()))
            self.remote.write(f"ac/{key}", path)
        finally:
            path.unlink(missing_ok=True)

    def _send_blob(self, digest: str) -> None:
        """Unless it is there; one that was found to be bad is replaced."""
        path, name = self.store.blob(digest), f"cas/{digest}"
        if digest in self._known:
            return
        if digest in self._bad or self.remote.size(name) != path.stat().st_size:
            self.remote.write(name, path)
        self._known.add(digest)


def _count(results: int) -> str:
    return f"{results} result{'' if results == 1 else 's'}"
