"""Ranges that are equal on every CPU: decided by fast kernels where noise cannot matter, else by more exact values.

The limit of noise is a fraction of an activation's span, and is based on measurements (docs/calibration.md): XNNPACK
differs from the reference kernels by up to 1.2e-6, and the reference kernels on Arm from those on x86 by up to 2e-7.
Every build measures the noise on a few samples, and raises the limit of an activation that is noisier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.runtime.parallel_shards import cores, map_shards
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.calibration.activation_observer import FLOAT64, Observer, Ranges, find_graph
from tflbuild.steps.calibration.calibration_methods import CUTTING, METHODS, CalibrationPass, Decisions, Method, min_max
from tflbuild.steps.calibration.exact_tensors import Exactness, find_exact
from tflbuild.steps.calibration.float64_model import list_computable
from tflbuild.steps.calibration.range_grid import find_span
from tflbuild.tflite.tflite_model import Model, Subgraph

# Kernels -> the limit of their noise as a fraction of an activation's span: about ten times the measured maximum.
# Values in float64 have no noise, and their limit only marks an activation that is not exact.
NOISE = {"xnnpack": 1e-5, "reference": 2e-6, FLOAT64: 1e-12}
# The noise limit of an activation is at least this many times the difference that the build measures.
SAFETY = 8
# The number of calls on which the difference is measured.
PROBES = 2
# Kernels -> more exact ones that can decide instead.
FINER = {"xnnpack": (FLOAT64, "reference"), "reference": (FLOAT64,)}
# Kernels -> those with which they are compared, in the order of preference.
OTHERS = {"xnnpack": ("reference", "none"), "reference": ("xnnpack",)}
MISSING_KERNEL = re.compile(r"opcode '(\w+)'")
UNSETTLED = "a bound of its range is closer to where the rounding changes than the noise between CPUs"
JUMPING = "its result jumps where its inputs differ in their last bits, and measured ranges depend on it"
NOT_COMPARED = "no other kernels run it, so the noise between CPUs is not known"


@dataclass
class RangeResult:
    """The ranges of one signature.

    Attributes:
        ranges: Tensor name -> (minimum, maximum).
        settled: The names of the tensors whose range was decided by more exact values.
        ties: The ranges that depend on the CPU.
    """

    ranges: Ranges = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    ties: list[CpuDependence] = field(default_factory=list)


def decide_ranges(model: Model, observer: Observer, params: Mapping[str, Any]) -> RangeResult:
    """Decide the ranges of an observer's activations by the method of a recipe.

    Args:
        model: The float model.
        observer: Runs one signature of it on samples, on the kernels that do most of the work.
        params: `method`, and the parameters of the method.

    Raises:
        WorkerError: A range is not finite.
    """
    result = RangeResult()
    if not observer.activations:
        return result
    graph = find_graph(model, observer.signature["key"])
    exactness = find_exact(model, graph)
    differences, finer = _try_compare(observer, graph, result)
    pass_ = CalibrationPass(observer, limit_noise(observer, exactness, differences))
    computable = list_computable(graph)
    names = {activation.name for activation in observer.activations if activation.index in computable}
    precise = PreciseRanges(params, names, finer, result.settled)
    method = METHODS[params["method"]]
    if params["method"] in CUTTING:
        full = precise.decide(min_max, pass_)
        uncertain = {name for name, decision in full.items() if not decision.sure}
        decisions = precise.decide(
            method, replace(pass_, full={name: decision.range for name, decision in full.items()})
        )
        decisions |= {
            name: replace(decisions[name], sure_bounds=(False, False)) for name in uncertain & decisions.keys()
        }
    else:
        decisions = precise.decide(method, pass_)
    result.ranges = {name: decision.range for name, decision in decisions.items()}
    result.ties += find_cpu_dependence(observer, graph, exactness, decisions)
    return result


def _try_compare(observer: Observer, graph: Subgraph, result: RangeResult) -> tuple[dict[str, float], tuple[str, ...]]:
    """Compare the observer's kernels with others, and choose the more exact values that may decide instead.

    The reference kernels lack some operators (ELU). Then the optimized kernels without a delegate show the noise. They
    cannot decide, because they depend on the CPU.

    Returns:
        Activation name -> largest difference, and the kinds of more exact values. If no other kernels run the model,
        the differences are empty, and a CPU dependence is added to `result`.
    """
    for other in OTHERS[observer.kernels]:
        try:
            differences = compare_kernels(observer, other)
        except WorkerError as error:
            if error.fields.get("transient"):
                raise
            reason = error.fields["why"]
        else:
            return differences, tuple(kernels for kernels in FINER[observer.kernels] if kernels in (FLOAT64, other))
    missing = MISSING_KERNEL.search(reason)
    operator = missing[1] if missing else "CUSTOM"
    layer = next((graph.tensors[op.outputs[0]].name for op in graph.ops if op.name == operator and op.outputs), "")
    result.ties.append(CpuDependence(operator, layer, NOT_COMPARED))
    return {}, (FLOAT64,)


def limit_noise(observer: Observer, exactness: Exactness, differences: Mapping[str, float]) -> dict[str, float]:
    """Return the noise limit of every activation on the observer's kernels, as a fraction of its span. 0.0 means exact.

    Args:
        observer: Runs the model.
        exactness: The exact tensors of its subgraph.
        differences: Activation name -> the difference that `compare_kernels` measured.
    """
    noise = {}
    for activation in observer.activations:
        difference = differences.get(activation.name, 0.0)
        is_exact = activation.index in exactness.exact and difference == 0.0
        factor = max(1.0, SAFETY * difference / NOISE["xnnpack"])
        noise[activation.name] = 0.0 if is_exact else NOISE[observer.kernels] * factor
    return noise


def compare_kernels(observer: Observer, other: str) -> dict[str, float]:
    """Measure the largest difference of every activation between two kinds of kernels, on a few calls.

    Args:
        observer: Runs the model on the first kind.
        other: The second kind.

    Returns:
        Activation name -> the largest difference, as a fraction of the activation's span.

    Raises:
        WorkerError: The model does not run on the other kernels.
    """
    count = observer.count()
    calls = sorted({count * probe // PROBES for probe in range(PROBES)})
    second = replace(observer, kernels=other)

    def compare_shard(positions: range) -> dict[str, tuple[float, float, float]]:
        extremes: dict[str, tuple[float, float, float]] = {}
        run, run_other = observer.open(), second.open()
        for position in positions:
            values_by_name = {activation.name: values for activation, values in run_other(calls[position])}
            for activation, values in run(calls[position]):
                other_values = values_by_name.get(activation.name)
                if other_values is not None and values.size and values.shape == other_values.shape:
                    low, high, difference = extremes.get(activation.name, (0.0, 0.0, 0.0))
                    difference = max(difference, float(np.abs(values.astype(np.float64) - other_values).max()))
                    extremes[activation.name] = (
                        min(low, float(values.min())),
                        max(high, float(values.max())),
                        difference,
                    )
        return extremes

    parts = map_shards(compare_shard, len(calls), min(len(calls), cores()))
    differences = {}
    for name in {name for part in parts for name in part}:
        measured = [part[name] for part in parts if name in part]
        span = find_span(min(low for low, _, _ in measured), max(high for _, high, _ in measured))
        difference = max(difference for _, _, difference in measured)
        differences[name] = difference / span if span else float(difference > 0)
    return differences


@dataclass(frozen=True)
class PreciseRanges:
    """Repeats uncertain decisions on more exact values.

    Attributes:
        params: The parameters of the step.
        computable: The activations that can be computed in float64.
        finer: The kinds of more exact values, in the order of use.
        settled: The activations that were decided by more exact values. `settle` adds to it.
    """

    params: Mapping[str, Any]
    computable: set[str]
    finer: tuple[str, ...]
    settled: set[str]

    def decide(self, method: Method, pass_: CalibrationPass) -> Decisions:
        """Return the decisions of a method. Uncertain ones are repeated on more exact values."""
        decisions = method(pass_, self.params)
        for kernels in self.finer:
            uncertain = sorted(name for name, decision in decisions.items() if not decision.sure)
            names = [name for name in uncertain if kernels != FLOAT64 or name in self.computable]
            if names:
                repeated = self.decide_again(method, pass_, decisions, names, kernels)
                self.settled.update(name for name, decision in repeated.items() if decision.sure)
                decisions.update(repeated)
        return decisions

    def decide_again(
        self, method: Method, pass_: CalibrationPass, decisions: Decisions, names: Sequence[str], kernels: str
    ) -> Decisions:
        """Repeat decisions on more exact values, in the calls that decided them before.

        If the new values differ from the old ones by more than the noise limit, other calls may contain the extremes.
        Then the reference kernels run all calls. A float64 result is discarded, because float64 lacks something that
        kernels do.
        """
        calls = [decisions[name].calls for name in names]
        chosen = None if None in calls else sorted({call for numbers in calls for call in numbers or ()})
        ratio = NOISE[kernels] / NOISE[pass_.observer.kernels]
        noise = {name: pass_.noise[name] * ratio for name in names}
        whole = replace(pass_, observer=pass_.observer.restrict(names, kernels), noise=noise)
        partial = replace(whole, calls=chosen, before=decisions, noise_before=pass_.noise)
        try:
            repeated = method(whole if chosen is None else partial, self.params)
        except NotImplementedError as error:
            print(f"not in float64: {error}")
            return {}
        different = [
            name for name in repeated if _differ(repeated[name].values, decisions[name].values, pass_.noise[name])
        ]
        if kernels == FLOAT64:
            return {name: decision for name, decision in repeated.items() if name not in different}
        if different and chosen is not None:
            repeated |= method(replace(whole, observer=pass_.observer.restrict(different, kernels)), self.params)
        return repeated


def _differ(bounds: tuple[float, float], old_bounds: tuple[float, float], noise: float) -> bool:
    """Return whether a bound differs from that before by more than the noise limit."""
    limit = noise * find_span(*old_bounds)
    return any(abs(bound - old_bound) > limit for bound, old_bound in zip(bounds, old_bounds, strict=True))


def find_cpu_dependence(
    observer: Observer, graph: Subgraph, exactness: Exactness, decisions: Decisions
) -> list[CpuDependence]:
    """Return the ranges that depend on the CPU: uncertain decisions, and activations whose noise has no limit."""
    producers = {index: op.name for op in graph.ops for index in op.outputs}
    dependences = []
    for activation in observer.activations:
        jump = exactness.jumps.get(activation.index)
        if jump is not None:
            dependences.append(CpuDependence(jump.operator, jump.layer, JUMPING))
        elif activation.name in decisions and not decisions[activation.name].sure:
            dependences.append(CpuDependence(producers.get(activation.index, "INPUT"), activation.name, UNSETTLED))
    return dependences
