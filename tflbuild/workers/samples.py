"""Samples: the one form that every dataset takes before it is used.

A `.npz` with one array an input of the main signature, `input:<name>`, shaped [samples, *one sample's
shape] in the input's dtype; `more:<signature>:<name>` for inputs of further signatures; and `label`,
int64 [samples], when there are labels. One sample has the declared shape with a batch of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

INPUT_PREFIX = "input:"
MORE_PREFIX = "more:"
LABEL = "label"

Arrays = dict[str, np.ndarray]


def save_samples(
    path: Path,
    inputs: Mapping[str, np.ndarray],
    labels: np.ndarray | None,
    more: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write samples; equal arrays give equal bytes (NumPy dates every member 1980)."""
    arrays = {f"{INPUT_PREFIX}{name}": array for name, array in sorted(inputs.items())}
    for key, fed in sorted((more or {}).items()):
        arrays |= {f"{MORE_PREFIX}{key}:{name}": array for name, array in sorted(fed.items())}
    if labels is not None:
        arrays[LABEL] = labels
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load_samples(path: Path) -> tuple[Arrays, np.ndarray | None]:
    """(inputs of the main signature by name, labels)."""
    with np.load(path, allow_pickle=False) as archive:
        inputs = {name[len(INPUT_PREFIX) :]: archive[name] for name in archive.files if name.startswith(INPUT_PREFIX)}
        return inputs, archive[LABEL] if LABEL in archive.files else None


def load_feeds(path: Path, key: str) -> dict[str, Arrays]:
    """Signature -> inputs by name, the main one, `key`, first; those that the dataset does not feed are left out."""
    feeds: dict[str, Arrays] = {key: load_samples(path)[0]}
    with np.load(path, allow_pickle=False) as archive:
        for member in archive.files:
            if member.startswith(MORE_PREFIX):
                signature, _, name = member[len(MORE_PREFIX) :].partition(":")
                feeds.setdefault(signature, {})[name] = archive[member]
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
