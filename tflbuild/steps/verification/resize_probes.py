"""Resize probes: inputs of other sizes that test the dynamic dimensions of a signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflbuild.steps.datasets.sample_files import Arrays, count_samples

BATCH = 3
GROWTH = 3


@dataclass(frozen=True)
class Probe:
    """Inputs whose dynamic dimensions have other sizes than the samples. `label` describes the sizes: `batch 3`."""

    label: str
    feed: Arrays


def make_resize_probes(signature: Mapping[str, Any], inputs: Arrays) -> Iterator[Probe]:
    """Yield probes with a larger batch, and with all other dynamic dimensions smaller and larger.

    A dimension that is not dynamic is not changed. Values repeat the first sample, cut off or continued from its start,
    so that they stay representative.
    """
    specs = {spec["name"]: spec["shape"] for spec in signature["inputs"]}
    if all(shape and shape[0] is None for shape in specs.values()):
        indices = np.arange(BATCH) % count_samples(inputs)
        yield Probe(f"batch {BATCH}", {name: array[indices] for name, array in inputs.items()})
    sizes = {
        inputs[name].shape[axis]
        for name, shape in specs.items()
        for axis, size in enumerate(shape)
        if axis and not size
    }
    for label, change in (("smaller", lambda size: max(1, size // 2)), ("larger", lambda size: size + GROWTH)):
        feed = {name: resize(array[:1], specs[name], sizes, change) for name, array in inputs.items()}
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feed.items())
        if sizes and any(feed[name].shape != array[:1].shape for name, array in inputs.items()):
            yield Probe(f"{label}: {shapes}", feed)


def resize(array: np.ndarray, shape: Any, sizes: set[int], change: Any) -> np.ndarray:
    """Return one sample with its dynamic dimensions changed. Equal sizes stay equal, in all inputs."""
    for axis, size in enumerate(shape):
        if axis and size is None and array.shape[axis] in sizes:
            indices = np.arange(change(array.shape[axis])) % array.shape[axis]
            array = np.take(array, indices, axis=axis)
    return array
