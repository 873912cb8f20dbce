"""Statistics of samples: the range of the values of each input, and the number of different samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflbuild.runtime.step_contract import Facts
from tflbuild.steps.datasets.sample_files import DIGESTS, Arrays, load_array

# Sums of floats differ between CPUs in the last digits of a double, so figures are rounded.
DIGITS = 6


@dataclass
class SampleStatistics:
    """Statistics of the values of one input, which grow block by block."""

    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    squares: float = 0.0
    count: int = 0

    def add(self, values: np.ndarray) -> None:
        """Add a block of values."""
        flat = values.reshape(-1)
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        self.total += float(flat.sum(dtype=np.float64))
        self.squares += float(np.einsum("i,i->", flat, flat, dtype=np.float64))
        self.count += flat.size

    def as_facts(self) -> Facts:
        """Return `low`, `high`, `mean` and `std`."""
        mean = self.total / self.count
        deviation = math.sqrt(max(0.0, self.squares / self.count - mean * mean))
        rounded = {"mean": float(f"{mean:.{DIGITS}g}"), "std": float(f"{deviation:.{DIGITS}g}")}
        return {"low": self.low, "high": self.high, **rounded}


def describe_inputs(inputs: Arrays, statistics: dict[str, SampleStatistics]) -> None:
    """Add a block of samples to the `statistics` of each input. Text has no statistics."""
    for name, array in inputs.items():
        if array.dtype.kind in "biuf" and array.size:
            statistics.setdefault(name, SampleStatistics()).add(array)


def count_distinct(folder: Path) -> int:
    """Return the number of different samples in the folder."""
    return len(np.unique(load_array(folder / DIGESTS)))
