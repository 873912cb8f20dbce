"""The step `advise`: whether the calibration samples are sufficient, for each activation.

It measures how the range of an activation grows with the number of samples, how much of the range nearly all values
use, whether the activation ever changes, and which fraction of its values on the evaluation samples is outside of the
range.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.calibration.activation_observer import (
    KERNELS,
    Activation,
    Observer,
    Ranges,
    find_activations,
    require_fed,
    require_finite,
)
from tflbuild.steps.calibration.range_growth import measure_growth
from tflbuild.steps.datasets.sample_files import Arrays, batch_of, count_samples, load_feeds
from tflbuild.tflite.signature_checks import each_signature
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

BINS = 2048
# The fraction of a range that may be missing before more samples are worth it.
TOLERANCE = 0.02
# The fraction of values that are not outliers.
CORE = 0.999


@dataclass(frozen=True)
class CalibrationStudy:
    """One signature of the float model on its calibration samples, and on its evaluation samples if there are any.

    Attributes:
        observer: Runs the calibration samples.
        evaluation: Runs the evaluation samples.
        calibrated: Activation name -> its range in the recipe's calibration.
        producers: Tensor name -> the operator that computes it.
    """

    observer: Observer
    evaluation: Observer | None
    calibrated: Ranges
    producers: Mapping[str, str]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the figures of each activation, for advice.json."""
        counts, growth = measure_growth(self.observer)
        ranges = {
            name: (float(tensor_growth.low[-1]), float(tensor_growth.high[-1]))
            for name, tensor_growth in growth.items()
        }
        for name, (low, high) in ranges.items():
            require_finite(name, low, high)
        cores = {name: find_core(bins, ranges[name]) for name, bins in count_values(self.observer, ranges).items()}
        calibrated = {name: self.calibrated.get(name, measured) for name, measured in ranges.items()}
        outside = count_outside(self.evaluation, calibrated) if self.evaluation else {}
        samples = [self.samples(count) for count in counts]
        for name, tensor_growth in growth.items():
            gaps = [float(gap) for gap in tensor_growth.gaps()]
            yield {
                "name": name,
                "operator": self.producers.get(name, "INPUT"),
                "signature": self.observer.signature["key"],
                "low": ranges[name][0],
                "high": ranges[name][1],
                "gaps": [list(pair) for pair in zip(samples, gaps, strict=True)],
                "constant": tensor_growth.constant and counts[-1] > 1,
                **find_stable_count(samples, gaps),
                **measure_range_use(cores[name], ranges[name]),
                **measure_saturation(outside.get(name)),
            }

    def samples(self, calls: int) -> int:
        """Return the number of different samples that this many calls feed."""
        return min(calls * batch_of(self.observer.signature), count_samples(self.observer.inputs))


def run(request: StepRequest) -> Facts:
    """Measure whether the calibration samples are sufficient, and write advice.json.

    Args:
        request: Inputs `model`, `signature` and `samples`, and optionally `evaluation` (samples) and `ranges`.

    Returns:
        The content of advice.json: `tolerance`, `core`, `samples` and `evaluated` (signature name -> number of
        calibration and evaluation samples), and `tensors` (the rows of `CalibrationStudy`).

    Raises:
        WorkerError: A signature has no samples, or a range is not finite.
    """
    signature = request.read_json("signature")
    key = signature["key"]
    feeds = load_feeds(request.inputs["samples"], key)
    evaluation = load_feeds(request.inputs["evaluation"], key) if "evaluation" in request.inputs else {}
    ranges = request.read_json("ranges") if "ranges" in request.inputs else {}
    calibrated = {name: (range_["min"], range_["max"]) for name, range_ in ranges.items()}
    model = read_model(request.inputs["model"])
    tensors: list[dict[str, Any]] = []
    for entry in each_signature(signature):
        require_fed(entry["key"], feeds)
        activations = find_activations(model, entry["key"])
        observe = ObserverFactory(request, entry, activations)
        evaluation_observer = observe(evaluation[entry["key"]]) if entry["key"] in evaluation else None
        tensors += CalibrationStudy(
            observe(feeds[entry["key"]]), evaluation_observer, calibrated, find_producers(model, entry["key"])
        ).rows()
    report = {
        "tolerance": TOLERANCE,
        "core": CORE,
        "samples": {name: count_samples(feed) for name, feed in feeds.items()},
        "evaluated": {name: count_samples(feed) for name, feed in evaluation.items()},
        "tensors": tensors,
    }
    request.write_json("advice.json", report)
    return report


