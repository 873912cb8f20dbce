"""The step `predict`: the source's own outputs for the evaluation samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tflbuild.runtime import step_progress
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.datasets.sample_files import Arrays, batch_of, count_samples, each_sample, load_feeds
from tflbuild.steps.verification.predictions import (
    Call,
    Predictions,
    are_stateful,
    call_signatures_in_turn,
    probe,
    require_finite,
    save_predictions,
)
from tflbuild.steps.verification.tf_check_import import load_snapshot, open_function, require_source
from tflbuild.tflite.signature_checks import each_signature

BATCH = 100
ROUNDING = 1e-3  # of the greatest value: a batch is summed in another order


def run(request: StepRequest) -> Facts:
    """Outputs predictions.npz; facts: count of samples. The snapshot is compared with the source's witness first."""
    signature = request.read_json("signature")
    require_source(request)
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    snapshot = load_snapshot(request)
    fed = [one for one in each_signature(signature) if one["key"] in feeds]
    if are_stateful(signature):
        calls = {one["key"]: open_function(snapshot.signatures[one["key"]]) for one in fed}
        predictions = {key: Predictions(outputs) for key, outputs in call_signatures_in_turn(fed, feeds, calls).items()}
    else:
        predictions = {one["key"]: predict(one, feeds[one["key"]], snapshot.signatures) for one in fed}
    for found in predictions.values():
        require_finite(found.outputs)
    save_predictions(request.outputs / "predictions.npz", predictions)
    return {"count": count_samples(feeds[signature["key"]])}


def predict(signature: Mapping[str, Any], inputs: Arrays, functions: Mapping[str, Any]) -> Predictions:
    """All samples as the artifact takes them; many at a time where that is seen to give the same."""
    alone = open_function(functions[signature["key"]])
    many = open_function(functions[signature["predict_key"]])
    count, size = count_samples(inputs), batch_of(signature)
    outputs = {}
    if signature["predict_key"] != signature["key"]:
        outputs = predict_many(inputs, many)
        if not agrees(outputs, alone, inputs, size):
            outputs = {}
    if not outputs:
        found = [alone(feed) for feed in step_progress.track(each_sample(inputs, batch=size), -(-count // size))]
        outputs = {n: np.concatenate([by_sample(one[n], size) for one in found])[:count] for n in found[0]}
    return Predictions(outputs, tuple(probe(signature, inputs, alone)))


def predict_many(inputs: Arrays, call: Call) -> Arrays:
    """Outputs with samples first, BATCH at a time; {} where an output does not go by samples."""
    parts: dict[str, list[np.ndarray]] = {}
    count = count_samples(inputs)
    for start in step_progress.track(range(0, count, BATCH), -(-count // BATCH)):
        here = min(BATCH, count - start)
        for name, array in call({n: a[start : start + BATCH] for n, a in inputs.items()}).items():
            if array.shape[:1] != (here,):
                return {}
            parts.setdefault(name, []).append(array)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def agrees(outputs: Arrays, alone: Call, inputs: Arrays, batch: int) -> bool:
    """Whether the first and the last samples give the same by themselves, but for rounding."""
    if not outputs:
        return False
    count = count_samples(inputs)
    for start in {0, max(0, count - batch)}:
        picked = np.arange(start, start + batch) % count
        one = alone({name: array[picked] for name, array in inputs.items()})
        for name, array in one.items():
            many = outputs[name][picked].reshape(array.shape) if outputs[name][picked].size == array.size else None
            if many is None or not same(many, array):
                return False
    return True


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal but for rounding, whatever the scale of the values; strings are equal or not."""
    if a.dtype.kind not in "fc":
        return bool((a == b).all())
    scale = float(np.abs(b).max(initial=0.0)) or 1.0
    return bool(np.allclose(a, b, rtol=0, atol=ROUNDING * scale, equal_nan=True))


def by_sample(array: np.ndarray, batch: int) -> np.ndarray:
    """One call's output with samples first: split where the call took several, else as a whole."""
    return array if batch > 1 and array.shape[:1] == (batch,) else np.repeat(array[None], batch, axis=0)
