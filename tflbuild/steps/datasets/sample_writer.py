"""Writing of samples in blocks: memory does not grow with their number, and equal samples result in equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tflbuild.steps.datasets.sample_files import DIGESTS, INDEX, Arrays

COPIED_BYTES = 1 << 20
DIGEST_BYTES = 8


class ArrayWriter:
    """A `.npy` file that grows along its first axis. All blocks have the same sample shape and dtype.

    The width of bytes (dtype S) may grow from block to block. The earlier blocks are then rewritten.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.dtype = np.dtype("V")
        self.shape: tuple[int, ...] = ()

    def append(self, block: np.ndarray) -> None:
        """Add one or more samples. Raise ValueError if their shape or dtype differs from earlier ones."""
        if self.count == 0:
            self.dtype, self.shape = block.dtype, block.shape[1:]
            self._write_header()
        if block.dtype.kind == "S" and self.dtype.kind == "S":
            if block.dtype.itemsize > self.dtype.itemsize:
                self._widen(block.dtype)
            block = block.astype(self.dtype)
        if block.dtype != self.dtype or block.shape[1:] != self.shape:
            raise ValueError(f"{block.dtype}{block.shape[1:]} after {self.dtype}{self.shape}")
        with self.path.open("ab") as file:
            file.write(np.ascontiguousarray(block).data.cast("B") if block.size else b"")
        self.count += len(block)

    def close(self) -> None:
        """Write the final number of samples to the header."""
        self._write_header()

    def _write_header(self) -> None:
        """Write the header. Its length never changes, since NumPy pads it so that the first axis can grow."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.count, *self.shape),
        }
        self.path.touch()
        with self.path.open("r+b") as file:
            np.lib.format.write_array_header_1_0(file, header)

    def _widen(self, dtype: np.dtype) -> None:
        self._write_header()
        narrow = self.path.with_suffix(".narrow")
        self.path.rename(narrow)
        written = np.load(narrow, mmap_mode="r")
        self.count, self.dtype = 0, dtype
        self._write_header()
        step = max(1, COPIED_BYTES // max(1, written[0].nbytes))
        for start in range(0, len(written), step):
            self.append(np.asarray(written[start : start + step]).astype(dtype))
        narrow.unlink()


class SampleWriter:
    """A writer of the folder that `steps.datasets.sample_files` reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.inputs: dict[str, str] = {}
        self.more: dict[str, dict[str, str]] = {}
        self.writers: dict[str, ArrayWriter] = {}

    @property
    def count(self) -> int:
        """The number of samples that were written."""
        return self.writers[DIGESTS].count if DIGESTS in self.writers else 0

    def append(self, inputs: Arrays, labels: np.ndarray | None, more: Mapping[str, Arrays]) -> None:
        """Add a block of samples.

        Args:
            inputs: The arrays of the main signature by input name.
            labels: int64 of shape [samples], or None.
            more: The arrays of further signatures: signature name -> input name -> array.
        """
        for number, (name, block) in enumerate(sorted(inputs.items())):
            self._append(self.inputs.setdefault(name, f"input-{number}.npy"), block)
        for index, (key, fed) in enumerate(sorted(more.items())):
            for number, (name, block) in enumerate(sorted(fed.items())):
                file = self.more.setdefault(key, {}).setdefault(name, f"more-{index}-{number}.npy")
                self._append(file, block)
        if labels is not None:
            self._append("label.npy", labels)
        self._append(DIGESTS, np.fromiter(digests(inputs), np.uint64))

    def _append(self, file: str, block: np.ndarray) -> None:
        self.writers.setdefault(file, ArrayWriter(self.folder / file)).append(block)

    def close(self, classes: Sequence[str] = ()) -> None:
        """Finish every file, and write the index."""
        for writer in self.writers.values():
            writer.close()
        index = {
            "inputs": self.inputs,
            "more": self.more,
            "label": "label.npy" if "label.npy" in self.writers else None,
            "classes": list(classes),
        }
        (self.folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def digests(inputs: Arrays) -> Iterator[int]:
    """Yield a digest of 64 bits (BLAKE2b) for each sample, over the inputs in the order of their names.

    Bytes (dtype S) are used without the zeros that pad them to a common width.
    """
    arrays = [array for _, array in sorted(inputs.items())]
    for index in range(len(arrays[0])):
        hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for array in arrays:
            value = np.ascontiguousarray(array[index])
            if value.dtype.kind == "S":
                hasher.update(repr(value.tolist()).encode())
            else:
                hasher.update(value.tobytes())
        yield int.from_bytes(hasher.digest(), "little")


def save_samples(
    folder: Path,
    inputs: Mapping[str, np.ndarray],
    labels: np.ndarray | None = None,
    more: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write complete arrays as samples. The arguments are those of `SampleWriter.append`."""
    writer = SampleWriter(folder)
    writer.append(dict(inputs), labels, {key: dict(fed) for key, fed in (more or {}).items()})
    writer.close()
