"""A signature of the float model run on samples, with every activation shown to a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.runtime import step_progress
from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.calibration.float64_model import open_float64
from tflbuild.steps.datasets.sample_files import Arrays, batch_of, count_samples, each_sample
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.tflite_model import Model, Subgraph
from tflbuild.tflite.tflite_reader import read_model

KERNELS = {"reference": "reference", "fast": "xnnpack"}

MOST_STORED = 1 << 28  # bytes, of each process
FLOAT64 = "float64"  # the operators of `float64_operators`, no kernels of the runtime

Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Activation:
    """A float tensor that is computed, as opposed to stored."""

    name: str
    index: int
    rank: int


@dataclass(frozen=True)
class Observer:
    """Runs one signature of the float model on samples and shows every activation to a function.

    `kernels` are those of `interpreters.open_signature`, or FLOAT64.
    """

    model: Path
    signature: Mapping[str, Any]
    inputs: Arrays
    kernels: str
    activations: list[Activation]

    def count(self) -> int:
        """Return the number of calls that feed every sample."""
        return -(-count_samples(self.inputs) // batch_of(self.signature))

    def feed(self, call: int) -> Arrays:
        """Return the arrays that a call feeds."""
        batch = batch_of(self.signature)
        (feed,) = each_sample(self.inputs, range(call * batch, (call + 1) * batch), batch)
        return feed

    def watch(self, calls: Iterable[int], show: Callable[[Activation, np.ndarray], None]) -> None:
        """Call `show(activation, values)` for every activation of every one of these calls, in their order."""
        values_of = self.open()
        for call in calls:
            for activation, values in values_of(call):
                show(activation, values)
            step_progress.advance()

    def open(self) -> Callable[[int], Iterator[tuple[Activation, np.ndarray]]]:
        """Return a function that makes a call, and yields every activation with its values."""
        if self.kernels == FLOAT64:
            return self._open_float64()
        running = open_signature(self.model, self.signature["key"], self.kernels, preserve=True)

        def values_of(call: int) -> Iterator[tuple[Activation, np.ndarray]]:
            running(self.feed(call))
            for activation in self.activations:
                try:
                    yield activation, running.interpreter.get_tensor(activation.index, running.subgraph)
                except ValueError:  # loops leave tensors that hold no data once they have run
                    continue

        return values_of

    def _open_float64(self) -> Callable[[int], Iterator[tuple[Activation, np.ndarray]]]:
        wanted = [activation.index for activation in self.activations]
        running = open_float64(self.model, read_model(self.model), self.signature["key"], wanted)

        def values_of(call: int) -> Iterator[tuple[Activation, np.ndarray]]:
            values = running.run(self.feed(call))
            for activation in self.activations:
                yield activation, values[activation.index]

        return values_of

    def restrict(self, names: Iterable[str], kernels: str) -> Observer:
        """Return an observer of some activations alone, on these kernels."""
        wanted = set(names)
        some = [activation for activation in self.activations if activation.name in wanted]
        return replace(self, activations=some, kernels=kernels)

    def names(self) -> list[str]:
        """Return the names of the activations."""
        return [activation.name for activation in self.activations]


@dataclass(frozen=True)
class StoredCalls:
    """The values that an observer shows, computed once and rounded to float32: [call][activation]."""

    activations: list[Activation]
    values: list[list[np.ndarray]]

    def count(self) -> int:
        """Return the number of calls."""
        return len(self.values)

    def names(self) -> list[str]:
        """Return the names of the activations."""
        return [activation.name for activation in self.activations]

    def watch(self, calls: Iterable[int], show: Callable[[Activation, np.ndarray], None]) -> None:
        """Call `show(activation, values)` for every activation of every one of these calls, in their order."""
        for call in calls:
            for activation, values in zip(self.activations, self.values[call], strict=True):
                show(activation, values)


def store_calls(observer: Observer) -> Observer | StoredCalls:
    """Return the values of all calls, or the observer itself where they are too many to be kept."""

    def shard(calls: range) -> list[list[np.ndarray]] | None:
        kept: list[list[np.ndarray]] = []
        run = observer.open()
        for call in calls:
            kept.append([values.astype(np.float32) for _, values in run(call)])
            if len(kept) * sum(values.nbytes for values in kept[0]) > MOST_STORED:
                return None
            step_progress.advance()
        return kept

    parts = map_shards(shard, observer.count())
    if any(part is None for part in parts):
        return observer
    return StoredCalls(observer.activations, [call for part in parts if part is not None for call in part])


def find_graph(model: Model, key: str) -> Subgraph:
    """Return the subgraph that a signature runs."""
    return model.subgraphs[next(entry.subgraph for entry in model.signatures if entry.key == key)]


def find_activations(model: Model, key: str) -> list[Activation]:
    """Return the float32 tensors of a signature's subgraph that are computed or fed, by name."""
    graph = find_graph(model, key)
    computed = {index for op in graph.ops for index in op.outputs} | set(graph.inputs)
    found = {
        graph.tensors[index].name: Activation(graph.tensors[index].name, index, len(graph.tensors[index].shape))
        for index in sorted(computed)
        if graph.tensors[index].type == "float32" and graph.tensors[index].name
    }
    return [found[name] for name in sorted(found)]


def measure_calls(observer: Observer, calls: Iterable[int] | None = None) -> dict[str, np.ndarray]:
    """Return tensor -> float64 [calls, 2]: minimum and maximum of each call, which most often is one sample."""
    chosen = list(range(observer.count()) if calls is None else calls)

    def shard(positions: range) -> dict[str, list[tuple[float, float]]]:
        seen: dict[str, list[tuple[float, float]]] = {}

        def show(activation: Activation, values: np.ndarray) -> None:
            # a loop or a branch may leave a tensor without elements
            pair = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
            seen.setdefault(activation.name, []).append(pair)

        observer.watch([chosen[position] for position in positions], show)
        return seen

    parts = map_shards(shard, len(chosen))
    seen = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.array([pair for part in parts for pair in part[name]]) for name in seen}


def require_fed(key: str, feeds: Mapping[str, Arrays]) -> None:
    """Raise WorkerError for a signature that would be quantized without samples."""
    if key not in feeds:
        raise WorkerError(
            f"the calibration dataset has no samples for the signature '{key}'",
            where="dataset",
            why="activation ranges are measured signature by signature",
            next_step=f"add arrays named like its inputs, or map them: dataset.arrays={{{key}/input: array}}",
        )


def require_finite(name: str, low: float, high: float) -> None:
    """Raise WorkerError for a range that is none."""
    if not np.isfinite([low, high]).all():
        raise WorkerError(
            f"tensor '{name}' becomes NaN or infinite on the calibration samples",
            where="dataset",
            why=f"its range is [{low}, {high}]",
            next_step="check the preprocessing of the dataset (scale, offset) and the model's weights",
        )
