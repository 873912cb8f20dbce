"""NumPy files as datasets: `.npz`, arrays by name, and `.npy`, one array. Read in rows, never as a whole."""

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
MOST_HEADER_BYTES = 1 << 16
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
LENGTHS = {(1, 0): "<H", (2, 0): "<I"}
COPIED_BYTES = 1 << 20


@dataclass(frozen=True)
class ArrayMember:
    """An array in a file: what it is, and whether its axes are stored last first."""

    held: ArrayHeader
    reversed_axes: bool


def open_npz(declared: DeclaredDataset) -> OpenDataset:
    """Arrays by name. Raises WorkerError for what is no `.npz`."""
    path = declared.path
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            one = file.read(len(NPY_MAGIC)) == NPY_MAGIC
        what = "one array, not an archive of named ones" if one else "no archive at all"
        raise declared.refuse(
            f"'{declared.label}' is not a .npz file",
            why=f"it is {what}, or was cut short",
            next_step="dataset=npy for one array; else write it with numpy.savez(path, name=array, ...)"
            if one
            else "write it with numpy.savez(path, name=array, ...)",
        )
    members: dict[str, ArrayMember] = {}
    with damaged(declared, "numpy.savez(path, name=array, ...)"), zipfile.ZipFile(path) as archive:
        for member_file in archive.namelist():
            if member_file.endswith(NPY):
                with archive.open(member_file) as stream:
                    members[member_file.removesuffix(NPY)] = read_header(stream)
    for name, member in members.items():
        refuse_objects(declared, name, member)

    def read(names: Sequence[str], picked: np.ndarray | None) -> Iterator[Block]:
        with damaged(declared, "numpy.savez(path, name=array, ...)"), ExitStack() as opened:
            archive = opened.enter_context(zipfile.ZipFile(path))
            rows = {
                name: rows_of(opened, opened.enter_context(archive.open(name + NPY)), declared.request.folder)
                for name in names
            }
            yield from blocks(rows, {name: members[name].held for name in names}, picked)

    lengths = [member.held.shape[0] for member in members.values() if member.held.shape]
    arrays = {name: member.held for name, member in members.items()}
    return OpenDataset(arrays, read, lengths[0] if len(set(lengths)) == 1 else None)


def open_npy(declared: DeclaredDataset) -> OpenDataset:
    """One array, for the model's only input. Raises WorkerError for what is no `.npy`."""
    declared.only_input()
    path, name = declared.path, "array"
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise declared.refuse(
                f"'{declared.label}' is not a .npy file",
                why="it is an archive of several arrays" if zipfile.is_zipfile(path) else "it does not begin like one",
                next_step="dataset=npz reads archives" if zipfile.is_zipfile(path) else "numpy.save(path, array)",
            )
        file.seek(0)
        with damaged(declared, "numpy.save(path, array)"):
            member = read_header(file)
    refuse_objects(declared, name, member)

    def read(names: Sequence[str], picked: np.ndarray | None) -> Iterator[Block]:
        with damaged(declared, "numpy.save(path, array)"), ExitStack() as opened:
            rows = {name: rows_of(opened, opened.enter_context(path.open("rb")), declared.request.folder)}
            yield from blocks(rows, {name: member.held}, picked)

    return OpenDataset({name: member.held}, read, member.held.shape[0] if member.held.shape else None, only=name)


@contextmanager
def damaged(declared: DeclaredDataset, writing: str) -> Iterator[None]:
    """Whatever goes wrong in a damaged file, as one error: it provokes a dozen classes of them."""
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
    """Reads the head of a `.npy`. Raises ValueError for another format."""
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"a .npy of version {version}")
    width = struct.calcsize(LENGTHS[version])
    length = stream.read(width)
    if len(length) < width:
        raise ValueError("it ends within its head")
    if (size := struct.unpack(LENGTHS[version], length)[0]) > MOST_HEADER_BYTES:
        raise ValueError(f"its head is {size:,} bytes long")  # numpy would allocate them
    shape, reversed_axes, dtype = HEADERS[version](BytesIO(length + stream.read(size)))
    return ArrayMember(ArrayHeader(dtype, tuple(shape)), bool(reversed_axes) and len(shape) > 1)


def refuse_objects(declared: DeclaredDataset, name: str, member: ArrayMember) -> None:
    """Raises WorkerError for Python objects: unpickling them would run code."""
    if member.held.dtype is not None and (member.held.dtype.hasobject or member.held.dtype.names):
        raise declared.refuse(
            f"array '{name}' of '{declared.label}' holds Python objects or records",
            why=f"its dtype is {member.held.dtype}",
            next_step="store plain numbers or text",
        )


@dataclass
class NpyRows:
    """The rest of a `.npy` stream, row by row."""

    stream: IO[bytes]
    held: ArrayHeader

    def take(self, count: int) -> np.ndarray:
        """The next rows. Raises EOFError where the file ends before."""
        assert self.held.shape is not None and self.held.dtype is not None
        shape = (count, *self.held.shape[1:])
        size = int(np.prod(shape, dtype=np.int64)) * self.held.dtype.itemsize
        raw = self.stream.read(size)
        if len(raw) != size:
            raise EOFError("it ends before its data does")
        return np.frombuffer(raw, self.held.dtype).reshape(shape)

    def end(self) -> None:
        """An archive compares its checksum when the end is read."""
        self.stream.read(1)


@dataclass
class MappedRows:
    """The rows of an array in memory or on disk."""

    array: np.ndarray
    at: int = 0

    def take(self, count: int) -> np.ndarray:
        """The next rows."""
        self.at += count
        return np.ascontiguousarray(self.array[self.at - count : self.at])

    def end(self) -> None:
        """Nothing is left to be read."""


def rows_of(opened: ExitStack, stream: IO[bytes], folder: Path) -> NpyRows | MappedRows:
    """A stream at its start, as rows. What is stored column by column is unpacked to disk first."""
    member = read_header(stream)
    if not member.reversed_axes:
        return NpyRows(stream, member.held)
    stream.seek(0)
    place = folder / f"unpacked-{id(stream)}{NPY}"
    opened.callback(place.unlink, missing_ok=True)
    with place.open("wb") as file:
        while chunk := stream.read(COPIED_BYTES):
            file.write(chunk)
    return MappedRows(np.load(place, mmap_mode="r"))


def blocks(rows: Mapping[str, Any], arrays: Mapping[str, ArrayHeader], picked: np.ndarray | None) -> Iterator[Block]:
    """Blocks of arrays of one length; of rows that are not picked nothing is kept."""
    length = min(held.shape[0] for held in arrays.values() if held.shape)
    step = rows_a_block(arrays.values())
    for start in range(0, length, step):
        stop = min(start + step, length)
        block = {name: one.take(stop - start) for name, one in rows.items()}
        if picked is None:
            yield block
            continue
        chosen = picked[np.searchsorted(picked, start) : np.searchsorted(picked, stop)] - start
        if len(chosen):
            yield {name: array[chosen] for name, array in block.items()}
    for one in rows.values():
        one.end()
