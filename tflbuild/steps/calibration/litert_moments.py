"""The step `moments`: the second moments of the inputs of FULLY_CONNECTED operators on the samples.

The algorithms `gptq` (Frantar et al., arXiv 2210.17323) and `oscar` of the LiteRT quantizer choose weights by them: E[x
x^T] of the rows x that are multiplied by the weights, or only its diagonal.

The model is computed in float64 in a fixed order (`float64_model`). Values are rounded to integers of 20 bits, relative
to the largest value, or fewer bits if there are very many rows. float64 sums the products of such integers without
error. So the result does not depend on the order of the samples, or on the cores, the processes or the instruction set
that computed the sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tflbuild.core.cpu_dependence import CpuDependence, add_cpu_dependence
from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.calibration.activation_observer import (
    FLOAT64,
    Activation,
    Observer,
    StoredCalls,
    find_activations,
    find_graph,
    require_fed,
    store_calls,
)
from tflbuild.steps.calibration.exact_tensors import find_exact
from tflbuild.steps.calibration.float64_model import list_computable
from tflbuild.steps.calibration.moments_file import Moments, save_moments
from tflbuild.steps.calibration.reproducible_ranges import compare_kernels
from tflbuild.steps.datasets.sample_files import count_samples, load_feeds
from tflbuild.tflite.signature_checks import each_signature
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

OPERATOR = "FULLY_CONNECTED"
NOT_IN_FLOAT64 = "operators before it are not computed in float64, so its moments depend on the CPU's kernels"
# The largest difference to the kernels, as a fraction of an activation's span, that rounding of float32 can explain.
LARGEST_DIFFERENCE = 1e-3
BITS = 20
# All integers up to 2^53 are float64 values.
EXACT_BITS = 53


@dataclass(frozen=True)
class RowStatistics:
    """The largest magnitude among the values of a tensor, and the number of its rows in all calls."""

    peak: float
    rows: int

    @property
    def exponent(self) -> int:
        """Return the exponent e for which values times 2^e are rounded to integers whose summed products stay exact."""
        bits = min(BITS, (EXACT_BITS - math.ceil(math.log2(self.rows))) // 2)
        return bits - math.frexp(self.peak)[1]


@dataclass(frozen=True)
class MomentSurvey:
    """The inputs of FULLY_CONNECTED operators of one signature, whose moments are summed over calls.

    Attributes:
        observer: Shows the values.
        widths: Tensor name -> the number of columns of its rows.
        diagonal: Whether only E[x^2] is needed.
    """

    observer: Observer | StoredCalls
    widths: Mapping[str, int]
    diagonal: bool

    def measure_rows(self) -> dict[str, RowStatistics]:
        """Return the largest magnitude and the number of rows of each tensor, by name."""

        def measure_shard(calls: range) -> dict[str, RowStatistics]:
            statistics: dict[str, RowStatistics] = {}

            def show(activation: Activation, values: np.ndarray) -> None:
                previous = statistics.get(activation.name, RowStatistics(0.0, 0))
                rows = values.size // self.widths[activation.name]
                peak = float(np.float32(np.abs(values).max()))
                statistics[activation.name] = RowStatistics(max(previous.peak, peak), previous.rows + rows)

            self.observer.watch(calls, show)
            return statistics

        parts = map_shards(measure_shard, self.observer.count())
        names = [name for name in self.widths if all(name in part for part in parts)]
        return {
            name: RowStatistics(max(part[name].peak for part in parts), sum(part[name].rows for part in parts))
            for name in names
        }

    def add_up(self, statistics: Mapping[str, RowStatistics]) -> Moments:
        """Sum the products of the rows of each tensor.

        Args:
            statistics: Tensor name -> the result of `measure_rows`.

        Returns:
            Tensor name -> sum of x x^T over its rows, float64 [width, width], or of x^2, float64 [width].
        """

        def sum_shard(calls: range) -> Moments:
            sums: Moments = {}

            def show(activation: Activation, values: np.ndarray) -> None:
                if activation.name not in statistics:
                    return
                exponent = statistics[activation.name].exponent
                # Stored values were rounded to float32, so values in float64 are rounded as well.
                rows = values.reshape(-1, self.widths[activation.name]).astype(np.float32).astype(np.float64)
                integers = np.rint(np.ldexp(rows, exponent))
                products = (integers * integers).sum(axis=0) if self.diagonal else integers.T @ integers
                if activation.name in sums:
                    sums[activation.name] += products
                else:
                    sums[activation.name] = products

            self.observer.watch(calls, show)
            return sums

        parts = map_shards(sum_shard, self.observer.count())
        total = {name: sum((part[name] for part in parts[1:]), parts[0][name]) for name in statistics}
        return {name: np.ldexp(sums, -2 * statistics[name].exponent) for name, sums in total.items()}


def run(request: StepRequest) -> Facts:
    """Measure the second moments of the inputs of FULLY_CONNECTED operators, and write moments.npz.

    Args:
        request: Inputs `model`, `signature` and `samples`. The parameter `moments` is `matrix` (E[x x^T], stored as
            float32 [width, width]) or `diagonal` (E[x^2], stored as float64 [width]).

    Returns:
        The facts `samples` and `tensors` (their numbers), and those of `add_cpu_dependence`.

    Raises:
        WorkerError: A signature has no samples, a value is NaN or infinite, or the model has no such operator.
    """
    signature = request.read_json("signature")
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    model = read_model(request.inputs["model"])
    sums: Moments = {}
    rows: dict[str, int] = {}
    dependences: list[CpuDependence] = []
    for entry in each_signature(signature):
        require_fed(entry["key"], feeds)
        widths = find_widths(model, entry["key"])
        activations = [activation for activation in find_activations(model, entry["key"]) if activation.name in widths]
        observer = Observer(request.inputs["model"], entry, feeds[entry["key"]], "reference", activations)
        for source in choose_values(model, observer, dependences):
            survey = MomentSurvey(
                source, {name: widths[name] for name in source.names()}, request.params["moments"] == "diagonal"
            )
            statistics = survey.measure_rows()
            require_numbers(statistics)
            for name, products in survey.add_up(statistics).items():
                sums[name] = sums[name] + products if name in sums else products
                rows[name] = rows.get(name, 0) + statistics[name].rows
    require_some(sums)
    save_moments(request.outputs / "moments.npz", {name: total / rows[name] for name, total in sums.items()})
    return add_cpu_dependence({"samples": count_samples(feeds[signature["key"]]), "tensors": len(sums)}, dependences)


def choose_values(
    model: Model, observer: Observer, dependences: list[CpuDependence]
) -> Iterator[Observer | StoredCalls]:
    """Yield observers whose values have the same bits on every CPU where possible.

    Activations are computed in float64 if all operators before them are known there and the result resembles that of
    the kernels. A CPU dependence is appended to `dependences` for each activation that only kernels can compute.
    """
    graph = find_graph(model, observer.signature["key"])
    exactness, computable = find_exact(model, graph), list_computable(graph)
    names = {activation.index: activation.name for activation in observer.activations}
    exact = [name for index, name in names.items() if index in exactness.exact]
    float64 = [name for index, name in names.items() if index in computable - exactness.exact]
    float64 = [] if not float64 or not is_like_kernels(observer.restrict(float64, FLOAT64)) else float64
    producers = {graph.tensors[index].name: op.name for op in graph.ops for index in op.outputs}
    noisy = [name for name in names.values() if name not in (*exact, *float64)]
    dependences += [CpuDependence(producers.get(name, "INPUT"), name, NOT_IN_FLOAT64) for name in noisy]
    if float64:
        yield store_calls(observer.restrict(float64, FLOAT64))
    if exact or noisy:
        yield observer.restrict([*exact, *noisy], observer.kernels)


def is_like_kernels(observer: Observer) -> bool:
    """Return whether values in float64 differ from those of the runtime's kernels only by rounding."""
    try:
        differences = compare_kernels(observer, "xnnpack")
    except NotImplementedError as error:
        print(f"not in float64: {error}")
        return False
    return all(difference <= LARGEST_DIFFERENCE for difference in differences.values())


