"""Ranges that are the same on every CPU: decided by fast kernels where noise cannot matter, else on more exact values.

The limit of noise is a share of an activation's span, and rests on measurement (docs/calibration.md): XNNPACK differs
from the reference kernels by up to 1.2e-6, the reference kernels on Arm from those on x86 by up to 2e-7. Every build
measures its own on a few samples, and widens the limits of an activation that is noisier.
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

# Kernels -> the limit of their noise as a share of an activation's span: about ten times the most that was measured.
# What is computed in float64 has no noise, and its limit only marks an activation that is not exact.
NOISE = {"xnnpack": 1e-5, "reference": 2e-6, FLOAT64: 1e-12}
SAFETY = 8  # times the difference that this build measures
PROBES = 2  # calls on which it is measured
FINER = {"xnnpack": (FLOAT64, "reference"), "reference": (FLOAT64,)}
OTHERS = {"xnnpack": ("reference", "none"), "reference": ("xnnpack",)}  # that the observer's kernels are compared with
MISSING_KERNEL = re.compile(r"opcode '(\w+)'")
UNSETTLED = "a bound of its range is closer to where the rounding changes than the noise between CPUs"
JUMPING = "its result jumps where its inputs differ in their last bits, and measured ranges depend on it"
NOT_COMPARED = "no second kind of kernels runs it, so the noise between CPUs is not known"


@dataclass
class RangeResult:
    """The ranges of one signature, which of them more exact values decided, and what ties the others to this CPU."""

    ranges: Ranges = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    ties: list[CpuDependence] = field(default_factory=list)


def decide_ranges(model: Model, observer: Observer, params: Mapping[str, Any]) -> RangeResult:
    """Return the ranges of an observer's activations by the method of a recipe.

    Args:
        model: The float model.
        observer: Runs one signature of it on samples, on the kernels that do most of the work.
        params: `method`, and what it needs.
    """
    result = RangeResult()
    if not observer.activations:
        return result
    graph = find_graph(model, observer.signature["key"])
    exactness = find_exact(model, graph)
    differences, finer = _try_compare(observer, graph, result)
    view = CalibrationPass(observer, limit_noise(observer, exactness, differences))
    computable = list_computable(graph)
    names = {activation.name for activation in observer.activations if activation.index in computable}
    resort = PreciseRanges(params, names, finer, result.settled)
    method = METHODS[params["method"]]
    if params["method"] in CUTTING:
        full = resort.settle(min_max, view)
        unsure = {name for name, decision in full.items() if not decision.sure}
        decisions = resort.settle(method, replace(view, full={name: each.range for name, each in full.items()}))
        decisions |= {name: replace(decisions[name], sure_bounds=(False, False)) for name in unsure & decisions.keys()}
    else:
        decisions = resort.settle(method, view)
    result.ranges = {name: decision.range for name, decision in decisions.items()}
    result.ties += find_cpu_dependence(observer, graph, exactness, decisions)
    return result


def _try_compare(observer: Observer, graph: Subgraph, result: RangeResult) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the differences between kernels, and the kinds of values that can be resorted to.

    The reference kernels lack some operators (ELU). The optimized ones without a delegate then show the noise, and
    settle nothing, since the CPU chooses them.
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
    """Return activation -> the limit of the noise of its values on the observer's kernels, 0.0 for an exact one."""
    noise = {}
    for activation in observer.activations:
        difference = differences.get(activation.name, 0.0)
        exact = activation.index in exactness.exact and difference == 0.0
        noisier = max(1.0, SAFETY * difference / NOISE["xnnpack"])
        noise[activation.name] = 0.0 if exact else NOISE[observer.kernels] * noisier
    return noise


