"""The step `sensitivity`: the loss of quality when only one operator is quantized, for every operator.

Every operator to which the scheme applies is quantized by itself, with all others in float, and the model runs on the
evaluation samples. The difference from the source is the loss that this operator causes.
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
from tflbuild.steps.verification.evaluation_split import choose_part, take_samples
from tflbuild.steps.verification.parity_figures import parity
from tflbuild.steps.verification.predictions import load_predictions
from tflbuild.tflite.rules import each_operator, find_applied_scheme, weight_of
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

FLOAT = {"scheme": "none"}

# The kind and the name of an operator.
Named = tuple[str, str]


def run(request: StepRequest) -> Facts:
    """Quantize every operator by itself, measure the losses, and write sensitivity.json.

    Args:
        request: Inputs `model`, `samples`, `predictions`, `signature`, and optionally `ranges` and `moments`. With the
            parameter `count`, only the first samples run, and with `part` only those of that part of the evaluation
            split.

    Returns:
        The content of sensitivity.json:

        - `scheme` and `samples`, the number of samples that ran.
        - `bytes`, the size of the float model, and `powers`, the mean square of each output.
        - `operators`: `name`, `operator` (its kind), `twins` (operators with the same weights), `bytes` of the model
          with only these quantized, `snr_db`, `rmse`, `share`, and the `noise` (mean square error) of each output.
        - `left`: operators that the scheme cannot quantize, or that yield NaN under it.
    """
    params = request.params
    signature = request.read_json("signature")
    count = params.get("count")
    feeds = load_feeds(request.inputs["samples"], signature["key"])[signature["key"]]
    predicted = load_predictions(request.inputs["predictions"], signature["key"]).outputs
    if "part" in params:
        indices, _ = choose_part(request.inputs["samples"], signature, params["part"])
        feeds, predicted = take_samples(feeds, indices), take_samples(predicted, indices)
    inputs = {name: array[:count] for name, array in feeds.items()}
    reference = {name: array[:count] for name, array in predicted.items()}
    content = request.inputs["model"].read_bytes()
    content, ranges = shrink_masks(content, load_ranges(request, content))
    model = read_model(request.inputs["model"])
    units = find_units(model, params["scheme"])

    def measure_units(numbers: range) -> list[dict[str, Any]]:
        artifact = request.folder / f"alone{numbers.start}.tflite"
        rows = []
        for unit in units[numbers.start : numbers.stop]:
            operator, name = unit[0]
            row: dict[str, Any] = {"name": name, "operator": operator, "twins": [twin for _, twin in unit[1:]]}
            if quantize_alone(content, unit, ranges, params, artifact):
                measured = measure_loss(reference, run_samples(artifact, signature, inputs, params, parts=1))
                row |= {"bytes": artifact.stat().st_size, **measured} if math.isfinite(measured["rmse"]) else {}
            rows.append(row)
            step_progress.advance()
        return rows

    rows = [row for part in map_shards(measure_units, len(units)) for row in part] if units else []
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
    """Group the operators to which a scheme applies: those with the same weights are quantized together.

    A scheme without static activations does not apply to operators without weights.

    Args:
        model: The float model.
        scheme: The name of a scheme.

    Returns:
        Groups of (kind, name), in the order of the model.
    """
    units: dict[object, list[Named]] = {}
    for graph, op, name in each_operator(model):
        weights = weight_of(graph, op)
        if weights is not None or SCHEMES[scheme].mode == "static":
            group_key: object = name if weights is None else weights.buffer
            units.setdefault(group_key, []).append((op.name, name))
    return list(units.values())


def quantize_alone(model: bytes, unit: Sequence[Named], ranges: Any, params: Mapping[str, Any], artifact: Path) -> bool:
    """Write the model with one operator, or a group with the same weights, quantized.

    Args:
        model: The bytes of the float model.
        unit: The (kind, name) of each operator of the group.
        ranges: See `litert_quantize.quantize`.
        params: The parameters of the step.
        artifact: The path to write.

    Returns:
        False if the quantizer refused the model or did not quantize the operator.
    """
    rule = {"match": "", "op": unit[0][0], "scheme": params["scheme"]}
    try:
        recipe = make_recipe({**params, **FLOAT, "rules": [rule]}, unit)
        artifact.write_bytes(quantize(model, recipe, ranges))
    except WorkerError:
        return False
    quantized = read_model(artifact)
    return any(
        name == unit[0][1] and find_applied_scheme(graph, op) != "none" for graph, op, name in each_operator(quantized)
    )


def measure_loss(reference: Arrays, actual: Arrays) -> dict[str, Any]:
    """Compare the outputs of a quantized model with those of the source.

    Figures are rounded to the digits that are equal on every CPU, because a search decides by them.

    Args:
        reference: Output name -> values of the source, of any shape.
        actual: Output name -> values of the quantized model, of the same sizes.

    Returns:
        `snr_db` of the worst output in dB, `rmse` over the values of all outputs, and `noise`: the mean square error of
        each output.
    """
    figures = {name: round_parity(parity(reference[name].reshape(-1), actual[name].reshape(-1))) for name in reference}
    noise = {name: figure["rmse"] ** 2 for name, figure in figures.items()}
    values = sum(array.size for array in reference.values())
    total = sum(noise[name] * array.size for name, array in reference.items())
    snr = min(figure["snr_db"] for figure in figures.values())
    rmse = math.sqrt(total / max(1, values))
    digits = count_digits(snr)
    noise = {name: round_digits(value, digits) for name, value in noise.items()}
    return {"snr_db": snr, "rmse": round_digits(rmse, digits), "noise": noise}


def mean_square(array: np.ndarray) -> float:
    """Return the mean of the squared values of an array, computed in float64."""
    return float(np.mean(array.astype(np.float64) ** 2))


def rank(operators: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort operators by their loss, largest first, and add each one's `share` of the sum of all squared errors."""
    total = float(np.sum([operator["rmse"] ** 2 for operator in operators])) if operators else 0.0
    with_shares = [{**operator, "share": operator["rmse"] ** 2 / total if total else 0.0} for operator in operators]
    return sorted(with_shares, key=lambda operator: (operator["snr_db"], operator["name"]))
