"""Two parts of the evaluation samples: a search selects on one and what it chose is reported on the other.

Samples go by the digests of their bytes, in ascending order, in turn to `selection` and `report`. So the parts do not
depend on the order of the dataset, are of equal size, and equal samples are in one part.
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
LEAST_SAMPLES = 10  # that differ: below, half of them says less than all of them seen twice


def choose_part(folder: Path, signature: Mapping[str, Any], part: str) -> tuple[np.ndarray | None, Facts]:
    """Return (places of the part's samples, None for all; facts that say which part of how many)."""
    digests = load_array(folder / DIGESTS)
    facts: Facts = {"name": part, "of": len(digests)}
    batch = batch_of(signature)
    keys = digests[::batch]  # what is called together stays together: its outputs may depend on one another
    distinct = np.unique(keys)
    if are_stateful(signature):
        return None, facts | {"unsplit": "the model keeps state from sample to sample"}
    if len(distinct) < LEAST_SAMPLES:
        what = "samples" if batch == 1 else f"batches of {batch}"
        return None, facts | {"unsplit": f"there are {len(distinct)} different {what}, and {LEAST_SAMPLES} are needed"}
    chosen = distinct[PARTS.index(part) :: len(PARTS)]
    return np.flatnonzero(np.repeat(np.isin(keys, chosen), batch)[: len(digests)]), facts


def take(arrays: Arrays, places: np.ndarray | None) -> Arrays:
    """Return the samples at `places`, or all of them."""
    return arrays if places is None else {name: array[places] for name, array in arrays.items()}


def take_known(arrays: Arrays, places: np.ndarray | None, count: int) -> Arrays:
    """Return the part of arrays that have one row for each of `count` samples; others stay as they are."""
    return take(arrays, places) if arrays and count_samples(arrays) == count else arrays