def compare_kernels(observer: Observer, other: str) -> dict[str, float]:
    """Return activation -> the greatest difference between two kinds of kernels on a few calls, as a share of its span.

    Raises WorkerError where the model does not run on the other kernels.
    """
    count = observer.count()
    calls = sorted({count * place // PROBES for place in range(PROBES)})
    second = replace(observer, kernels=other)

    def shard(positions: range) -> dict[str, tuple[float, float, float]]:
        found: dict[str, tuple[float, float, float]] = {}
        run, run_other = observer.open(), second.open()
        for position in positions:
            others = {activation.name: values for activation, values in run_other(calls[position])}
            for activation, values in run(calls[position]):
                with_it = others.get(activation.name)
                if with_it is not None and values.size and values.shape == with_it.shape:
                    low, high, apart = found.get(activation.name, (0.0, 0.0, 0.0))
                    apart = max(apart, float(np.abs(values.astype(np.float64) - with_it).max()))
                    found[activation.name] = min(low, float(values.min())), max(high, float(values.max())), apart
        return found

    parts = map_shards(shard, len(calls), min(len(calls), cores()))
    shares = {}
    for name in {name for part in parts for name in part}:
        some = [part[name] for part in parts if name in part]
        span = find_span(min(low for low, _, _ in some), max(high for _, high, _ in some))
        apart = max(apart for _, _, apart in some)
        shares[name] = apart / span if span else float(apart > 0)
    return shares


@dataclass(frozen=True)
class PreciseRanges:
    """Takes unsure decisions again on more exact values: float64 where all operators before it have it, or `finer`."""

    params: Mapping[str, Any]
    computable: set[str]
    finer: tuple[str, ...]
    settled: set[str]

    def settle(self, method: Method, view: CalibrationPass) -> Decisions:
        """Return a method's decisions. Adds the activations that needed more exact values to `settled`."""
        decisions = method(view, self.params)
        for kernels in self.finer:
            unsure = sorted(name for name, decision in decisions.items() if not decision.sure)
            names = [name for name in unsure if kernels != FLOAT64 or name in self.computable]
            if names:
                again = self.decide_again(method, view, decisions, names, kernels)
                self.settled.update(name for name, decision in again.items() if decision.sure)
                decisions.update(again)
        return decisions

    def decide_again(
        self, method: Method, view: CalibrationPass, decisions: Decisions, names: Sequence[str], kernels: str
    ) -> Decisions:
        """Return decisions on more exact values, of the calls that seemed to decide.

        Where these values are further from those before than the limit of noise, other calls may hold the extremes: the
        reference kernels run all of them, and float64, which then misses something that kernels do, decides nothing.
        """
        calls = [decisions[name].calls for name in names]
        chosen = None if None in calls else sorted({call for each in calls for call in each or ()})
        ratio = NOISE[kernels] / NOISE[view.observer.kernels]
        noise = {name: view.noise[name] * ratio for name in names}
        whole = replace(view, observer=view.observer.restrict(names, kernels), noise=noise)
        some = replace(whole, calls=chosen, before=decisions, noise_before=view.noise)
        try:
            again = method(whole if chosen is None else some, self.params)
        except NotImplementedError as error:
            print(f"not in float64: {error}")
            return {}
        far = [name for name in again if _differ(again[name].values, decisions[name].values, view.noise[name])]
        if kernels == FLOAT64:
            return {name: decision for name, decision in again.items() if name not in far}
        if far and chosen is not None:
            again |= method(replace(whole, observer=view.observer.restrict(far, kernels)), self.params)
        return again


def _differ(bounds: tuple[float, float], before: tuple[float, float], noise: float) -> bool:
    limit = noise * find_span(*before)
    return any(abs(bound - other) > limit for bound, other in zip(bounds, before, strict=True))


def find_cpu_dependence(
    observer: Observer, graph: Subgraph, exactness: Exactness, decisions: Decisions
) -> list[CpuDependence]:
    """Return what ties ranges to this CPU: decisions that are unsure, and operators whose noise has no limit."""
    makers = {index: op.name for op in graph.ops for index in op.outputs}
    ties = []
    for activation in observer.activations:
        jump = exactness.jumps.get(activation.index)
        if jump is not None:
            ties.append(CpuDependence(jump.operator, jump.layer, JUMPING))
        elif activation.name in decisions and not decisions[activation.name].sure:
            ties.append(CpuDependence(makers.get(activation.index, "INPUT"), activation.name, UNSETTLED))
    return ties
