"""The step `calibrate`: the range of every activation of the float model on the samples, equal on every CPU.

The kernels that run the model return values that differ between CPUs in their last bits. Ranges are rounded to a grid
(`range_grid`) that hides this, unless a value is close to a point where the rounding changes. Then slower and more
exact kernels decide (`reproducible_ranges`). The fact `tied` names the ranges that these cannot decide either.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tflbuild.core.cpu_dependence import add_cpu_dependence
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.calibration.activation_observer import KERNELS, Observer, find_activations, require_fed
from tflbuild.steps.calibration.derived_ranges import derive_ranges, require_all
from tflbuild.steps.calibration.reproducible_ranges import RangeResult, decide_ranges
from tflbuild.steps.datasets.sample_files import Arrays, count_samples, load_feeds
from tflbuild.tflite.signature_checks import each_signature
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model


@dataclass(frozen=True)
class ActivationRange:
    """The smallest and the largest value of a tensor, and its rank."""

    min: float
    max: float
    rank: int


def run(request: StepRequest) -> Facts:
    """Measure the ranges of all activations, and write ranges.json: tensor name -> {min, max, rank}.

    Trained ranges are kept, and the others are measured on the samples.

    Args:
        request: Inputs `model`, `signature`, and at least one of `samples` and `trained`. Parameters `method`,
            `kernels`, and those of the method.

    Returns:
        The numbers of `samples`, of `tensors`, of `trained` ranges, and of those that slower kernels `settled`; and in
        `tied` the ranges that these could not decide either.

    Raises:
        WorkerError: A signature has no samples, a range is not finite, or an activation has neither samples nor a
            trained range.
    """
    signature = request.read_json("signature")
    model = read_model(request.inputs["model"])
    derived = derive_ranges(model, request.read_json("trained") if "trained" in request.inputs else {})
    facts: Facts = {"samples": 0}
    measured: dict[str, ActivationRange] = {}
    if "samples" in request.inputs:
        feeds = load_feeds(request.inputs["samples"], signature["key"])
        facts["samples"] = count_samples(feeds[signature["key"]])
        results = measure(request.inputs["model"], request.params, signature, model, feeds, derived)
        measured = join_ranges(model, results)
        facts |= describe(results.values())
    else:
        keys = [entry["key"] for entry in each_signature(signature)]
        names = {activation.name for key in keys for activation in find_activations(model, key)}
        require_all(sorted(names), derived)
    ranges = {name: asdict(range_) for name, range_ in measured.items()} | derived
    request.write_json("ranges.json", ranges)
    return {**facts, "tensors": len(ranges), **({"trained": len(derived)} if derived else {})}


def measure(
    path: Path,
    params: Mapping[str, Any],
    signature: Any,
    model: Model,
    feeds: Mapping[str, Arrays],
    known: Container[str] = (),
) -> dict[str, RangeResult]:
    """Measure the ranges of the activations of every signature, except those in `known`.

    Args:
        path: The float model.
        params: `method`, `kernels`, and the parameters of the method.
        signature: The signature of the recipe, with further signatures in it.
        model: The contents of `path`.
        feeds: Signature name -> samples.
        known: Names of activations that have a range already.

    Returns:
        Signature name -> its ranges.

    Raises:
        WorkerError: A signature has no samples, or a range is not finite.
    """
    results: dict[str, RangeResult] = {}
    for entry in each_signature(signature):
        require_fed(entry["key"], feeds)
        activations = [
            activation for activation in find_activations(model, entry["key"]) if activation.name not in known
        ]
        observer = Observer(path, entry, feeds[entry["key"]], KERNELS[params["kernels"]], activations)
        results[entry["key"]] = decide_ranges(model, observer, params)
    return results


def join_ranges(model: Model, results: Mapping[str, RangeResult]) -> dict[str, ActivationRange]:
    """Return the range of every activation by name. Signatures that share a name get the union of its ranges."""
    joined: dict[str, ActivationRange] = {}
    for key, result in results.items():
        ranks = {activation.name: activation.rank for activation in find_activations(model, key)}
        for name, (low, high) in result.ranges.items():
            known = joined.get(name)
            bounds = (low, high) if known is None else (min(low, known.min), max(high, known.max))
            joined[name] = ActivationRange(*bounds, ranks[name])
    return joined


def describe(results: Any) -> Facts:
    """Return the facts `settled` and `tied`, each only if there are such ranges."""
    settled = sum(len(result.settled) for result in results)
    dependences = [dependence for result in results for dependence in result.ties]
    return add_cpu_dependence({"settled": settled} if settled else {}, dependences)