@dataclass(frozen=True)
class ObserverFactory:
    """Creates the observers of one signature."""

    request: StepRequest
    signature: Mapping[str, Any]
    activations: list[Activation]

    def __call__(self, inputs: Arrays) -> Observer:
        kernels = KERNELS[self.request.params["kernels"]]
        return Observer(self.request.inputs["model"], self.signature, inputs, kernels, self.activations)


def find_producers(model: Model, key: str) -> dict[str, str]:
    """Return the operator that computes each tensor of a signature's subgraph, by tensor name."""
    graph = model.subgraphs[next(entry.subgraph for entry in model.signatures if entry.key == key)]
    return {graph.tensors[index].name: op.name for op in graph.ops for index in op.outputs}


def find_stable_count(samples: list[int], gaps: list[float]) -> dict[str, Any]:
    """Find the number of samples after which a range hardly grows.

    Args:
        samples: Increasing numbers of samples.
        gaps: The missing fraction of the final range after each number.

    Returns:
        `settled`: the smallest number whose range lacks at most the tolerance; and `grew`: the fraction of the range
        that was added by the second half of the samples.
    """
    settled = next(count for count, gap in zip(samples, gaps, strict=True) if gap <= TOLERANCE)
    half = max(index for index, count in enumerate(samples) if count <= max(1, samples[-1] // 2))
    return {"settled": settled, "grew": gaps[half]}


def count_values(observer: Observer, ranges: Ranges) -> dict[str, np.ndarray]:
    """Count how many values of all samples are in each of BINS equal parts of the range.

    Returns:
        Tensor name -> int64 [BINS].
    """

    def count_shard(indices: range) -> dict[str, np.ndarray]:
        counts = {name: np.zeros(BINS, np.int64) for name in ranges}

        def show(activation: Activation, values: np.ndarray) -> None:
            low, high = ranges[activation.name]
            if high > low:
                counts[activation.name] += np.histogram(values, BINS, (low, high))[0]

        observer.watch(indices, show)
        return counts

    parts = map_shards(count_shard, observer.count())
    return {name: sum((part[name] for part in parts), np.zeros(BINS, np.int64)) for name in ranges}


def find_core(bins: np.ndarray, full: tuple[float, float]) -> tuple[float, float]:
    """Return the range without the outermost values, as many below as above. Its resolution is one part in BINS.

    Args:
        bins: int64 [BINS], the number of values in equal parts of the full range.
        full: The full range.
    """
    total = bins.sum()
    if total == 0:
        return full
    share = np.cumsum(bins) / total
    edges = np.linspace(*full, BINS + 1)
    cut = (1.0 - CORE) / 2
    first = int(np.searchsorted(share, cut, side="right"))
    last = int(np.searchsorted(share, 1.0 - cut, side="left"))
    return float(edges[min(first, BINS - 1)]), float(edges[min(last, BINS - 1) + 1])


def measure_range_use(core: tuple[float, float], full: tuple[float, float]) -> dict[str, float]:
    """Return `used`, the fraction of the range that nearly all values need, and `bits_lost`, log2(1 / used).

    Both ranges are extended to contain zero.
    """
    width = max(full[1], 0.0) - min(full[0], 0.0)
    used = (max(core[1], 0.0) - min(core[0], 0.0)) / width if width else 1.0
    return {"used": used, "bits_lost": math.log2(1 / used)}


def count_outside(observer: Observer, ranges: Ranges) -> dict[str, np.ndarray]:
    """Count the values outside of each tensor's range.

    Returns:
        Tensor name -> int64 [2]: the number of values outside, and the number of all values.
    """

    def count_shard(calls: range) -> dict[str, np.ndarray]:
        counts: dict[str, np.ndarray] = {}

        def show(activation: Activation, values: np.ndarray) -> None:
            if activation.name in ranges:
                low, high = ranges[activation.name]
                beyond = np.count_nonzero((values < low) | (values > high))
                counts[activation.name] = counts.get(activation.name, 0) + np.array([beyond, values.size], np.int64)

        observer.watch(calls, show)
        return counts

    parts = map_shards(count_shard, observer.count())
    names = {name for part in parts for name in part}
    return {name: sum((part[name] for part in parts if name in part), np.zeros(2, np.int64)) for name in names}


def measure_saturation(counts: np.ndarray | None) -> dict[str, Any]:
    """Return `outside`: the fraction of evaluation values that the range cuts off, None if none were measured."""
    return {"outside": None if counts is None else float(counts[0] / max(1, counts[1]))}
