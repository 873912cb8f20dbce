"""A store that others share: files by name, behind a URL.

    ac/<key>         a finished action, as the local store writes it
    cas/<digest>     bytes

Nothing that comes from it is believed here; `storage.record_validation` and whoever asks hold it against its name.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Protocol

from tflbuild.core.remote_cache_settings import RemoteCacheSettings

CONNECT_SECONDS = 5.0
SILENT_SECONDS = 30.0  # the longest that it may go without a byte
CHUNK_BYTES = 1 << 20


class BlobMissing(Exception):
    """The store answers that it has no file of that name."""


class BlobTruncated(Exception):
    """A file ended before its end. The text says how."""


class RemoteUnavailable(Exception):
    """The store cannot be reached, or will not serve. The text says why, and holds no password."""


class RemoteStorage(Protocol):
    """Files by name. May be used by several threads at once.

    Every method raises Outage when the store does not serve. `host` is what a person calls it, `origin` what records
    from it are marked with.
    """

    host: str
    origin: str

    def read(self, name: str) -> Generator[bytes, None, None]:
        """The bytes of a file, in pieces. Raises Absent, or Broken where they end early."""

    def size(self, name: str) -> int | None:
        """How many bytes a file has, None where it is not there."""

    def write(self, name: str, path: Path) -> None:
        """Put a file there, in place of what was."""


def open_remote(shared: RemoteCacheSettings) -> RemoteStorage:
    """The store behind a URL. Nothing is sent before the first question."""
    if shared.access == "http":
        from tflbuild.storage.http_storage import HttpRemote

        return HttpRemote(shared.url)
    from tflbuild.storage.object_storage import ObjectRemote

    return ObjectRemote(shared.url)
