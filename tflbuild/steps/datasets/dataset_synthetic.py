"""Datasets of random numbers, for experiments. The manifest marks them as synthetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.dataset_readers import BLOCK_BYTES
from tflbuild.steps.datasets.sample_files import Arrays

FLOAT64_BYTES = 8

Specs = Sequence[Mapping[str, Any]]


def synthesize(signatures: Mapping[str, Specs], params: Mapping[str, Any]) -> Iterator[dict[str, Arrays]]:
    """Yield blocks of random samples with a uniform distribution from `low` to `high`.

    Each input has its own generator, so its numbers do not depend on other signatures.

    Args:
        signatures: The inputs of each signature.
        params: `seed`, `count`, `low` and `high`.

    Yields:
        Signature name -> input name -> values.

    Raises:
        WorkerError: An input cannot be random.
    """
    inputs = [(key, number, spec) for key, specs in signatures.items() for number, spec in enumerate(specs)]
    shapes = [sample_shape(spec) for _, _, spec in inputs]
    seeds = [[params["seed"], number] if number else params["seed"] for _, number, _ in inputs]
    generators = [np.random.default_rng(seed) for seed in seeds]
    widest = max(int(np.prod(shape, dtype=np.int64)) for shape in shapes)
    step = max(1, BLOCK_BYTES // (FLOAT64_BYTES * max(1, widest)))
    for start in range(0, params["count"], step):
        rows = min(step, params["count"] - start)
        block: dict[str, Arrays] = {key: {} for key in signatures}
        for (key, _, spec), shape, generator in zip(inputs, shapes, generators, strict=True):
            values = generator.uniform(params["low"], params["high"], (rows, *shape))
            block[key][spec["name"]] = values.astype(spec["dtype"])
        yield block


def can_be_random(specs: Specs) -> bool:
    """Return whether all of these inputs can be fed with random numbers."""
    return all(spec["dtype"] != "string" and spec["shape"] and None not in spec["shape"][1:] for spec in specs)


def sample_shape(spec: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of one sample without its batch. Raise WorkerError if it cannot be random."""
    if spec["dtype"] == "string":
        raise WorkerError(
            f"input '{spec['name']}' is a string, so it cannot be fed with random numbers",
            where="dataset",
            next_step="use dataset=npz with an array of strings",
        )
    if any(size is None for size in spec["shape"][1:]):
        raise WorkerError(
            f"input '{spec['name']}' has a dynamic dimension: {spec['shape']}",
            where="signature.inputs",
            why="the size of random samples is not known for this dimension",
            next_step="declare the shape in signature.inputs, or use dataset=npz, whose arrays have shapes",
        )
    if not spec["shape"]:
        raise WorkerError(
            f"input '{spec['name']}' is a single number or string",
            where="dataset",
            why="the first axis of an input is that of the samples, and this input has no axis",
            next_step="give the input a batch dimension",
        )
    return tuple(spec["shape"][1:])
