"""Download of step results from a remote cache, and upload of new ones.

The executor's thread requests results and continues. The threads of this module communicate with the server, and wake
the executor's selector through a socket. Downloaded bytes are untrusted until their digest has been computed, and
every downloaded record is marked with its origin.

The first outage turns the remote cache off for the rest of the run, with one warning. So does a server for which the
build has waited too long in total. Every other fault of the server is a cache miss.
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
from tflbuild.storage.record_signatures import RecordSigner, trusted_origins
from tflbuild.storage.record_validation import MAX_RECORD_BYTES, read_incoming
from tflbuild.storage.remote_storage import BlobMissing, BlobTruncated, RemoteStorage, RemoteUnavailable
from tflbuild.storage.store import ActionRecord, Store

# How many downloads and uploads run at once.
MAX_DOWNLOADS, MAX_UPLOADS = 8, 4
# How long the end of a build waits for unfinished uploads, and after which time it reports that it waits.
UPLOAD_SECONDS = 60.0
QUIET_SECONDS = 0.5


@dataclass
class _IncomingRecord:
    """A downloaded record, the number of its blobs that are still missing, and the bytes that these may still have."""

    record: ActionRecord
    missing_blobs: int
    remaining_bytes: int


class WaitBudget:
    """The total time that a build may wait for a remote cache. Time in which nothing is awaited does not count."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waited = 0.0
        self._since: float | None = None

    @property
    def remaining_seconds(self) -> float:
        """Return how long the build may still wait, in seconds."""
        now = time.monotonic()
        return max(0.0, self.seconds - self._waited - (now - (now if self._since is None else self._since)))

    def is_over(self, *, waiting: bool) -> bool:
        """Set whether the build waits from now on, and return whether the total time is used up."""
        if self._since is not None:
            self._waited += time.monotonic() - self._since
        self._since = time.monotonic() if waiting else None
        return self._waited > self.seconds


