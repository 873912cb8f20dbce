"""Build the wheel and the source archive with the same bytes everywhere: setuptools, and then one normal form.

pip and build call it (PEP 517, `[build-system]` of pyproject.toml). setuptools writes the time, the owner and the
permissions of files into archives, in the order of the file system. Here members are in the order of their names,
belong to nobody, have one of two permissions, and the time SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs).

Before a build, the table of the modules' digests is written into the package (`resolve.implementation`).
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

from setuptools import build_meta  # type: ignore[import-untyped]
from setuptools.build_meta import (  # type: ignore[import-untyped]
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

from tflbuild.resolve.implementation import write_table

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

EARLIEST = 315532800  # 1980-01-01, the first day that a zip archive can state
READ, RUN = 0o644, 0o755
PACKAGE = Path(__file__).resolve().parent


def build_editable(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    """Build the wheel that refers to this checkout, and return its name."""
    write_table(PACKAGE)
    return str(build_meta.build_editable(folder, settings, metadata))


def build_wheel(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    """Build a wheel into a folder, and return its name."""
    write_table(PACKAGE)
    name = str(build_meta.build_wheel(folder, settings, metadata))
    normalize_wheel(Path(folder, name), stated_time())
    return name


def build_sdist(folder: str, settings: Any = None) -> str:
    """Build a source archive into a folder, and return its name."""
    write_table(PACKAGE)
    name = str(build_meta.build_sdist(folder, settings))
    normalize_sdist(Path(folder, name), stated_time())
    return name


def stated_time() -> int:
    """Return the seconds since 1970 that archives state: SOURCE_DATE_EPOCH, else the earliest."""
    return max(int(os.environ.get("SOURCE_DATE_EPOCH") or EARLIEST), EARLIEST)


def normalize_wheel(wheel: Path, seconds: int) -> None:
    """Rewrite a zip archive in the normal form."""
    date = time.gmtime(seconds)[:6]
    made = io.BytesIO()
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for member in sorted(source.infolist(), key=lambda member: member.filename):
            plain = zipfile.ZipInfo(member.filename, date)
            plain.create_system = 3  # Unix, on which the permissions below have a meaning
            plain.external_attr = (0o100000 | permissions(member.external_attr >> 16)) << 16
            plain.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(plain, source.read(member))
    wheel.write_bytes(made.getvalue())


def normalize_sdist(archive: Path, seconds: int) -> None:
    """Rewrite a .tar.gz archive in the normal form; folders follow from their files."""
    made = io.BytesIO()
    with tarfile.open(archive) as source, tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as target:
        for member in sorted(source.getmembers(), key=lambda member: member.name):
            content = source.extractfile(member)
            if content is None:
                continue
            plain = tarfile.TarInfo(member.name)
            plain.size, plain.mtime, plain.mode = member.size, seconds, permissions(member.mode)
            target.addfile(plain, content)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=seconds) as file:
        file.write(made.getvalue())
    archive.write_bytes(packed.getvalue())


def permissions(mode: int) -> int:
    """Return one of two permissions: whatever the umask of a checkout was, a program stays one."""
    return RUN if mode & 0o100 else READ
