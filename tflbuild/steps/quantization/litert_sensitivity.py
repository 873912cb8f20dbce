"""The step `sensitivity`: what quantizing each operator alone does to the outputs.

Every operator that the scheme applies to is quantized by itself, all others left in float, and the
model is run on the evaluation samples. What is lost against the source is that operator's own damage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.core.figure_rounding import MOST_DIGITS, count_digits, round_digits, round_parity
from tflbuild.core.schemes import SCHEMES
from tflbuild.runtime import step_progress
from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.datasets.sample_files import Arrays, count_samples, load_feeds
from tflbuild.steps.quantization.attention_masks import shrink_masks
from tflbuild.steps.quantization.litert_quantize import load_ranges, quantize
from tflbuild.steps.quantization.quantizer_recipe import make_recipe
from tflbuild.steps.verification.artifact_runner import run_samples
from tflbuild.steps.verification.evaluation_split import choose_part, take
from tflbuild.steps.verification.parity_figures import parity
from tflbuild.steps.verification.predictions import load_predictions
from tflbuild.tflite.rules import each_operator, find_applied_scheme, weight_of
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

FLOAT = {"scheme": "none"}

Named = tuple[str, str]  # an operator's kind, and its name


def run(request: StepRequest) -> Facts:
    """Outputs sensitivity.json: {scheme, samples, bytes, powers, operators, left}.

    `bytes` is the float model's size, `powers` the mean square of each output. An operator has its name, its
    kind, the `twins` that share its weights, the artifact's `bytes` with them alone quantized, `snr_db`, `rmse`,
    `share`, and each output's `noise` (mean square error). With the parameter `count`, the first samples alone
    are run, with `part` those of that part. What is left has nothing that the scheme could do, or gives NaN under it.
    """
    params = request.params
    signature = request.read_json("signature")
    count = params.get("count")
    feeds = load_feeds(request.inputs["samples"], signature["key"])[signature["key"]]
    predicted = load_predictions(request.inputs["predictions"], signature["key"]).outputs
    if "part" in params:
        places, _ = choose_part(request.inputs["samples"], signature, params["part"])
        feeds, predicted = take(feeds, places), take(predicted, places)
    inputs = {name: array[:count] for name, array in feeds.items()}
    reference = {name: array[:count] for name, array in predicted.items()}
    content = request.inputs["model"].read_bytes()
    content, ranges = shrink_masks(content, load_ranges(request, content))
    model = read_model(request.inputs["model"])
    units = find_units(model, params["scheme"])

    def shard(indices: range) -> list[dict[str, Any]]:
        artifact = request.folder / f"alone{indices.start}.tflite"
        found = []
        for unit in units[indices.start : indices.stop]:
            operator, name = unit[0]
            row: dict[str, Any] = {"name": name, "operator": operator, "twins": [twin for _, twin in unit[1:]]}
            if quantize_alone(content, unit, ranges, params, artifact):
                measured = measure_loss(reference, run_samples(artifact, signature, inputs, params, parts=1))
                row |= {"bytes": artifact.stat().st_size, **measured} if math.isfinite(measured["rmse"]) else {}
            found.append(row)
            step_progress.advance()
        return found

    rows = [row for part in map_shards(shard, len(units)) for row in part] if units else []
    report = {
        "scheme": params["scheme"],
        "samples": count_samples(inputs),
        "bytes": len(content),
        "powers": {name: round_digits(mean_square(array), MOST_DIGITS) for name, array in reference.items()},
        "operators": rank([row for row in rows if "bytes" in row]),
        "left": [row for row in rows if "bytes" not in row],
    }
    request.write_json("sensitivity.json", report)
    return report


def find_units(model: Model, scheme: str) -> list[list[Named]]:
    """The operators that a scheme has anything to say of; those that share their weights are quantized together.

    A scheme about weights says nothing where there are none.
    """
    found: dict[object, list[Named]] = {}
    for graph, op, name in each_operator(model):
        weights = weight_of(graph, op)
        if weights is not None or SCHEMES[scheme].mode == "static":
            place: object = name if weights is None else weights.buffer
            found.setdefault(place, []).append((op.name, name))
    return list(found.values())


def quantize_alone(model: bytes, unit: Sequence[Named], ranges: Any, params: Mapping[str, Any], artifact: Path) -> bool:
    """Write the model with one operator, or those that share weights, quantized; False where nothing can be done."""
    rule = {"match": "", "op": unit[0][0], "scheme": params["scheme"]}
    try:
        recipe = make_recipe({**params, **FLOAT, "rules": [rule]}, unit)
        artifact.write_bytes(quantize(model, recipe, ranges))
    except WorkerError:
        return False
    made = read_model(artifact)
    return any(
        name == unit[0][1] and find_applied_scheme(graph, op) != "none" for graph, op, name in each_operator(made)
    )


def measure_loss(reference: Arrays, actual: Arrays) -> dict[str, Any]:
    """Return the worst output's SNR in dB, the root mean square error over all outputs' values, each output's noise.

    All of them to the digits that hold on every CPU, since a search decides by them.
    """
    figures = {name: round_parity(parity(reference[name].reshape(-1), actual[name].reshape(-1))) for name in reference}
    noise = {name: one["rmse"] ** 2 for name, one in figures.items()}
    values = sum(array.size for array in reference.values())
    total = sum(noise[name] * array.size for name, array in reference.items())
    snr = min(one["snr_db"] for one in figures.values())
    rmse = math.sqrt(total / max(1, values))
    digits = count_digits(snr)
    noise = {name: round_digits(value, digits) for name, value in noise.items()}
    return {"snr_db": snr, "rmse": round_digits(rmse, digits), "noise": noise}


def mean_square(array: np.ndarray) -> float:
    """Return the mean of the squares of an array's values, computed in float64."""
    return float(np.mean(array.astype(np.float64) ** 2))


def rank(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Worst first; `share` is an operator's part of the sum of all squared errors."""
    total = float(np.sum([one["rmse"] ** 2 for one in found])) if found else 0.0
    shared = [{**one, "share": one["rmse"] ** 2 / total if total else 0.0} for one in found]
    return sorted(shared, key=lambda one: (one["snr_db"], one["name"]))
