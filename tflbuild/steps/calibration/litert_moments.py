"""The step `moments`: how the inputs of FULLY_CONNECTED operators vary together on the samples.

The algorithms `gptq` (Frantar et al., arXiv 2210.17323) and `oscar` of the LiteRT quantizer choose
weights by it: E[x x^T] of the rows x that meet the weights, or its diagonal alone. The model is computed in float64 in
a fixed order (`float64_model`). Values are rounded to integers (20 bits of the greatest one, fewer where there are very
many rows) whose products float64 sums without error. So the result depends neither on the order of the samples nor on
the cores, the processes or the instruction set that did the sums.
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
NOT_IN_FLOAT64 = "operators before it are not computed in float64, so that its moments depend on the CPU's kernels"
MOST_DIFFERENT = 1e-3  # of an activation's span: more is no rounding of float32
BITS = 20
EXACT_BITS = 53  # integers up to 2^53 are float64 values


@dataclass(frozen=True)
class RowStatistics:
    """The greatest magnitude among a tensor's values, and how many rows they are."""

    peak: float
    rows: int

    @property
    def exponent(self) -> int:
        """Of the power of two that makes values integers, so that the sum of all rows' products stays exact."""
        bits = min(BITS, (EXACT_BITS - math.ceil(math.log2(self.rows))) // 2)
        return bits - math.frexp(self.peak)[1]


@dataclass(frozen=True)
class MomentSurvey:
    """One signature's inputs of interest and their rows' widths, to be watched call by call."""

    observer: Observer | StoredCalls
    widths: Mapping[str, int]
    diagonal: bool

    def look(self) -> dict[str, RowStatistics]:
        """Tensor -> its greatest magnitude and number of rows."""

        def shard(calls: range) -> dict[str, RowStatistics]:
            seen: dict[str, RowStatistics] = {}

            def show(activation: Activation, values: np.ndarray) -> None:
                last = seen.get(activation.name, RowStatistics(0.0, 0))
                rows = values.size // self.widths[activation.name]
                peak = float(np.float32(np.abs(values).max()))
                seen[activation.name] = RowStatistics(max(last.peak, peak), last.rows + rows)

            self.observer.watch(calls, show)
            return seen

        parts = map_shards(shard, self.observer.count())
        names = [name for name in self.widths if all(name in part for part in parts)]
        return {
            name: RowStatistics(max(part[name].peak for part in parts), sum(part[name].rows for part in parts))
            for name in names
        }

    def add_up(self, seen: Mapping[str, RowStatistics]) -> Moments:
        """Tensor -> sum of x x^T over its rows, float64 [width, width], or of x^2, float64 [width]."""

        def shard(calls: range) -> Moments:
            sums: Moments = {}

            def show(activation: Activation, values: np.ndarray) -> None:
                if activation.name not in seen:
                    return
                exponent = seen[activation.name].exponent
                # values that are shown in float64 are rounded, as those that were stored are
                rows = values.reshape(-1, self.widths[activation.name]).astype(np.float32).astype(np.float64)
                whole = np.rint(np.ldexp(rows, exponent))
                found = (whole * whole).sum(axis=0) if self.diagonal else whole.T @ whole
                if activation.name in sums:
                    sums[activation.name] += found
                else:
                    sums[activation.name] = found

            self.observer.watch(calls, show)
            return sums

        parts = map_shards(shard, self.observer.count())
        total = {name: sum((part[name] for part in parts[1:]), parts[0][name]) for name in seen}
        return {name: np.ldexp(sums, -2 * seen[name].exponent) for name, sums in total.items()}


def run(request: StepRequest) -> Facts:
    """Write moments.npz: `names`, and under each one's number E[x x^T] or E[x^2]. Return samples, tensors and ties.

    The parameter `moments` is `matrix` (float32 [width, width]) or `diagonal` (float64 [width]).
    """
    signature = request.read_json("signature")
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    model = read_model(request.inputs["model"])
    sums: Moments = {}
    rows: dict[str, int] = {}
    ties: list[CpuDependence] = []
    for each in each_signature(signature):
        require_fed(each["key"], feeds)
        widths = find_widths(model, each["key"])
        activations = [found for found in find_activations(model, each["key"]) if found.name in widths]
        observer = Observer(request.inputs["model"], each, feeds[each["key"]], "reference", activations)
        for part in choose_values(model, observer, ties):
            survey = MomentSurvey(
                part, {name: widths[name] for name in part.names()}, request.params["moments"] == "diagonal"
            )
            seen = survey.look()
            require_numbers(seen)
            for name, found in survey.add_up(seen).items():
                sums[name] = sums[name] + found if name in sums else found
                rows[name] = rows.get(name, 0) + seen[name].rows
    require_some(sums)
    save_moments(request.outputs / "moments.npz", {name: found / rows[name] for name, found in sums.items()})
    return add_cpu_dependence({"samples": count_samples(feeds[signature["key"]]), "tensors": len(sums)}, ties)


def choose_values(model: Model, observer: Observer, ties: list[CpuDependence]) -> Iterator[Observer | StoredCalls]:
    """Yield what shows the activations with the same bits on every CPU. Adds a tie for each that nothing shows so."""
    graph = find_graph(model, observer.signature["key"])
    exactness, computable = find_exact(model, graph), list_computable(graph)
    names = {activation.index: activation.name for activation in observer.activations}
    exact = [name for index, name in names.items() if index in exactness.exact]
    float64 = [name for index, name in names.items() if index in computable - exactness.exact]
    float64 = [] if not float64 or not is_like_kernels(observer.restrict(float64, FLOAT64)) else float64
    makers = {graph.tensors[index].name: op.name for op in graph.ops for index in op.outputs}
    noisy = [name for name in names.values() if name not in (*exact, *float64)]
    ties += [CpuDependence(makers.get(name, "INPUT"), name, NOT_IN_FLOAT64) for name in noisy]
    if float64:
        yield store_calls(observer.restrict(float64, FLOAT64))
    if exact or noisy:
        yield observer.restrict([*exact, *noisy], observer.kernels)


def is_like_kernels(observer: Observer) -> bool:
    """Return whether float64 gives what the runtime's kernels give, but for rounding."""
    try:
        differences = compare_kernels(observer, "xnnpack")
    except NotImplementedError as error:
        print(f"not in float64: {error}")
        return False
    return all(difference <= MOST_DIFFERENT for difference in differences.values())


def find_widths(model: Model, key: str) -> dict[str, int]:
    """Input of a FULLY_CONNECTED operator with stored weights -> columns of the weights, of one signature's graph."""
    graph = find_graph(model, key)
    found: dict[str, int] = {}
    for op in graph.ops:
        weights = graph.tensors[op.inputs[1]] if op.name == OPERATOR else None
        if weights is not None and weights.constant and weights.type == "float32":
            found.setdefault(graph.tensors[op.inputs[0]].name, weights.shape[-1])
    return found


def require_numbers(seen: Mapping[str, RowStatistics]) -> None:
    """Raises WorkerError for a tensor whose values cannot be summed."""
    for name, one in seen.items():
        if not math.isfinite(one.peak):
            raise WorkerError(
                f"tensor '{name}' becomes NaN or infinite on the calibration samples",
                where="dataset",
                next_step="check the preprocessing of the dataset (scale, offset) and the model's weights",
            )


def require_some(sums: Moments) -> None:
    """Raises WorkerError for a model that has nothing for these algorithms."""
    if not sums:
        raise WorkerError(
            f"the model has no {OPERATOR} that runs on the calibration samples",
            where="quantization.algorithm",
            why=f"gptq and oscar choose the weights of {OPERATOR} alone, by what comes into it",
            next_step="quantization.algorithm=min_max, octav or mse",
        )
