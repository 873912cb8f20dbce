"""The step `calibrate`: the range of every activation of the float model on the samples.

The reference kernels give the same ranges on every CPU, where the optimized ones choose code by
instruction set. Minimum and maximum, and the histograms of `percentile` and `mse`, do not depend on
the order of the samples nor on how they are shared among cores; the moving average does, and is
taken in the order of the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.core.model import Model
from tflbuild.workers import progress
from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.flatbuffer import read_model
from tflbuild.workers.interpreters import open_signature
from tflbuild.workers.known_ranges import complete, require_all
from tflbuild.workers.samples import Arrays, batch_of, count_samples, each_sample, load_feeds
from tflbuild.workers.shards import map_shards
from tflbuild.workers.signatures import each_signature

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


@dataclass(frozen=True)
class Range:
    """The least and the greatest value of a tensor, and its rank."""

    min: float
    max: float
    rank: int


def run(request: Request) -> Facts:
    """Outputs ranges.json: tensor name -> {min, max, rank}; facts: samples, tensors, how many of these were trained.

    Trained ranges stand; samples are measured for the others.
    """
    signature = request.read_json("signature")
    model = read_model(request.inputs["model"])
    known = complete(model, request.read_json("trained") if "trained" in request.inputs else {})
    count = 0
    measured: dict[str, Range] = {}
    if "samples" in request.inputs:
        feeds = load_feeds(request.inputs["samples"], signature["key"])
        count, measured = count_samples(feeds[signature["key"]]), measure(request, signature, model, feeds)
    else:
        keys = [one["key"] for one in each_signature(signature)]
        require_all(sorted({one.name for key in keys for one in find_activations(model, key)}), known)
    found = {name: asdict(entry) for name, entry in measured.items()} | known
    request.write_json("ranges.json", found)
    return {"samples": count, "tensors": len(found), **({"trained": len(known)} if known else {})}


def measure(request: Request, signature: Any, model: Model, feeds: Mapping[str, Arrays]) -> dict[str, Range]:
    """The range of every activation of every signature on its samples."""
    params = request.params
    found: dict[str, Range] = {}
    for one in each_signature(signature):
        require_fed(one["key"], feeds)
        activations = find_activations(model, one["key"])
        observer = Observer(request.inputs["model"], one, feeds[one["key"]], KERNELS[params["kernels"]], activations)
        ranges = METHODS[params["method"]](observer, params)
        for activation in activations:
            if activation.name not in ranges:
                continue
            low, high = ranges[activation.name]
            require_finite(activation.name, low, high)
            known = found.get(activation.name)  # two signatures may share a name: the range spans both
            both = (low, high) if known is None else (min(low, known.min), max(high, known.max))
            found[activation.name] = Range(*both, activation.rank)
    return found


def require_fed(key: str, feeds: Mapping[str, Arrays]) -> None:
    """Raises WorkerError for a signature that would be quantized without samples."""
    if key not in feeds:
        raise WorkerError(
            f"the calibration dataset has no samples for the signature '{key}'",
            where="dataset",
            why="activation ranges are measured signature by signature",
            next_step=f"add arrays named like its inputs, or map them: dataset.arrays={{{key}/input: array}}",
        )


def require_finite(name: str, low: float, high: float) -> None:
    """Raises WorkerError for a range that is none."""
    if not np.isfinite([low, high]).all():
        raise WorkerError(
            f"tensor '{name}' becomes NaN or infinite on the calibration samples",
            where="dataset",
            why=f"its range is [{low}, {high}]",
            next_step="check the preprocessing of the dataset (scale, offset) and the model's weights",
        )


def find_activations(model: Model, key: str) -> list[Activation]:
    """The float32 tensors of a signature's subgraph that are computed or fed, by name."""
    graph = model.subgraphs[next(entry.subgraph for entry in model.signatures if entry.key == key)]
    computed = {index for op in graph.ops for index in op.outputs} | set(graph.inputs)
    found = {
        graph.tensors[index].name: Activation(graph.tensors[index].name, index, len(graph.tensors[index].shape))
        for index in sorted(computed)
        if graph.tensors[index].type == "float32" and graph.tensors[index].name
    }
    return [found[name] for name in sorted(found)]


@dataclass(frozen=True)
class Observer:
    """Runs one signature of the float model on samples and shows every activation to a function."""

    model: Path
    signature: Mapping[str, Any]
    inputs: Arrays
    kernels: str
    activations: list[Activation]

    def count(self) -> int:
        """Calls that feed every sample."""
        return -(-count_samples(self.inputs) // batch_of(self.signature))

    def watch(self, calls: Iterable[int], show: Callable[[Activation, np.ndarray], None]) -> None:
        """`show(activation, values)` for every activation of every one of these calls, in their order."""
        running = open_signature(self.model, self.signature["key"], self.kernels, preserve=True)
        batch = batch_of(self.signature)
        for call in calls:
            (feed,) = each_sample(self.inputs, range(call * batch, (call + 1) * batch), batch)
            running(feed)
            for activation in self.activations:
                try:
                    values = running.interpreter.get_tensor(activation.index, running.subgraph)
                except ValueError:  # loops leave tensors that hold no data once they have run
                    continue
                show(activation, values)
            progress.advance()


def per_sample_ranges(observer: Observer) -> dict[str, np.ndarray]:
    """Tensor -> float32 [calls, 2]: minimum and maximum of each call, which most often is one sample."""

    def shard(indices: range) -> dict[str, list[tuple[float, float]]]:
        seen: dict[str, list[tuple[float, float]]] = {}

        def show(activation: Activation, values: np.ndarray) -> None:
            seen.setdefault(activation.name, []).append((float(values.min()), float(values.max())))

        observer.watch(indices, show)
        return seen

    parts = map_shards(shard, observer.count())
    seen = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.array([pair for part in parts for pair in part[name]], np.float32) for name in seen}


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
