"""Samples: the one form that every dataset takes before it is used, read back.

A folder with one `.npy` an input of the main signature, shaped [samples, *one sample's shape] in the
input's dtype, one an input of further signatures that the dataset feeds, and `label.npy`, int64
[samples], when there are labels. `samples.json` says which file is which, and names the classes where
the dataset does. One sample has the declared shape with a batch of one. Arrays are mapped, not read:
what is used comes into memory, and leaves it when memory is short.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

INDEX = "samples.json"
DIGESTS = "digests.npy"

Arrays = dict[str, np.ndarray]


def read_index(folder: Path) -> dict[str, Any]:
    """What the folder holds: `inputs` and `more` by name, `label` (a file, or None), `classes`."""
    found: dict[str, Any] = json.loads((folder / INDEX).read_text())
    return found


def load_array(path: Path) -> np.ndarray:
    """An array of the folder, mapped read-only."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def load_samples(folder: Path) -> tuple[Arrays, np.ndarray | None]:
    """(inputs of the main signature by name, labels)."""
    index = read_index(folder)
    inputs = {name: load_array(folder / file) for name, file in index["inputs"].items()}
    return inputs, load_array(folder / index["label"]) if index["label"] else None


def load_feeds(folder: Path, key: str) -> dict[str, Arrays]:
    """Signature -> inputs by name, the main one, `key`, first; those that the dataset does not feed are left out."""
    feeds: dict[str, Arrays] = {key: load_samples(folder)[0]}
    for signature, files in read_index(folder)["more"].items():
        feeds[signature] = {name: load_array(folder / file) for name, file in files.items()}
    return feeds


def count_samples(inputs: Arrays) -> int:
    """How many there are."""
    return len(next(iter(inputs.values())))


def batch_of(signature: Mapping[str, Any]) -> int:
    """How many samples one call takes: the fixed batch that all inputs share, else 1."""
    sizes = {spec["shape"][0] if spec["shape"] else None for spec in signature["inputs"]}
    return (sizes.pop() or 1) if len(sizes) == 1 else 1


def each_sample(inputs: Arrays, indices: range | None = None, batch: int = 1) -> Iterator[Arrays]:
    """One feed after another, in order, `batch` samples each; the last is filled up with the first samples."""
    count = count_samples(inputs)
    indices = range(count) if indices is None else indices
    for start in range(indices.start, indices.stop, batch):
        if batch == 1:
            yield {name: array[start : start + 1] for name, array in inputs.items()}
        else:
            picked = [index if index < count else (index - count) % count for index in range(start, start + batch)]
            yield {name: array[picked] for name, array in inputs.items()}
