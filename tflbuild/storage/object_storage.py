"""A shared store in S3, GCS or Azure, through obstore, which finds credentials in the environment."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tflbuild.core.remote_cache_settings import store_origin
from tflbuild.core.secret_urls import SecretUrl
from tflbuild.storage.remote_storage import (
    CHUNK_BYTES,
    CONNECT_SECONDS,
    SILENT_SECONDS,
    BlobMissing,
    BlobTruncated,
    RemoteUnavailable,
)
from tflbuild.terminal.addresses import LONGEST, public_part

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRIES = 1
SILENT = "kind: Timeout"  # in what obstore tells of an error's cause
PLAIN_HTTP = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}


class ObjectRemote:
    """A bucket, or a folder in one. obstore is loaded, and the environment read, with the first question."""

    def __init__(
        self, url: SecretUrl | str, *, connect: float = CONNECT_SECONDS, silent: float = SILENT_SECONDS
    ) -> None:
        url = SecretUrl.of(url)
        self.host = public_part(url.reveal())
        self.origin = store_origin(url)
        self.limits = (timedelta(seconds=connect), timedelta(seconds=silent))
        self._url = url.reveal()
        self._store: ObjectStore | None = None
        self._lock = threading.Lock()

    def read(self, name: str) -> Generator[bytes, None, None]:
        import obstore

        store = self._open()
        try:
            pieces = obstore.get(store, name).stream(min_chunk_size=CHUNK_BYTES)
        except FileNotFoundError:
            raise BlobMissing(name) from None
        except obstore.exceptions.BaseError as error:
            raise self._outage(error, "read") from error
        try:
            for piece in pieces:
                yield bytes(piece)
        except obstore.exceptions.BaseError as error:
            raise (self._outage(error, "read") if SILENT in str(error) else BlobTruncated(_words(error))) from error

    def size(self, name: str) -> int | None:
        import obstore

        try:
            return obstore.head(self._open(), name)["size"]
        except FileNotFoundError:
            return None
        except obstore.exceptions.BaseError as error:
            raise self._outage(error, "read") from error

    def write(self, name: str, path: Path) -> None:
        import obstore

        try:
            obstore.put(self._open(), name, path)
        except (FileNotFoundError, obstore.exceptions.BaseError) as error:  # no such bucket is also a file not found
            raise self._outage(error, "write") from error

    def _outage(self, error: Exception, what: str) -> RemoteUnavailable:
        import obstore

        if isinstance(error, obstore.exceptions.UnauthenticatedError):
            return RemoteUnavailable("it does not know the credentials in the environment")
        if isinstance(error, obstore.exceptions.PermissionDeniedError):
            return RemoteUnavailable(f"the credentials in the environment do not allow to {what} there")
        if SILENT in str(error):
            return RemoteUnavailable(f"not a byte for {self.limits[1].total_seconds():g} s")
        return RemoteUnavailable(_words(error))

    @property
    def _plain(self) -> bool:
        return os.environ.get(PLAIN_HTTP[self._url.partition("://")[0]], "").lower() in ("true", "1", "yes", "on")

    def _open(self) -> ObjectStore:
        import obstore

        connect, silent = self.limits
        with self._lock:
            if self._store is None:
                try:
                    self._store = obstore.store.from_url(
                        self._url,
                        client_options={
                            "connect_timeout": connect,
                            "read_timeout": silent,
                            "timeout": "1day",
                            "allow_http": self._plain,  # which obstore reads only where no options are given
                        },
                        retry_config={"max_retries": RETRIES, "retry_timeout": connect},
                    )
                except (ValueError, obstore.exceptions.BaseError) as error:
                    raise RemoteUnavailable(_words(error)) from error
            return self._store


def _words(error: Exception) -> str:
    """What obstore says, without times, counts and the server's own words, which may hold an access key's name."""
    text = str(error).partition("\n")[0].partition(": <")[0]
    return re.sub(r" in [\d.]+[mµn]?s\b[^-]*- ", ": ", text).rstrip(": ")[:LONGEST]
