"""Remote cache in S3, GCS or Azure, with the package obstore, which reads credentials from the environment."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
# The text of obstore errors that are caused by a timeout.
TIMEOUT_TEXT = "kind: Timeout"
# For each URL scheme, the environment variable that allows connections without TLS.
PLAIN_HTTP = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}


class ObjectRemote:
    """The remote cache in a bucket, or in a folder of a bucket.

    obstore is imported, and the environment is read, at the first request.

    Args:
        url: The URL, with one of the schemes `s3`, `gs` and `az`.
        connect: The longest time for a connection, in seconds.
        silent: The longest time without a byte, in seconds.
    """

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
            chunks = obstore.get(store, name).stream(min_chunk_size=CHUNK_BYTES)
        except FileNotFoundError:
            raise BlobMissing(name) from None
        except obstore.exceptions.BaseError as error:
            raise self._make_outage(error, "read") from error
        try:
            for chunk in chunks:
                yield bytes(chunk)
        except obstore.exceptions.BaseError as error:
            if TIMEOUT_TEXT in str(error):
                raise self._make_outage(error, "read") from error
            raise BlobTruncated(_describe_error(error)) from error

    def size(self, name: str) -> int | None:
        import obstore

        try:
            return obstore.head(self._open(), name)["size"]
        except FileNotFoundError:
            return None
        except obstore.exceptions.BaseError as error:
            raise self._make_outage(error, "read") from error

    def write(self, name: str, path: Path) -> None:
        import obstore

        try:
            obstore.put(self._open(), name, path)
        except (FileNotFoundError, obstore.exceptions.BaseError) as error:
            # obstore raises FileNotFoundError if there is no such bucket.
            raise self._make_outage(error, "write") from error

    def _make_outage(self, error: Exception, access: Literal["read", "write"]) -> RemoteUnavailable:
        """Return the outage for an error of obstore."""
        import obstore

        if isinstance(error, obstore.exceptions.UnauthenticatedError):
            return RemoteUnavailable("it does not accept the credentials in the environment")
        if isinstance(error, obstore.exceptions.PermissionDeniedError):
            return RemoteUnavailable(f"the credentials in the environment do not permit {access} access")
        if TIMEOUT_TEXT in str(error):
            return RemoteUnavailable(f"no data for {self.limits[1].total_seconds():g} s")
        return RemoteUnavailable(_describe_error(error))

    @property
    def _allows_plain_http(self) -> bool:
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
                            # obstore reads this variable only if there are no client options.
                            "allow_http": self._allows_plain_http,
                        },
                        retry_config={"max_retries": RETRIES, "retry_timeout": connect},
                    )
                except (ValueError, obstore.exceptions.BaseError) as error:
                    raise RemoteUnavailable(_describe_error(error)) from error
            return self._store


def _describe_error(error: Exception) -> str:
    """Return the message of an obstore error without times and counts, and without the text of the server.

    The text of the server may contain the name of an access key.
    """
    text = str(error).partition("\n")[0].partition(": <")[0]
    return re.sub(r" in [\d.]+[mµn]?s\b[^-]*- ", ": ", text).rstrip(": ")[:LONGEST]
