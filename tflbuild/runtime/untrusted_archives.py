"""Unpacking of untrusted archives. Only regular files below the folder are accepted; others refuse the archive."""

from __future__ import annotations

import errno
import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tflbuild.runtime.step_contract import WorkerError

WHERE = "source.handle"
ARCHIVES = (".tar.gz", ".tgz", ".tar")
BY_HAND = "download it by hand and name the folder, or the archive, in source.handle"
CHUNK = 1 << 20

MAX_BYTES = 16 << 30
MAX_MEMBERS = 100_000
# An archive may unpack to MAX_RATIO times its own size, and every archive to this size.
ANY_RATIO_BYTES = 64 << 20
MAX_RATIO = 1000
# The maximum size of the headers of one member.
HEADER_BYTES = 1 << 20
READ_ERRORS = (
    *(tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError),
    # tarfile raises these for invalid headers.
    *(ValueError, IndexError, KeyError, OverflowError, RecursionError),
)
NAME_ERRORS = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ)
SPECIAL_FILES = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
}


@dataclass(frozen=True)
class DownloadedArchive:
    """A local file that should be a tar archive.

    Attributes:
        path: The file.
        label: The name of the archive in messages.
        url: The address from which it was fetched; "" for a file of the user.
        media: The media type that the server stated.
    """

    path: Path
    label: str
    url: str = ""
    media: str = ""


class LimitedTarReader(io.RawIOBase):
    """A reader of a tar file that refuses to read beyond the granted position.

    Attributes:
        file: The uncompressed bytes.
        position: The number of bytes that were read.
        end: The position after the last byte that is not zero.
        granted: The position beyond which reading is refused.
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__()
        self.file = file
        self.position = 0
        self.end = 0
        self.granted = 0

    def grant(self, count: int) -> None:
        """Allow `count` more bytes to be read. One chunk more is possible, since tarfile reads whole chunks."""
        self.granted = self.position + count

    def read(self, size: int = CHUNK) -> bytes:
        """Return the next bytes. Raise tarfile.ReadError beyond the granted position."""
        if self.position > self.granted:
            raise tarfile.ReadError("a header, or the data after the last member, is too long")
        chunk = self.file.read(size)
        if filled := len(chunk.rstrip(b"\0")):
            self.end = self.position + filled
        self.position += len(chunk)
        return chunk


def unpack(archive: DownloadedArchive, folder: Path) -> None:
    """Write the files of an archive to a new folder.

    Raises:
        WorkerError: The file is not an archive, is damaged, or has a member that is refused.
    """
    folder.mkdir()
    with open(archive.path, "rb") as file:
        start = file.read(64)
    zipped = start.startswith(b"\x1f\x8b")
    size = archive.path.stat().st_size
    opened = False
    try:
        with gzip.open(archive.path) if zipped else open(archive.path, "rb") as file:
            reader = LimitedTarReader(file)
            reader.grant(HEADER_BYTES)
            with tarfile.open(fileobj=reader, mode="r|", bufsize=CHUNK) as tar:
                opened = True
                for member in safe_members(tar, reader, archive.label, size):
                    write_member(tar, member, folder, archive.label)
    except READ_ERRORS as error:
        reason = f"{type(error).__name__}: {error}"
        if opened or zipped:
            what = f"the archive '{archive.label}' is broken or cut short"
        else:
            what = f"'{archive.label}' is no .tar or .tar.gz"
            reason = f"it is {archive.media or 'a file'} of {size:,} bytes that begins with {repr(start)[1:]}"
        next_step = (
            f"open the address in a browser to see what the server returns; or {BY_HAND}"
            if archive.url
            else "copy the archive, or pack it, again"
        )
        raise WorkerError(what, where=WHERE, why=reason, next_step=next_step) from error


def safe_members(tar: tarfile.TarFile, reader: LimitedTarReader, label: str, size: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive, each before its content is read.

    Args:
        tar: The archive, opened as a stream of `reader`.
        reader: The reader, which is allowed to read one member at a time.
        label: The name of the archive in messages.
        size: The size of the archive file in bytes.

    Raises:
        WorkerError: A member is refused, or the archive unpacks to too many bytes or members.
        tarfile.ReadError: A header is damaged, or the end of the archive is missing.
    """
    limit = min(MAX_BYTES, max(ANY_RATIO_BYTES, MAX_RATIO * size))
    total = count = end = 0
    while (member := tar.next()) is not None:
        if reason := refusal_reason(member):
            refuse(label, reason)
        data = member.size if member.isreg() else 0
        total, count = total + data, count + 1
        if total > limit or count > MAX_MEMBERS:
            refuse(label, f"it unpacks to more than {limit:,} bytes or {MAX_MEMBERS:,} members, out of {size:,} bytes")
        # The content of this member, and the header of the next one.
        reader.grant(data + HEADER_BYTES)
        yield member
        end = member.offset_data + -(-data // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    reader.grant(ANY_RATIO_BYTES)
    # Read to the end, where gzip has a checksum.
    while reader.read(CHUNK):
        pass
    if reader.end > end or reader.position < end + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("no end mark after the last member")


def refusal_reason(member: tarfile.TarInfo) -> str:
    """Return why a member must not be unpacked; "" if it may be unpacked."""
    name = ascii(member.name)
    if not (member.isdir() or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)) or member.issparse():
        return f"{name} is {SPECIAL_FILES.get(member.type, 'not a regular file')}"
    return name_refusal_reason(member.name)


def name_refusal_reason(name: str) -> str:
    """Return why a file with this name must not be written below a folder; "" if it may be written."""
    if name.startswith("/"):
        return f"{name!a} is an absolute path"
    if ".." in name.split("/"):
        return f"{name!a} leads out of its folder"
    if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        return f"{name!a} is not a valid UTF-8 name"
    return ""


def write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, label: str) -> None:
    """Write one file or folder. Raise WorkerError if two members have the same name."""
    path = folder / member.name
    try:
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        data = tar.extractfile(member)
        assert data is not None
        with open(path, "xb") as file:
            shutil.copyfileobj(data, file, CHUNK)
    except OSError as error:
        if error.errno not in NAME_ERRORS:
            raise
        refuse(label, f"{member.name!a} cannot be written: {error.strerror}")


def refuse(label: str, reason: str) -> NoReturn:
    """Raise WorkerError for an archive that is not unpacked."""
    raise WorkerError(
        f"the archive '{label}' is refused",
        where=WHERE,
        why=reason,
        next_step="unpack it by hand, check its files, and name the folder in source.handle",
    )
