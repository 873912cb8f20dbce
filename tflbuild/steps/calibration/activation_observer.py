"""Observation of the activations of a float model while one of its signatures runs on samples."""

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

# The recipe's `quantization.calibration.kernels` -> the kernels of `interpreters.open_signature`.
KERNELS = {"reference": "reference", "fast": "xnnpack"}

# The number of bytes of stored values, for each process.
MOST_STORED = 1 << 28
# Instead of kernels of the runtime, the operators of `float64_operators`.
FLOAT64 = "float64"

Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Activation:
    """A computed float tensor, as opposed to a constant."""

    name: str
    index: int
    rank: int


@dataclass(frozen=True)
class Observer:
    """Runs one signature of the float model on samples, and passes the values of every activation to a function.

    Attributes:
        model: The path of the float model.
        signature: The signature, as JSON.
        inputs: Input name -> samples.
        kernels: Those of `interpreters.open_signature`, or FLOAT64.
        activations: The activations to observe.
    """

    model: Path
    signature: Mapping[str, Any]
    inputs: Arrays
    kernels: str
    activations: list[Activation]

    def count(self) -> int:
        """Return the number of calls in which all samples are fed."""
        return -(-count_samples(self.inputs) // batch_of(self.signature))

    def feed(self, call: int) -> Arrays:
        """Return the arrays that a call feeds, by input name."""
        batch = batch_of(self.signature)
        (feed,) = each_sample(self.inputs, range(call * batch, (call + 1) * batch), batch)
        return feed

    def watch(self, calls: Iterable[int], show: Callable[[Activation, np.ndarray], None]) -> None:
        """Run calls in their order, and call `show(activation, values)` for every activation."""
        values_of = self.open()
        for call in calls:
            for activation, values in values_of(call):
                show(activation, values)
            step_progress.advance()

    def open(self) -> Callable[[int], Iterator[tuple[Activation, np.ndarray]]]:
        """Open the model. Return a function that runs a call and yields every activation with its values."""
        if self.kernels == FLOAT64:
            return self._open_float64()
        runner = open_signature(self.model, self.signature["key"], self.kernels, preserve=True)

        def values_of(call: int) -> Iterator[tuple[Activation, np.ndarray]]:
            runner(self.feed(call))
            for activation in self.activations:
                try:
                    yield activation, runner.interpreter.get_tensor(activation.index, runner.subgraph)
                except ValueError:
                    # The tensors of a loop's body have no data after the loop has ended.
                    continue

        return values_of

    def _open_float64(self) -> Callable[[int], Iterator[tuple[Activation, np.ndarray]]]:
        indices = [activation.index for activation in self.activations]
        runner = open_float64(self.model, read_model(self.model), self.signature["key"], indices)

        def values_of(call: int) -> Iterator[tuple[Activation, np.ndarray]]:
            values = runner.run(self.feed(call))
            for activation in self.activations:
                yield activation, values[activation.index]

        return values_of

    def restrict(self, names: Iterable[str], kernels: str) -> Observer:
        """Return an observer of only these activations, on these kernels."""
        chosen = set(names)
        activations = [activation for activation in self.activations if activation.name in chosen]
        return replace(self, activations=activations, kernels=kernels)

    def names(self) -> list[str]:
        """Return the names of the activations."""
        return [activation.name for activation in self.activations]


@dataclass(frozen=True)
class StoredCalls:
    """The values of an observer's activations, computed once and rounded to float32: `values[call][activation]`."""

    activations: list[Activation]
    values: list[list[np.ndarray]]

    def count(self) -> int:
        """Return the number of calls."""
        return len(self.values)

    def names(self) -> list[str]:
        """Return the names of the activations."""
        return [activation.name for activation in self.activations]

    def watch(self, calls: Iterable[int], show: Callable[[Activation, np.ndarray], None]) -> None:
        """Call `show(activation, values)` for every activation of these calls, in their order."""
        for call in calls:
            for activation, values in zip(self.activations, self.values[call], strict=True):
                show(activation, values)


def store_calls(observer: Observer) -> Observer | StoredCalls:
    """Run all calls and store the activations, or return the observer itself if they need too much memory."""

    def store_shard(calls: range) -> list[list[np.ndarray]] | None:
        stored: list[list[np.ndarray]] = []
        run = observer.open()
        for call in calls:
            stored.append([values.astype(np.float32) for _, values in run(call)])
            if len(stored) * sum(values.nbytes for values in stored[0]) > MOST_STORED:
                return None
            step_progress.advance()
        return stored

    parts = map_shards(store_shard, observer.count())
    if any(part is None for part in parts):
        return observer
    return StoredCalls(observer.activations, [call for part in parts if part is not None for call in part])


def find_graph(model: Model, key: str) -> Subgraph:
    """Return the subgraph that a signature runs."""
    return model.subgraphs[next(entry.subgraph for entry in model.signatures if entry.key == key)]


def find_activations(model: Model, key: str) -> list[Activation]:
    """Return the float32 tensors of a signature's subgraph that are inputs or computed, sorted by name."""
    graph = find_graph(model, key)
    computed = {index for op in graph.ops for index in op.outputs} | set(graph.inputs)
    activations = {
        graph.tensors[index].name: Activation(graph.tensors[index].name, index, len(graph.tensors[index].shape))
        for index in sorted(computed)
        if graph.tensors[index].type == "float32" and graph.tensors[index].name
    }
    return [activations[name] for name in sorted(activations)]


def measure_calls(observer: Observer, calls: Iterable[int] | None = None) -> dict[str, np.ndarray]:
    """Measure the minimum and maximum of every activation in every call. A call usually feeds one sample.

    Args:
        observer: Runs the model.
        calls: The numbers of the calls to run, all of them if None.

    Returns:
        Tensor name -> float64 [calls, 2].
    """
    chosen = list(range(observer.count()) if calls is None else calls)

    def measure_shard(positions: range) -> dict[str, list[tuple[float, float]]]:
        extremes: dict[str, list[tuple[float, float]]] = {}

        def show(activation: Activation, values: np.ndarray) -> None:
            # A loop or a branch may leave a tensor without elements.
            pair = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
            extremes.setdefault(activation.name, []).append(pair)

        observer.watch([chosen[position] for position in positions], show)
        return extremes

    parts = map_shards(measure_shard, len(chosen))
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.array([pair for part in parts for pair in part[name]]) for name in names}


def require_fed(key: str, feeds: Mapping[str, Arrays]) -> None:
    """Check that the calibration dataset has samples for a signature.

    Args:
        key: The signature name.
        feeds: Signature name -> samples.

    Raises:
        WorkerError: The signature has no samples.
    """
    if key not in feeds:
        raise WorkerError(
            f"the calibration dataset has no samples for the signature '{key}'",
            where="dataset",
            why="activation ranges are measured signature by signature",
            next_step=f"add arrays named like its inputs, or map them: dataset.arrays={{{key}/input: array}}",
        )


def require_finite(name: str, low: float, high: float) -> None:
    """Check that a measured range is finite.

    Raises:
        WorkerError: A bound of the tensor's range is NaN or infinite.
    """
    if not np.isfinite([low, high]).all():
        raise WorkerError(
            f"tensor '{name}' becomes NaN or infinite on the calibration samples",
            where="dataset",
            why=f"its range is [{low}, {high}]",
            next_step="check the preprocessing of the dataset (scale, offset) and the model's weights",
        )
