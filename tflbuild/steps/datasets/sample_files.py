"""Reading of samples, the common format of all datasets.

Samples are a folder with these files:
- one `.npy` for each input of the main signature, of shape [samples, *shape of a sample], in the dtype of the input;
- one for each input of further signatures that the dataset feeds;
- `label.npy`, int64 of shape [samples], if there are labels;
- `digests.npy`, a digest of each sample;
- `samples.json`, with the names of these files, and the names of the classes if the dataset has them.

Arrays are memory-mapped: the system reads them when they are used, and can drop them when memory is short.
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
    """Read `samples.json`: the files of `inputs` and `more` by name, `label` (a file, or None), and `classes`."""
    index: dict[str, Any] = json.loads((folder / INDEX).read_text())
    return index


def load_array(path: Path) -> np.ndarray:
    """Return an array of the folder, memory-mapped and read-only."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def load_samples(folder: Path) -> tuple[Arrays, np.ndarray | None]:
    """Return the inputs of the main signature by name, and the labels or None."""
    index = read_index(folder)
    inputs = {name: load_array(folder / file) for name, file in index["inputs"].items()}
    return inputs, load_array(folder / index["label"]) if index["label"] else None


def load_feeds(folder: Path, key: str) -> dict[str, Arrays]:
    """Return the inputs of each signature by name. The main signature, `key`, is first.

    Signatures that the dataset does not feed are omitted.
    """
    feeds: dict[str, Arrays] = {key: load_samples(folder)[0]}
    for signature, files in read_index(folder)["more"].items():
        feeds[signature] = {name: load_array(folder / file) for name, file in files.items()}
    return feeds


def count_samples(inputs: Arrays) -> int:
    """Return the number of samples."""
    return len(next(iter(inputs.values())))


def batch_of(signature: Mapping[str, Any]) -> int:
    """Return the number of samples per call: the fixed batch size of all inputs, or else 1."""
    sizes = {spec["shape"][0] if spec["shape"] else None for spec in signature["inputs"]}
    return (sizes.pop() or 1) if len(sizes) == 1 else 1


def each_sample(inputs: Arrays, indices: range | None = None, batch: int = 1) -> Iterator[Arrays]:
    """Yield the inputs for one call after another, in order.

    Args:
        inputs: All samples.
        indices: The range of samples; None for all.
        batch: The samples per call. The last call is filled up with the first samples.
    """
    count = count_samples(inputs)
    indices = range(count) if indices is None else indices
    for start in range(indices.start, indices.stop, batch):
        if batch == 1:
            yield {name: array[start : start + 1] for name, array in inputs.items()}
        else:
            picked = [index if index < count else (index - count) % count for index in range(start, start + batch)]
            yield {name: array[picked] for name, array in inputs.items()}
