"""Interface to the server of a remote cache: files by name, below a URL.

    ac/<key>         the record of a finished action, in the format of the local store
    cas/<digest>     a blob

Files from a server are untrusted. `storage.record_validation` and the callers compare them with their names.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Protocol

from tflbuild.core.remote_cache_settings import RemoteCacheSettings

CONNECT_SECONDS = 5.0
# The longest time without a byte from the server.
SILENT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20


class BlobMissing(Exception):
    """The server has no file of this name."""


class BlobTruncated(Exception):
    """A file that arrived incompletely or is invalid. The text says why."""


class RemoteUnavailable(Exception):
    """The server cannot be reached, or refuses the request. The text says why, and contains no password."""


class RemoteStorage(Protocol):
    """Access to the files of a server by name. Several threads may use it at once.

    Every method raises `RemoteUnavailable` if the server cannot be reached or refuses the request. `host` is the name
    of the server in messages, `origin` its name in the records that come from it.
    """

    host: str
    origin: str

    def read(self, name: str) -> Generator[bytes, None, None]:
        """Yield the bytes of a file in chunks.

        Raises:
            BlobMissing: The server has no file of this name.
            BlobTruncated: The connection ended before the file was complete.
            RemoteUnavailable: The server cannot be reached, or refuses the request.
        """

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes, None if there is no such file."""

    def write(self, name: str, path: Path) -> None:
        """Upload a file. It replaces a file of the same name."""


def open_remote(settings: RemoteCacheSettings) -> RemoteStorage:
    """Return the access to the remote cache of these settings. Nothing is sent before the first request."""
    if settings.access == "http":
        from tflbuild.storage.http_storage import HttpRemote

        return HttpRemote(settings.url)
    from tflbuild.storage.object_storage import ObjectRemote

    return ObjectRemote(settings.url)