class RemoteCache:
    """The remote cache of one run. Each cache key is requested at most once.

    Args:
        store: The local store.
        folder: A new folder for unfinished downloads.
        remote: The server.
        on_event: Receives notices and `StepFetching` events, in the executor's thread.
        push: Upload new results.
        seconds: The total time that the build may wait for the server.
        signatures: The keys that sign uploads and check downloads.
    """

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
        store.trusted_origins |= trusted_origins(remote.origin)
        self.signatures = signatures or RecordSigner()
        self.wait_budget = WaitBudget(seconds)
        self.store = store
        self.folder = folder
        self.remote = remote
        self.push = push
        self.on_event = on_event
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._downloads, self._uploads = DaemonThreadPool(MAX_DOWNLOADS), DaemonThreadPool(MAX_UPLOADS)
        self._lock = threading.Lock()
        self._off = False
        # Why the remote cache was turned off, until the warning has been emitted.
        self._outage = ""
        # Cache keys that were requested, that may still arrive, and that have arrived.
        self._requested: set[str] = set()
        self._awaited: set[str] = set()
        self._downloaded: set[str] = set()
        # Digests of blobs that the server has, and of blobs whose bytes on the server do not match their name.
        self._remote_blobs: set[str] = set()
        self._bad_blobs: set[str] = set()
        self._unsent = 0
        # The number of records that no trusted key has signed.
        self._unsigned = 0

    # methods for the executor's thread

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a request has finished or the remote cache was turned off.

        Selectors call this method.
        """
        return self._wake_reader.fileno()

    def receive(self) -> None:
        """Clear the wake-up signal. Emits the warning if the remote cache was turned off."""
        with contextlib.suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass
        with self._lock:
            outage, self._outage = self._outage, ""
        if outage:
            self.on_event(
                Notice(
                    f"warning: the remote cache at {self.remote.host} is not available: {outage};"
                    " the build uses the local store only"
                )
            )

    @property
    def busy(self) -> bool:
        """Return whether a requested result may still arrive."""
        self._measure_wait()
        return bool(self._awaited) and not self._off

    def request(self, step: Step, key: str) -> bool:
        """Return whether the result under a cache key may still arrive. The first call requests it."""
        self._measure_wait()
        if self._off or KINDS[step.kind].scope is not CacheScope.EVERYWHERE:
            return False
        if key not in self._requested:
            self._requested.add(key)
            self._awaited.add(key)
            self.on_event(StepFetching(step))
            names = {*KINDS[step.kind].outputs, LOG}
            self._downloads.submit(partial(self._attempt, key, partial(self._download_record, key, names)))
        return key in self._awaited

    def origin(self, key: str) -> str:
        """Return the host from which the result under a cache key was downloaded, "" if it was not downloaded."""
        return self.remote.host if key in self._downloaded else ""

    def send(self, kind: str, record: ActionRecord) -> None:
        """Queue the upload of a result, if this run uploads and results of the step kind may leave this machine."""
        if self.push and not self._off and KINDS[kind].scope is CacheScope.EVERYWHERE:
            with self._lock:
                self._unsent += 1
            self._uploads.submit(partial(self._send, record))

    def finish(self) -> None:
        """Wait for unfinished uploads, at most UPLOAD_SECONDS and within the wait budget."""
        begun, reported = time.monotonic(), False
        limit = min(UPLOAD_SECONDS, self.wait_budget.remaining_seconds)
        while self._unsent and not self._off:
            interrupts.check()
            waited = time.monotonic() - begun
            if waited > limit:
                late = f"{_count(self._unsent)} not sent to {self.remote.host} within {limit:.3g} s"
                self.on_event(Notice(f"warning: {late}; the build itself is complete"))
                break
            if waited > QUIET_SECONDS and not reported:
                self.on_event(Notice(f"uploading {_count(self._unsent)} to {self.remote.host}"))
                reported = True
            select.select([self._wake_reader], [], [], QUIET_SECONDS)
            self.receive()
        self.receive()
        if self._unsigned:
            subject = f"{_count(self._unsigned)} from the remote cache at {self.remote.host}"
            self.on_event(Notice(f"warning: {subject} not used: not signed by any key in {TRUSTED_KEYS}"))

    def close(self) -> None:
        """End the threads.

        A thread that waits for the network is abandoned. That is safe: a record is added to the store only after all
        its blobs are complete.
        """
        self._off = True
        for threads in (self._downloads, self._uploads):
            threads.close()
        self._wake_reader.close()
        with self._lock:
            self._wake_writer.close()

    def _measure_wait(self) -> None:
        """Turn the remote cache off if the build has waited for it longer than `store.seconds` in total."""
        if not self._off and self.wait_budget.is_over(waiting=bool(self._awaited)):
            seconds = self.wait_budget.seconds
            self._turn_off(f"the build has waited for it longer than {seconds:g} s in total (store.seconds)")

    # methods for the threads of the pools

    def _wake(self) -> None:
        # If the socket is full, the executor will wake up anyway. If it is closed, nobody waits.
        with contextlib.suppress(OSError), self._lock:
            self._wake_writer.send(b".")

    def _turn_off(self, reason: str) -> None:
        with self._lock:
            if not self._off:
                self._off, self._outage = True, reason
        self._wake()

    def _attempt(self, key: str, job: Callable[[], None]) -> None:
        """Run a part of the download of a cache key. If it fails, the key is a cache miss."""
        try:
            if not self._off:
                return job()
        except (BlobMissing, BlobTruncated, OSError):
            # An OSError is a fault of the local disk. The step that runs instead will report it.
            pass
        except RemoteUnavailable as outage:
            self._turn_off(str(outage))
        except Exception as error:
            # A bug in this module or in a library must not fail the build.
            self._turn_off(f"{type(error).__name__}: {error}")
        return self._end_request(key)

    def _end_request(self, key: str, *, downloaded: bool = False) -> None:
        with self._lock:
            self._awaited.discard(key)
            if downloaded:
                self._downloaded.add(key)
        self._wake()

    def _download_record(self, key: str, names: Iterable[str]) -> None:
        """Download the record of a cache key, check it, and queue the downloads of its missing blobs."""
        raw = b""
        with contextlib.closing(self.remote.read(f"ac/{key}")) as chunks:
            for chunk in chunks:
                raw += chunk
                if len(raw) > MAX_RECORD_BYTES:
                    raise BlobTruncated("the file is too large for a record")
        if not self.signatures.accept(raw):
            with self._lock:
                self._unsigned += 1
            raise BlobTruncated("no trusted key has signed the record")
        record = read_incoming(key, raw, set(names))
        if record is None:
            raise BlobTruncated("the file is not a record of this cache key")
        limits = {digest: output.size for output in record.outputs.values() for digest in output.blobs()}
        total_bytes = sum(output.size for output in record.outputs.values())
        if total_bytes > shutil.disk_usage(self.folder).free:
            raise BlobTruncated("the disk has not enough free space")
        missing = [digest for digest in limits if not self.store.has(digest)]
        if not missing:
            self._adopt(record)
        arrival = _IncomingRecord(record, len(missing), total_bytes)
        for digest in missing:
            job = partial(self._download_blob, arrival, digest, limits[digest])
            self._downloads.submit(partial(self._attempt, key, job))

    def _download_blob(self, arrival: _IncomingRecord, digest: str, limit: int) -> None:
        """Download a blob and add it to the store if its bytes have the digest. The last blob adds the record."""
        path = self.folder / uuid.uuid4().hex
        try:
            if self._save(f"cas/{digest}", path, limit, arrival) != digest:
                self._bad_blobs.add(digest)
                raise BlobTruncated("the bytes do not have this digest")
            self.store.add_blob(path, digest)
        finally:
            path.unlink(missing_ok=True)
        # This hashes the blob and caches its digest, so that the executor's thread need not do it.
        self.store.has(digest)
        self._remote_blobs.add(digest)
        with self._lock:
            arrival.missing_blobs -= 1
            complete = not arrival.missing_blobs
        if complete:
            self._adopt(arrival.record)

    def _save(self, name: str, path: Path, limit: int, arrival: _IncomingRecord) -> str:
        """Stream a file of the server to `path` and return its SHA-256.

        Raises:
            BlobTruncated: The file has more than `limit` bytes, or all blobs of the record together have more bytes
                than the record states. At most one chunk beyond the limit is read.
        """
        digest, size = hashlib.sha256(), 0
        with open(path, "xb") as file, contextlib.closing(self.remote.read(name)) as chunks:
            for chunk in chunks:
                size += len(chunk)
                with self._lock:
                    arrival.remaining_bytes -= len(chunk)
                if size > limit or arrival.remaining_bytes < 0 or self._off:
                    raise BlobTruncated("the file is larger than its record states")
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def _adopt(self, record: ActionRecord) -> None:
        self.store.adopt(replace(record, origins=(self.signatures.mark(self.remote.origin),)))
        self._end_request(record.key, downloaded=True)

    def _send(self, record: ActionRecord) -> None:
        """Upload the blobs of a record, and then the record, so that a record on the server is always complete."""
        try:
            for digest in dict.fromkeys(digest for output in record.outputs.values() for digest in output.blobs()):
                if self._off:
                    return
                self._send_blob(digest)
            self._send_record(record.key)
        except RemoteUnavailable as outage:
            self._turn_off(str(outage))
        except OSError:
            # The local file is gone. Blobs that were uploaded are harmless, since no record refers to them.
            pass
        except Exception as error:
            self._turn_off(f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._unsent -= 1
            self._wake()

    def _send_record(self, key: str) -> None:
        """Upload a record, signed if this machine has a signing key."""
        path = self.folder / uuid.uuid4().hex
        try:
            path.write_bytes(self.signatures.sign(self.store.action_file(key).read_bytes()))
            self.remote.write(f"ac/{key}", path)
        finally:
            path.unlink(missing_ok=True)

    def _send_blob(self, digest: str) -> None:
        """Upload a blob unless the server has it. A blob that had the wrong bytes on the server is replaced."""
        path, name = self.store.blob(digest), f"cas/{digest}"
        if digest in self._remote_blobs:
            return
        if digest in self._bad_blobs or self.remote.size(name) != path.stat().st_size:
            self.remote.write(name, path)
        self._remote_blobs.add(digest)


def _count(results: int) -> str:
    return f"{results} result{'' if results == 1 else 's'}"
