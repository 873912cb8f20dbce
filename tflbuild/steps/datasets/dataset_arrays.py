"""Datasets in NumPy files: `.npz` with several named arrays, or `.npy` with one. They are read in blocks of rows."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.dataset_readers import ArrayHeader, Block, DeclaredDataset, OpenDataset, rows_a_block

NPY_MAGIC = b"\x93NUMPY"
NPY = ".npy"
MAX_HEADER_BYTES = 1 << 16
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
LENGTHS = {(1, 0): "<H", (2, 0): "<I"}
COPIED_BYTES = 1 << 20


@dataclass(frozen=True)
class ArrayMember:
    """An array in a file: its header, and whether its axes are stored in reverse order (Fortran order)."""

    header: ArrayHeader
    reversed_axes: bool


def open_npz(declared: DeclaredDataset) -> OpenDataset:
    """Open a `.npz` file. Raise WorkerError if it is another file, or damaged."""
    path = declared.path
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            is_npy = file.read(len(NPY_MAGIC)) == NPY_MAGIC
        content = "a single array (.npy) and not an archive of named arrays" if is_npy else "not an archive"
        raise declared.refuse(
            f"'{declared.label}' is not a .npz file",
            why=f"it is {content}, or is incomplete",
            next_step="use dataset=npy for one array; for several, write it with numpy.savez(path, name=array, ...)"
            if is_npy
            else "write it with numpy.savez(path, name=array, ...)",
        )
    members: dict[str, ArrayMember] = {}
    with convert_read_errors(declared, "numpy.savez(path, name=array, ...)"), zipfile.ZipFile(path) as archive:
        for member_file in archive.namelist():
            if member_file.endswith(NPY):
                with archive.open(member_file) as stream:
                    members[member_file.removesuffix(NPY)] = read_header(stream)
    for name, member in members.items():
        refuse_objects(declared, name, member)

    def read(names: Sequence[str], picked: np.ndarray | None) -> Iterator[Block]:
        with convert_read_errors(declared, "numpy.savez(path, name=array, ...)"), ExitStack() as opened:
            archive = opened.enter_context(zipfile.ZipFile(path))
            rows = {
                name: rows_of(opened, opened.enter_context(archive.open(name + NPY)), declared.request.folder)
                for name in names
            }
            yield from blocks(rows, {name: members[name].header for name in names}, picked)

    lengths = [member.header.shape[0] for member in members.values() if member.header.shape]
    arrays = {name: member.header for name, member in members.items()}
    return OpenDataset(arrays, read, lengths[0] if len(set(lengths)) == 1 else None)


def open_npy(declared: DeclaredDataset) -> OpenDataset:
    """Open a `.npy` file for the only input of the model. Raise WorkerError if it is another file, or damaged."""
    declared.only_input()
    path, name = declared.path, "array"
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise declared.refuse(
                f"'{declared.label}' is not a .npy file",
                why="it is an archive of several arrays" if zipfile.is_zipfile(path) else "its first bytes differ",
                next_step="use dataset=npz for archives"
                if zipfile.is_zipfile(path)
                else "write it with numpy.save(path, array)",
            )
        file.seek(0)
        with convert_read_errors(declared, "numpy.save(path, array)"):
            member = read_header(file)
    refuse_objects(declared, name, member)

    def read(names: Sequence[str], picked: np.ndarray | None) -> Iterator[Block]:
        with convert_read_errors(declared, "numpy.save(path, array)"), ExitStack() as opened:
            rows = {name: rows_of(opened, opened.enter_context(path.open("rb")), declared.request.folder)}
            yield from blocks(rows, {name: member.header}, picked)

    return OpenDataset({name: member.header}, read, member.header.shape[0] if member.header.shape else None, only=name)


@contextmanager
def convert_read_errors(declared: DeclaredDataset, writing: str) -> Iterator[None]:
    """Convert any exception of the block to a WorkerError, since a damaged file causes exceptions of many classes.

    Args:
        declared: The dataset.
        writing: The function with which the file can be written again.
    """
    try:
        yield
    except (WorkerError, GeneratorExit, MemoryError):
        raise
    except Exception as error:
        raise declared.refuse(
            f"'{declared.label}' is damaged",
            why=str(error).split("\n")[0] or type(error).__name__,
            next_step=f"write it again with {writing}",
        ) from error


def read_header(stream: IO[bytes]) -> ArrayMember:
    """Read the header of a `.npy` file. Raise ValueError if it is invalid, or of an unknown version."""
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"a .npy of version {version}")
    width = struct.calcsize(LENGTHS[version])
    length_bytes = stream.read(width)
    if len(length_bytes) < width:
        raise ValueError("it ends within its header")
    # NumPy would allocate any size that the file states.
    if (size := struct.unpack(LENGTHS[version], length_bytes)[0]) > MAX_HEADER_BYTES:
        raise ValueError(f"its header is {size:,} bytes long")
    shape, reversed_axes, dtype = HEADERS[version](BytesIO(length_bytes + stream.read(size)))
    return ArrayMember(ArrayHeader(dtype, tuple(shape)), bool(reversed_axes) and len(shape) > 1)


def refuse_objects(declared: DeclaredDataset, name: str, member: ArrayMember) -> None:
    """Raise WorkerError for an array of Python objects: to unpickle them could run code."""
    if member.header.dtype is not None and (member.header.dtype.hasobject or member.header.dtype.names):
        raise declared.refuse(
            f"array '{name}' of '{declared.label}' contains Python objects or records",
            why=f"its dtype is {member.header.dtype}",
            next_step="store plain numbers or text",
        )


@dataclass
class NpyRows:
    """The rows of a `.npy` stream after its header."""

    stream: IO[bytes]
    header: ArrayHeader

    def take(self, count: int) -> np.ndarray:
        """Return the next rows. Raise EOFError if the file ends before them."""
        assert self.header.shape is not None and self.header.dtype is not None
        shape = (count, *self.header.shape[1:])
        size = int(np.prod(shape, dtype=np.int64)) * self.header.dtype.itemsize
        raw = self.stream.read(size)
        if len(raw) != size:
            raise EOFError("it ends before the end of its data")
        return np.frombuffer(raw, self.header.dtype).reshape(shape)

    def end(self) -> None:
        """Read the end of the stream, at which `zipfile` verifies the checksum."""
        self.stream.read(1)


@dataclass
class MappedRows:
    """The rows of an array in a memory-mapped file."""

    array: np.ndarray
    at: int = 0

    def take(self, count: int) -> np.ndarray:
        """Return the next rows."""
        self.at += count
        return np.ascontiguousarray(self.array[self.at - count : self.at])

    def end(self) -> None:
        """Do nothing: there is no checksum."""


def rows_of(opened: ExitStack, stream: IO[bytes], folder: Path) -> NpyRows | MappedRows:
    """Return the rows of a `.npy` stream. An array in Fortran order is first copied to a file in `folder`."""
    member = read_header(stream)
    if not member.reversed_axes:
        return NpyRows(stream, member.header)
    stream.seek(0)
    path = folder / f"unpacked-{id(stream)}{NPY}"
    opened.callback(path.unlink, missing_ok=True)
    with path.open("wb") as file:
        while chunk := stream.read(COPIED_BYTES):
            file.write(chunk)
    return MappedRows(np.load(path, mmap_mode="r"))


def blocks(rows: Mapping[str, Any], arrays: Mapping[str, ArrayHeader], picked: np.ndarray | None) -> Iterator[Block]:
    """Yield blocks of rows.

    Args:
        rows: The rows of each array.
        arrays: The header of each array.
        picked: The indices of the rows to return, in ascending order; None for all.
    """
    length = min(header.shape[0] for header in arrays.values() if header.shape)
    step = rows_a_block(arrays.values())
    for start in range(0, length, step):
        stop = min(start + step, length)
        block = {name: array_rows.take(stop - start) for name, array_rows in rows.items()}
        if picked is None:
            yield block
            continue
        chosen = picked[np.searchsorted(picked, start) : np.searchsorted(picked, stop)] - start
        if len(chosen):
            yield {name: array[chosen] for name, array in block.items()}
    for array_rows in rows.values():
        array_rows.end()
