"""What every kind of dataset becomes when it is opened: named arrays, read block by block.

A kind is a function that takes a `DeclaredDataset` and gives an `OpenDataset`; they are listed in OPENERS of
`steps.datasets.sample`. Opening reads as little as it can (headers, names, counts). Reading gives blocks:
several samples at once, along the first axis of each array, small enough that memory stays flat.
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
    """What is known of an array before it is read. `shape` has the samples first; None: not known yet."""

    dtype: np.dtype | None = None
    shape: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return f"{'' if self.dtype is None else self.dtype}{'' if self.shape is None else list(self.shape)}"


@dataclass(frozen=True)
class OpenDataset:
    """A dataset that can be read.

    `arrays` are those that it has, by name. `read(names, picked)` gives blocks of these arrays in the
    dataset's order: all samples, or those at `picked`, which ascend. `count` is None where only
    reading to the end would tell; `picked` is then None. The array `only` feeds the model's only
    input, whatever its name. `untyped` values have no element type of their own (text, or pixels that
    were scaled) and are fed in the input's. `classes` names the labels.
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
    """A dataset as the recipe declares it. `label` and `section` name it for a person.

    `wanted` are the inputs of the main signature as signature.json has them.
    """

    request: StepRequest
    params: Mapping[str, Any]
    wanted: Sequence[Mapping[str, Any]]
    label: str

    @property
    def options(self) -> Mapping[str, Any]:
        """What this kind alone has."""
        found: Mapping[str, Any] = self.params.get("options", {})
        return found

    @property
    def section(self) -> str:
        """`dataset` or `verify.dataset`."""
        return self.request.section

    @property
    def path(self) -> Path:
        """Where its file or folder lies."""
        return self.request.inputs["dataset"]

    def refuse(self, what: str, key: str = "", why: str = "", next_step: str = "") -> WorkerError:
        """The error that names this dataset's key."""
        where = f"{self.section}.{key}" if key else self.section
        return WorkerError(what, where=where, why=why, next_step=next_step)

    def only_input(self) -> Mapping[str, Any]:
        """The one input that kinds with nameless values feed. Raises WorkerError where there are several."""
        if len(self.wanted) != 1:
            raise self.refuse(
                f"dataset={self.params['kind']} feeds one input, and the model takes {len(self.wanted)}",
                why=", ".join(spec["name"] for spec in self.wanted),
                next_step="dataset=npz, csv, tfrecord or callable feed several, by name",
            )
        return self.wanted[0]


def suggest_name(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def in_blocks(samples: Iterable[Block]) -> Iterator[Block]:
    """Samples one by one, with no first axis yet, gathered into blocks. A change of shape starts a new block."""
    gathered: list[Block] = []
    size = 0
    for sample in samples:
        if gathered and (size >= BLOCK_BYTES or _form(sample) != _form(gathered[0])):
            yield _stack(gathered)
            gathered, size = [], 0
        gathered.append(sample)
        size += sum(array.nbytes for array in sample.values())
    if gathered:
        yield _stack(gathered)


def _form(sample: Block) -> Any:
    return {name: (array.shape, array.dtype.kind) for name, array in sample.items()}


def _stack(samples: Sequence[Block]) -> Block:
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def rows_a_block(arrays: Iterable[ArrayHeader]) -> int:
    """How many samples of arrays whose form is known fit into a block; at least one."""
    widest = max((_row_bytes(held) for held in arrays), default=1)
    return max(1, BLOCK_BYTES // max(1, widest))


def _row_bytes(held: ArrayHeader) -> int:
    assert held.dtype is not None and held.shape is not None
    return int(np.prod(held.shape[1:], dtype=np.int64)) * held.dtype.itemsize
