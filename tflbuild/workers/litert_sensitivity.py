"""The step `sensitivity`: what quantizing each operator alone does to the outputs.

Every operator that the scheme applies to is quantized by itself, all others left in float, and the
model is run on the evaluation samples. What is lost against the source is that operator's own damage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.workers.artifact import run_samples
from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.flatbuffer import read_model
from tflbuild.workers.litert_quantize import load_ranges, quantize
from tflbuild.workers.metrics import parity
from tflbuild.workers.predictions import load_predictions
from tflbuild.workers.quantizer_recipe import make_recipe
from tflbuild.workers.rules import applied, each_operator
from tflbuild.workers.samples import Arrays, count_samples, load_feeds

FLOAT = {"scheme": "none"}


def run(request: Request) -> Facts:
    """Outputs sensitivity.json: {scheme, samples, bytes, powers, operators, left}.

    `bytes` is the float model's size, `powers` the mean square of each output. An operator has its name, its
    kind, the artifact's `bytes` with it alone quantized, `snr_db`, `rmse`, `share`, and each output's `noise`
    (mean square error). With the parameter `count`, the first samples alone are run.
    """
    params = request.params
    signature = request.read_json("signature")
    count = params.get("count")
    feeds = load_feeds(request.inputs["samples"], signature["key"])[signature["key"]]
    inputs = {name: array[:count] for name, array in feeds.items()}
    predicted = load_predictions(request.inputs["predictions"], signature["key"]).outputs
    reference = {name: array[:count] for name, array in predicted.items()}
    model = request.inputs["model"].read_bytes()
    ranges = load_ranges(request, model)
    operators = [(op.name, name) for _, op, name in each_operator(read_model(request.inputs["model"]))]
    found, left = [], []
    for operator, name in operators:
        artifact = request.folder / "alone.tflite"
        if not quantize_alone(model, (operator, name), ranges, params, artifact):
            left.append({"name": name, "operator": operator})
            continue
        actual = run_samples(artifact, signature, inputs, params)
        size = artifact.stat().st_size
        found.append({"name": name, "operator": operator, "bytes": size, **damage(reference, actual)})
    report = {
        "scheme": params["scheme"],
        "samples": count_samples(inputs),
        "bytes": len(model),
        "powers": {name: float(np.mean(array.astype(np.float64) ** 2)) for name, array in reference.items()},
        "operators": rank(found),
        "left": left,
    }
    request.write_json("sensitivity.json", report)
    return report


def quantize_alone(
    model: bytes, operator: tuple[str, str], ranges: Any, params: Mapping[str, Any], artifact: Path
) -> bool:
    """Write the model with one operator quantized; False where the quantizer has nothing for it."""
    rule = {"match": "", "op": operator[0], "scheme": params["scheme"]}
    try:
        recipe = make_recipe({**params, **FLOAT, "rules": [rule]}, [operator])
        artifact.write_bytes(quantize(model, recipe, ranges))
    except WorkerError:
        return False
    made = read_model(artifact)
    return any(name == operator[1] and applied(graph, op) != "none" for graph, op, name in each_operator(made))


def damage(reference: Arrays, actual: Arrays) -> dict[str, Any]:
    """The worst output's SNR in dB, the root mean square error over all outputs' values, each output's noise."""
    figures = {name: parity(reference[name].reshape(-1), actual[name].reshape(-1)) for name in reference}
    noise = {name: one["rmse"] ** 2 for name, one in figures.items()}
    values = sum(array.size for array in reference.values())
    total = sum(noise[name] * array.size for name, array in reference.items())
    snr = min(one["snr_db"] for one in figures.values())
    return {"snr_db": snr, "rmse": math.sqrt(total / max(1, values)), "noise": noise}


def rank(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Worst first; `share` is an operator's part of the sum of all squared errors."""
    total = float(np.sum([one["rmse"] ** 2 for one in found])) if found else 0.0
    shared = [{**one, "share": one["rmse"] ** 2 / total if total else 0.0} for one in found]
    return sorted(shared, key=lambda one: (one["snr_db"], one["name"]))
