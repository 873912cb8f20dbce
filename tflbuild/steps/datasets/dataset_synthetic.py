"""Random numbers as a dataset: for trials, and said to be what they are."""

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
    """Blocks of uniform random samples between `low` and `high`, from the seed: signature -> input -> values.

    The numbers of a signature's first input do not depend on the others; blocks continue one stream each.
    """
    places = [(key, number, spec) for key, specs in signatures.items() for number, spec in enumerate(specs)]
    shapes = [sample_shape(spec) for _, _, spec in places]
    seeds = [[params["seed"], number] if number else params["seed"] for _, number, _ in places]
    generators = [np.random.default_rng(seed) for seed in seeds]
    widest = max(int(np.prod(shape, dtype=np.int64)) for shape in shapes)
    step = max(1, BLOCK_BYTES // (FLOAT64_BYTES * max(1, widest)))
    for start in range(0, params["count"], step):
        rows = min(step, params["count"] - start)
        block: dict[str, Arrays] = {key: {} for key in signatures}
        for (key, _, spec), shape, generator in zip(places, shapes, generators, strict=True):
            values = generator.uniform(params["low"], params["high"], (rows, *shape))
            block[key][spec["name"]] = values.astype(spec["dtype"])
        yield block


def can_be_random(wanted: Specs) -> bool:
    """Whether random numbers can stand for all of these inputs."""
    return all(spec["dtype"] != "string" and spec["shape"] and None not in spec["shape"][1:] for spec in wanted)


def sample_shape(spec: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of one sample without its batch. Raises WorkerError for what no random number can be."""
    if spec["dtype"] == "string":
        raise WorkerError(
            f"input '{spec['name']}' is a string, which no random number is",
            where="dataset",
            next_step="dataset=npz with an array of strings",
        )
    if any(size is None for size in spec["shape"][1:]):
        raise WorkerError(
            f"input '{spec['name']}' has a free dimension: {spec['shape']}",
            where="signature.inputs",
            why="random data has no size to take for it",
            next_step="declare its sizes under signature.inputs, or take dataset=npz, whose arrays have sizes",
        )
    if not spec["shape"]:
        raise WorkerError(
            f"input '{spec['name']}' is a single number or string",
            where="dataset",
            why="samples lie along the first axis, and it has none",
            next_step="give the input a batch dimension",
        )
    return tuple(spec["shape"][1:])
