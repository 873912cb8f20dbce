"""Archives of strangers: plain files below their own folder are written, anything else refuses the whole."""

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
BY_HAND = "download it by hand and give the folder, or the archive, as source.handle"
CHUNK = 1 << 20

MOST_BYTES = 16 << 30
MOST_MEMBERS = 100_000
ANY_RATIO_BYTES = 64 << 20  # what an archive of any size may unpack to
MOST_RATIO = 1000
HEADER_BYTES = 1 << 20  # of what describes one member
UNREADABLE = (
    *(tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError),
    *(ValueError, IndexError, KeyError, OverflowError, RecursionError),  # tarfile's, of headers that make no sense
)
UNPLACEABLE = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ)
NOT_PLAIN = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
}


@dataclass(frozen=True)
class DownloadedArchive:
    """A file on this disk that should be a tar. Of a fetched one, `url` says from where, and `media` as what."""

    path: Path
    label: str
    url: str = ""
    media: str = ""


class LimitedTarReader(io.RawIOBase):
    """A tar's bytes in order, no more than were granted; `end` is after the last of them that is not zero."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__()
        self.file = file
        self.position = 0
        self.end = 0
        self.granted = 0

    def grant(self, count: int) -> None:
        """Let so many bytes more be read, and what is read ahead."""
        self.granted = self.position + count

    def read(self, size: int = CHUNK) -> bytes:
        """The next bytes. Raises tarfile.ReadError past what was granted."""
        if self.position > self.granted:
            raise tarfile.ReadError("a header, or what follows the last member, is too long")
        chunk = self.file.read(size)
        if filled := len(chunk.rstrip(b"\0")):
            self.end = self.position + filled
        self.position += len(chunk)
        return chunk


def unpack(archive: DownloadedArchive, folder: Path) -> None:
    """Write an archive's files into a new folder. Raises WorkerError for no archive, or one that is refused."""
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
    except UNREADABLE as error:
        why = f"{type(error).__name__}: {error}"
        if opened or zipped:
            what = f"the archive '{archive.label}' is broken or cut short"
        else:
            what = f"'{archive.label}' is no .tar or .tar.gz"
            why = f"{archive.media or 'a file'} of {size:,} bytes that begins {repr(start)[1:]}"
        next_step = (
            f"open it in a browser to see what is there; or {BY_HAND}" if archive.url else "get it, or pack it, again"
        )
        raise WorkerError(what, where=WHERE, why=why, next_step=next_step) from error


def safe_members(tar: tarfile.TarFile, reader: LimitedTarReader, label: str, size: int) -> Iterator[tarfile.TarInfo]:
    """Members one by one, each before its bytes are read. Raises WorkerError or tarfile.ReadError at a bad one."""
    limit = min(MOST_BYTES, max(ANY_RATIO_BYTES, MOST_RATIO * size))
    total = count = end = 0
    while (member := tar.next()) is not None:
        if why := objection(member):
            refuse(label, why)
        data = member.size if member.isreg() else 0
        total, count = total + data, count + 1
        if total > limit or count > MOST_MEMBERS:
            refuse(label, f"it unpacks to more than {limit:,} bytes or {MOST_MEMBERS:,} members, out of {size:,} bytes")
        reader.grant(data + HEADER_BYTES)  # its own bytes, and the next one's header
        yield member
        end = member.offset_data + -(-data // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    reader.grant(ANY_RATIO_BYTES)
    while reader.read(CHUNK):
        pass  # to the end, where gzip has a checksum
    if reader.end > end or reader.position < end + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("no end mark after the last member")


def objection(member: tarfile.TarInfo) -> str:
    """Why a member must not be unpacked; empty when it may."""
    name = ascii(member.name)
    if not (member.isdir() or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)) or member.issparse():
        return f"{name} is {NOT_PLAIN.get(member.type, 'no plain file')}"
    return unsafe_name(member.name)


def unsafe_name(name: str) -> str:
    """Why a file of that name must not be written below a folder; empty when it may."""
    if name.startswith("/"):
        return f"{name!a} is an absolute path"
    if ".." in name.split("/"):
        return f"{name!a} leads out of its folder"
    if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        return f"{name!a} is no name in UTF-8"
    return ""


def write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, label: str) -> None:
    """One file or folder; no name may stand twice."""
    place = folder / member.name
    try:
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        data = tar.extractfile(member)
        assert data is not None
        with open(place, "xb") as file:
            shutil.copyfileobj(data, file, CHUNK)
    except OSError as error:
        if error.errno not in UNPLACEABLE:
            raise
        refuse(label, f"{member.name!a} cannot be written: {error.strerror}")


def refuse(label: str, why: str) -> NoReturn:
    """An archive that is not unpacked."""
    raise WorkerError(
        f"the archive '{label}' is refused",
        where=WHERE,
        why=why,
        next_step="unpack it by hand, look at what it holds, and give the folder as source.handle",
    )
