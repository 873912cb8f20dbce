"""The step `calibrate`: the range of every activation of the float model on the samples, the same on every CPU.

The kernels that run the model give values that differ between CPUs in their last bits. Ranges are rounded to a grid
(`range_grid`) that hides this, unless a value lies where the rounding changes: then slower, more exact kernels decide
(`settled_ranges`). What they cannot decide either is named in the fact `tied`.
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
    """The least and the greatest value of a tensor, and its rank."""

    min: float
    max: float
    rank: int


def run(request: StepRequest) -> Facts:
    """Write ranges.json, tensor name -> {min, max, rank}. Return the numbers of samples, tensors, trained, settled.

    Trained ranges stand; samples are measured for the others. `settled` were decided by slower kernels, `tied` are
    those that these could not decide either.
    """
    signature = request.read_json("signature")
    model = read_model(request.inputs["model"])
    known = derive_ranges(model, request.read_json("trained") if "trained" in request.inputs else {})
    facts: Facts = {"samples": 0}
    measured: dict[str, ActivationRange] = {}
    if "samples" in request.inputs:
        feeds = load_feeds(request.inputs["samples"], signature["key"])
        facts["samples"] = count_samples(feeds[signature["key"]])
        settlements = measure(request.inputs["model"], request.params, signature, model, feeds, known)
        measured = join_ranges(model, settlements)
        facts |= describe(settlements.values())
    else:
        keys = [each["key"] for each in each_signature(signature)]
        require_all(sorted({each.name for key in keys for each in find_activations(model, key)}), known)
    ranges = {name: asdict(entry) for name, entry in measured.items()} | known
    request.write_json("ranges.json", ranges)
    return {**facts, "tensors": len(ranges), **({"trained": len(known)} if known else {})}


def measure(
    path: Path,
    params: Mapping[str, Any],
    signature: Any,
    model: Model,
    feeds: Mapping[str, Arrays],
    known: Container[str] = (),
) -> dict[str, RangeResult]:
    """Return signature key -> the ranges of its activations on its samples, but for those that are known."""
    found: dict[str, RangeResult] = {}
    for each in each_signature(signature):
        require_fed(each["key"], feeds)
        activations = [one for one in find_activations(model, each["key"]) if one.name not in known]
        observer = Observer(path, each, feeds[each["key"]], KERNELS[params["kernels"]], activations)
        found[each["key"]] = decide_ranges(model, observer, params)
    return found


def join_ranges(model: Model, settlements: Mapping[str, RangeResult]) -> dict[str, ActivationRange]:
    """Return the range of every activation. One that several signatures share by name spans all of its ranges."""
    found: dict[str, ActivationRange] = {}
    for key, settlement in settlements.items():
        ranks = {activation.name: activation.rank for activation in find_activations(model, key)}
        for name, (low, high) in settlement.ranges.items():
            known = found.get(name)
            bounds = (low, high) if known is None else (min(low, known.min), max(high, known.max))
            found[name] = ActivationRange(*bounds, ranks[name])
    return found


def describe(settlements: Any) -> Facts:
    """Return the facts `settled` and `tied`, each where there is something to say."""
    settled = sum(len(settlement.settled) for settlement in settlements)
    ties = [tie for settlement in settlements for tie in settlement.ties]
    return add_cpu_dependence({"settled": settled} if settled else {}, ties)
