"""The evaluation split: a search selects on one half of the evaluation samples, and reports its result on the other.

Samples are sorted by the digests of their bytes, and alternate between `selection` and `report`. So the parts do not
depend on the order of the dataset, have equal size, and equal samples are in the same part.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import Facts
from tflbuild.steps.datasets.sample_files import DIGESTS, Arrays, batch_of, count_samples, load_array
from tflbuild.steps.verification.predictions import are_stateful

PARTS = ("selection", "report")
# The smallest number of different samples that are split. With fewer, half of them is less informative than using all
# of them twice.
FEWEST_SAMPLES = 10


def choose_part(folder: Path, signature: Mapping[str, Any], part: str) -> tuple[np.ndarray | None, Facts]:
    """Choose the samples of a part.

    Args:
        folder: The samples.
        signature: The signature, as JSON.
        part: `selection` or `report`.

    Returns:
        The indices of the samples, None for all of them; and the facts `name` (the part), `of` (the number of all
        samples), and `unsplit` with the reason if the samples are not split.
    """
    digests = load_array(folder / DIGESTS)
    facts: Facts = {"name": part, "of": len(digests)}
    batch = batch_of(signature)
    # The samples of a batch stay together, because their outputs may depend on each other.
    keys = digests[::batch]
    distinct = np.unique(keys)
    if are_stateful(signature):
        return None, facts | {"unsplit": "the model keeps state from sample to sample"}
    if len(distinct) < FEWEST_SAMPLES:
        noun = "samples" if batch == 1 else f"batches of {batch}"
        return None, facts | {"unsplit": f"there are {len(distinct)} different {noun}, and {FEWEST_SAMPLES} are needed"}
    chosen = distinct[PARTS.index(part) :: len(PARTS)]
    return np.flatnonzero(np.repeat(np.isin(keys, chosen), batch)[: len(digests)]), facts


def take_samples(arrays: Arrays, indices: np.ndarray | None) -> Arrays:
    """Return the samples at these indices, or all of them for None."""
    return arrays if indices is None else {name: array[indices] for name, array in arrays.items()}


def take_known(arrays: Arrays, indices: np.ndarray | None, count: int) -> Arrays:
    """Select samples, unless the arrays do not have one row for each of `count` samples."""
    return take_samples(arrays, indices) if arrays and count_samples(arrays) == count else arrays