def find_widths(model: Model, key: str) -> dict[str, int]:
    """Return the inputs of FULLY_CONNECTED operators with stored float32 weights in one signature's graph.

    Returns:
        Tensor name -> number of columns of the weights.
    """
    graph = find_graph(model, key)
    widths: dict[str, int] = {}
    for op in graph.ops:
        weights = graph.tensors[op.inputs[1]] if op.name == OPERATOR else None
        if weights is not None and weights.constant and weights.type == "float32":
            widths.setdefault(graph.tensors[op.inputs[0]].name, weights.shape[-1])
    return widths


def require_numbers(statistics: Mapping[str, RowStatistics]) -> None:
    """Check that all values are finite.

    Raises:
        WorkerError: A tensor becomes NaN or infinite.
    """
    for name, tensor in statistics.items():
        if not math.isfinite(tensor.peak):
            raise WorkerError(
                f"tensor '{name}' becomes NaN or infinite on the calibration samples",
                where="dataset",
                next_step="check the preprocessing of the dataset (scale, offset) and the model's weights",
            )


def require_some(sums: Moments) -> None:
    """Check that there are moments.

    Raises:
        WorkerError: The model has no FULLY_CONNECTED operator that runs on the samples.
    """
    if not sums:
        raise WorkerError(
            f"the model has no {OPERATOR} that runs on the calibration samples",
            where="quantization.algorithm",
            why=f"gptq and oscar only choose the weights of {OPERATOR}, by the values of its inputs",
            next_step="quantization.algorithm=min_max, octav or mse",
        )
