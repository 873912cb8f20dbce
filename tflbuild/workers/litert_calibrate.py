"""The step `calibrate`: the range of every activation of the float model on the samples.

The reference kernels give the same ranges on every CPU, where the optimized ones choose code by
instruction set. Minimum and maximum, and the histograms of `percentile` and `mse`, do not depend on
the order of the samples nor on how they are shared among cores; the moving average does, and is
taken in the order of the samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.interpreters import open_model
from tflbuild.workers.samples import Arrays, count_samples, each_sample, load_samples
from tflbuild.workers.shards import map_shards

KERNELS = {"reference": "reference", "fast": "xnnpack"}
BINS = 2048
LEVELS = 256
MSE_SHRINKS = np.linspace(1.0, 0.3, 71)  # shares of the full range that `mse` tries

Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Activation:
    """A float tensor that is computed, as opposed to stored."""

    name: str
    index: int
    rank: int


def run(request: Request) -> Facts:
    """Outputs ranges.json: tensor name -> {min, max, rank}; facts: samples, tensors."""
    params = request.params
    inputs, _ = load_samples(request.inputs["samples"])
    key = request.read_json("signature")["key"]
    observer = Observer(request, inputs, key, KERNELS[params["kernels"]])
    activations = observer.activations  # found before the work is shared out, so that every share has them
    ranges = METHODS[params["method"]](observer, params)
    for name, (low, high) in ranges.items():
        if not np.isfinite([low, high]).all():
            raise WorkerError(
                f"tensor '{name}' becomes NaN or infinite on the calibration samples",
                where="dataset",
                why=f"its range is [{low}, {high}]",
                next_step="check the preprocessing of the dataset (scale, offset) and the model's weights",
            )
    request.write_json(
        "ranges.json",
        {a.name: {"min": ranges[a.name][0], "max": ranges[a.name][1], "rank": a.rank} for a in activations},
    )
    return {"samples": count_samples(inputs), "tensors": len(activations)}


class Observer:
    """Runs the float model on samples and shows every activation to a function."""

    def __init__(self, request: Request, inputs: Arrays, key: str, kernels: str) -> None:
        self.model = request.inputs["model"]
        self.inputs = inputs
        self.key = key
        self.kernels = kernels

    def open(self) -> Any:
        return open_model(self.model, self.kernels, preserve=True)

    @cached_property
    def activations(self) -> list[Activation]:
        """The float tensors of the signature's subgraph that hold no constant."""
        interpreter = self.open()
        computed = {index for op in interpreter._get_ops_details() for index in op["outputs"]}
        computed |= {detail["index"] for detail in interpreter.get_input_details()}
        found = {}
        for detail in interpreter.get_tensor_details():
            if detail["index"] in computed and detail["dtype"] == np.float32 and detail["name"]:
                found[detail["name"]] = Activation(detail["name"], detail["index"], len(detail["shape"]))
        return [found[name] for name in sorted(found)]

    def count(self) -> int:
        return count_samples(self.inputs)

    def watch(self, indices: range, show: Callable[[Activation, np.ndarray], None]) -> None:
        """`show(activation, values)` for every activation of every sample in `indices`."""
        interpreter = self.open()
        runner = interpreter.get_signature_runner(self.key)
        for feed in each_sample(self.inputs, indices):
            runner(**feed)
            for activation in self.activations:
                show(activation, interpreter.get_tensor(activation.index))


def per_sample_ranges(observer: Observer) -> dict[str, np.ndarray]:
    """Tensor -> float32 [samples, 2]: minimum and maximum of each sample."""

    def shard(indices: range) -> dict[str, list[tuple[float, float]]]:
        seen: dict[str, list[tuple[float, float]]] = {}

        def show(activation: Activation, values: np.ndarray) -> None:
            seen.setdefault(activation.name, []).append((float(values.min()), float(values.max())))

        observer.watch(indices, show)
        return seen

    parts = map_shards(shard, observer.count())
    return {name: np.array([pair for part in parts for pair in part[name]], np.float32) for name in parts[0]}


def min_max(observer: Observer, params: Any) -> Ranges:
    """The least and the greatest value of all samples."""
    seen = per_sample_ranges(observer)
    return {name: (float(pairs[:, 0].min()), float(pairs[:, 1].max())) for name, pairs in seen.items()}


def moving_average(observer: Observer, params: Any) -> Ranges:
    """Per sample, kept * smoothing + new * (1 - smoothing), from the first sample's range on."""
    smoothing = params["smoothing"]
    ranges = {}
    for name, pairs in per_sample_ranges(observer).items():
        average = pairs[0].astype(np.float64)
        for pair in pairs[1:]:
            average = smoothing * average + (1.0 - smoothing) * pair
        ranges[name] = (float(np.float32(average[0])), float(np.float32(average[1])))
    return ranges


def histograms(observer: Observer, ranges: Ranges) -> dict[str, np.ndarray]:
    """Tensor -> int64 [BINS]: how many values of all samples fall into equal parts of its range."""

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


def percentile(observer: Observer, params: Any) -> Ranges:
    """The range that keeps the asked share of values, cutting both ends alike."""
    full = min_max(observer, params)
    cut = (1.0 - params["percentile"] / 100.0) / 2.0
    ranges = {}
    for name, counts in histograms(observer, full).items():
        low, high = full[name]
        total = counts.sum()
        if total == 0:
            ranges[name] = (low, high)
            continue
        share = np.cumsum(counts) / total
        edges = np.linspace(low, high, BINS + 1)
        first = int(np.searchsorted(share, cut, side="right"))
        last = int(np.searchsorted(share, 1.0 - cut, side="left"))
        ranges[name] = (
            float(np.float32(edges[min(first, BINS - 1)])),
            float(np.float32(edges[min(last, BINS - 1) + 1])),
        )
    return ranges


def mse(observer: Observer, params: Any) -> Ranges:
    """The shrunken range with the least expected squared error of 8-bit quantization.

    For each share of the full range: values inside err by rounding, step^2 / 12; values outside by
    their distance to the nearer end.
    """
    full = min_max(observer, params)
    ranges = {}
    for name, counts in histograms(observer, full).items():
        low, high = full[name]
        edges = np.linspace(low, high, BINS + 1)
        centres = (edges[:-1] + edges[1:]) / 2
        best, best_error = (low, high), np.inf
        for share in MSE_SHRINKS if counts.sum() else ():
            a, b = low * share, high * share
            step = (max(b, 0.0) - min(a, 0.0)) / (LEVELS - 1)
            outside = np.maximum(0.0, np.maximum(a - centres, centres - b))
            error = float((counts * np.where(outside > 0, outside**2, step**2 / 12)).sum())
            if error < best_error:
                best, best_error = (float(np.float32(a)), float(np.float32(b))), error
        ranges[name] = best
    return ranges


METHODS: dict[str, Callable[[Observer, Any], Ranges]] = {
    "min_max": min_max,
    "moving_average": moving_average,
    "percentile": percentile,
    "mse": mse,
}
