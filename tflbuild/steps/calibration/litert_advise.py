"""The step `advise`: whether the calibration samples are enough, tensor by tensor.

Four questions, each answered by measuring: how the range of an activation grows with the number of
samples; how much of it nearly all values use; whether the tensor ever changes; and which share of the
evaluation samples' values lies outside of it.
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
TOLERANCE = 0.02  # of a range: what is lacking below this is not worth a sample
CORE = 0.999  # of the values: those beyond are outliers


@dataclass(frozen=True)
class CalibrationStudy:
    """One signature of the float model on the calibration samples, and on evaluation samples where there are any."""

    observer: Observer
    evaluation: Observer | None
    calibrated: Ranges
    makers: Mapping[str, str]

    def rows(self) -> Iterator[dict[str, Any]]:
        """What is known of each tensor, by name."""
        counts, growth = measure_growth(self.observer)
        ranges = {name: (float(one.low[-1]), float(one.high[-1])) for name, one in growth.items()}
        for name, (low, high) in ranges.items():
            require_finite(name, low, high)
        cores = {name: core_of(bins, ranges[name]) for name, bins in histograms(self.observer, ranges).items()}
        calibrated = {name: self.calibrated.get(name, found) for name, found in ranges.items()}
        outside = count_outside(self.evaluation, calibrated) if self.evaluation else {}
        samples = [self.samples(count) for count in counts]
        for name, one in growth.items():
            gaps = [float(gap) for gap in one.gaps()]
            yield {
                "name": name,
                "operator": self.makers.get(name, "INPUT"),
                "signature": self.observer.signature["key"],
                "low": ranges[name][0],
                "high": ranges[name][1],
                "gaps": [list(pair) for pair in zip(samples, gaps, strict=True)],
                "constant": one.constant and counts[-1] > 1,
                **find_stable_count(samples, gaps),
                **measure_range_use(cores[name], ranges[name]),
                **saturation(outside.get(name)),
            }

    def samples(self, calls: int) -> int:
        """How many different samples so many calls feed."""
        return min(calls * batch_of(self.observer.signature), count_samples(self.observer.inputs))


def run(request: StepRequest) -> Facts:
    """Outputs advice.json: {tolerance, core, samples, evaluated, tensors}, these with the entries of `Study.rows`.

    `samples` and `evaluated` map a signature to its numbers of calibration and evaluation samples.
    """
    signature = request.read_json("signature")
    key = signature["key"]
    feeds = load_feeds(request.inputs["samples"], key)
    evaluation = load_feeds(request.inputs["evaluation"], key) if "evaluation" in request.inputs else {}
    ranges = request.read_json("ranges") if "ranges" in request.inputs else {}
    calibrated = {name: (entry["min"], entry["max"]) for name, entry in ranges.items()}
    model = read_model(request.inputs["model"])
    tensors: list[dict[str, Any]] = []
    for one in each_signature(signature):
        require_fed(one["key"], feeds)
        activations = find_activations(model, one["key"])
        observe = ObserverFactory(request, one, activations)
        other = observe(evaluation[one["key"]]) if one["key"] in evaluation else None
        tensors += CalibrationStudy(
            observe(feeds[one["key"]]), other, calibrated, find_makers(model, one["key"])
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
    """Makes the observers of one signature."""

    request: StepRequest
    signature: Mapping[str, Any]
    activations: list[Activation]

    def __call__(self, inputs: Arrays) -> Observer:
        kernels = KERNELS[self.request.params["kernels"]]
        return Observer(self.request.inputs["model"], self.signature, inputs, kernels, self.activations)


def find_makers(model: Model, key: str) -> dict[str, str]:
    """Tensor -> the operator that computes it, of one signature's graph."""
    graph = model.subgraphs[next(entry.subgraph for entry in model.signatures if entry.key == key)]
    return {graph.tensors[index].name: op.name for op in graph.ops for index in op.outputs}


def find_stable_count(samples: list[int], gaps: list[float]) -> dict[str, Any]:
    """`settled`: the fewest samples whose range lacks no more than the tolerance; `grew`: since half of them."""
    settled = next(count for count, gap in zip(samples, gaps, strict=True) if gap <= TOLERANCE)
    half = max(index for index, count in enumerate(samples) if count <= max(1, samples[-1] // 2))
    return {"settled": settled, "grew": gaps[half]}


def histograms(observer: Observer, ranges: Ranges) -> dict[str, np.ndarray]:
    """Return tensor -> int64 [BINS]: how many values of all samples fall into equal parts of its range."""

    def shard(indices: range) -> dict[str, np.ndarray]:
        counts = {name: np.zeros(BINS, np.int64) for name in ranges}

        def show(activation: Activation, values: np.ndarray) -> None:
            low, high = ranges[activation.name]
            if high > low:
                counts[activation.name] += np.histogram(values, BINS, (low, high))[0]

        observer.watch(indices, show)
        return counts

    parts = map_shards(shard, observer.count())
    return {name: sum((part[name] for part in parts), np.zeros(BINS, np.int64)) for name in ranges}


def core_of(bins: np.ndarray, full: tuple[float, float]) -> tuple[float, float]:
    """The range that holds all but the outermost values, as many below as above; to one part in BINS."""
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
    """`used`: the share of the range, zero included, that nearly all values need; `bits_lost`: log2 of 1 / it."""
    width = max(full[1], 0.0) - min(full[0], 0.0)
    used = (max(core[1], 0.0) - min(core[0], 0.0)) / width if width else 1.0
    return {"used": used, "bits_lost": math.log2(1 / used)}


def count_outside(observer: Observer, ranges: Ranges) -> dict[str, np.ndarray]:
    """Tensor -> int64 [2]: values outside of its range, and all of them."""

    def shard(calls: range) -> dict[str, np.ndarray]:
        counts: dict[str, np.ndarray] = {}

        def show(activation: Activation, values: np.ndarray) -> None:
            if activation.name in ranges:
                low, high = ranges[activation.name]
                beyond = np.count_nonzero((values < low) | (values > high))
                counts[activation.name] = counts.get(activation.name, 0) + np.array([beyond, values.size], np.int64)

        observer.watch(calls, show)
        return counts

    parts = map_shards(shard, observer.count())
    names = {name for part in parts for name in part}
    return {name: sum((part[name] for part in parts if name in part), np.zeros(2, np.int64)) for name in names}


def saturation(counts: np.ndarray | None) -> dict[str, Any]:
    """`outside`: the share of evaluation values that the range cuts off, None where none were measured."""
    return {"outside": None if counts is None else float(counts[0] / max(1, counts[1]))}
