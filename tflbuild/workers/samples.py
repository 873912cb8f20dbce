"""Samples: the one form that every dataset takes before it is used.

A `.npz` with one array a signature input, `input:<name>`, shaped [samples, *one sample's shape] in
the input's dtype, and `label`, int64 [samples], when there are labels. One sample has the declared
shape with a batch of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

INPUT_PREFIX = "input:"
LABEL = "label"

Arrays = dict[str, np.ndarray]


def save_samples(path: Path, inputs: Mapping[str, np.ndarray], labels: np.ndarray | None) -> None:
    """Write samples; equal arrays give equal bytes (NumPy dates every member 1980)."""
    arrays = {f"{INPUT_PREFIX}{name}": array for name, array in sorted(inputs.items())}
    if labels is not None:
        arrays[LABEL] = labels
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load_samples(path: Path) -> tuple[Arrays, np.ndarray | None]:
    """(inputs by name, labels)."""
    with np.load(path, allow_pickle=False) as archive:
        inputs = {name[len(INPUT_PREFIX) :]: archive[name] for name in archive.files if name.startswith(INPUT_PREFIX)}
        return inputs, archive[LABEL] if LABEL in archive.files else None


def count_samples(inputs: Arrays) -> int:
    """How many there are."""
    return len(next(iter(inputs.values())))


def each_sample(inputs: Arrays, indices: range | None = None) -> Iterator[Arrays]:
    """One feed after another, batch of one, in order."""
    for index in indices if indices is not None else range(count_samples(inputs)):
        yield {name: array[index : index + 1] for name, array in inputs.items()}
