"""The interface of all kinds of datasets: named arrays that are read in blocks.

For each kind, a function in OPENERS of `steps.datasets.sample` converts a `DeclaredDataset` to an `OpenDataset`. It
reads as little as possible (headers, names, counts). Samples are read in blocks: several samples along the first axis
of each array, and small enough that the use of memory does not grow with the dataset.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import StepRequest, WorkerError

BLOCK_BYTES = 1 << 20

Block = dict[str, np.ndarray]
Read = Callable[[Sequence[str], np.ndarray | None], Iterator[Block]]


@dataclass(frozen=True)
class ArrayHeader:
    """The dtype and the shape of an array, as far as they are known before it is read. The first axis is samples."""

    dtype: np.dtype | None = None
    shape: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return f"{'' if self.dtype is None else self.dtype}{'' if self.shape is None else list(self.shape)}"


@dataclass(frozen=True)
class OpenDataset:
    """A dataset that can be read.

    Attributes:
        arrays: The header of each array by name.
        read: A function of the names of arrays and the indices of samples (ascending; None for all). It yields blocks
            of these arrays in the order of the dataset.
        count: The number of samples; None if it is known only after reading. The indices must then be None.
        only: The name of the array that feeds the only input of the model, whatever its name.
        untyped: Whether values have no dtype of their own (text, or scaled pixels), and are fed in that of the input.
        converted: Whether scale and offset of the recipe are already applied.
        classes: The names of the labels.
    """

    arrays: Mapping[str, ArrayHeader]
    read: Read
    count: int | None
    only: str = ""
    untyped: bool = False
    converted: bool = False
    classes: Sequence[str] = ()


@dataclass(frozen=True)
class DeclaredDataset:
    """A dataset as the recipe declares it.

    Attributes:
        request: The request of the step `sample`.
        params: The parameters of the step.
        wanted: The inputs of the main signature, in the format of `signature.json`.
        label: The name of the dataset in messages.
    """

    request: StepRequest
    params: Mapping[str, Any]
    wanted: Sequence[Mapping[str, Any]]
    label: str

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of this kind of dataset."""
        options: Mapping[str, Any] = self.params.get("options", {})
        return options

    @property
    def section(self) -> str:
        """The recipe key of the dataset, such as `dataset` or `verify.dataset`."""
        return self.request.section

    @property
    def path(self) -> Path:
        """The file or folder of the dataset."""
        return self.request.inputs["dataset"]

    def refuse(self, what: str, key: str = "", why: str = "", next_step: str = "") -> WorkerError:
        """Return an error whose location is a recipe key of this dataset.

        Args:
            what: The first line of the message.
            key: The recipe key within `section`; "" for the dataset as a whole.
            why: The reason.
            next_step: What the user can do.
        """
        where = f"{self.section}.{key}" if key else self.section
        return WorkerError(what, where=where, why=why, next_step=next_step)

    def only_input(self) -> Mapping[str, Any]:
        """Return the only input, which a dataset without names can feed. Raise WorkerError if there are several."""
        if len(self.wanted) != 1:
            raise self.refuse(
                f"dataset={self.params['kind']} feeds one input, but the model has {len(self.wanted)}",
                why=", ".join(spec["name"] for spec in self.wanted),
                next_step="use dataset=npz, csv, tfrecord or callable, which feed several inputs by name",
            )
        return self.wanted[0]


def suggest_name(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for a name that is similar to one of `names`; "" if there is none."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def in_blocks(samples: Iterable[Block]) -> Iterator[Block]:
    """Stack samples, which have no axis for samples, into blocks. A change of shape starts a new block."""
    pending: list[Block] = []
    size = 0
    for sample in samples:
        if pending and (size >= BLOCK_BYTES or _form(sample) != _form(pending[0])):
            yield _stack(pending)
            pending, size = [], 0
        pending.append(sample)
        size += sum(array.nbytes for array in sample.values())
    if pending:
        yield _stack(pending)


def _form(sample: Block) -> Any:
    return {name: (array.shape, array.dtype.kind) for name, array in sample.items()}


def _stack(samples: Sequence[Block]) -> Block:
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def rows_a_block(arrays: Iterable[ArrayHeader]) -> int:
    """Return the number of samples per block for arrays whose dtype and shape are known, at least one."""
    widest = max((_row_bytes(header) for header in arrays), default=1)
    return max(1, BLOCK_BYTES // max(1, widest))


def _row_bytes(header: ArrayHeader) -> int:
    assert header.dtype is not None and header.shape is not None
    return int(np.prod(header.shape[1:], dtype=np.int64)) * header.dtype.itemsize
