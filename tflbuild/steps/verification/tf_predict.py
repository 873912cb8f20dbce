"""The step `predict`: the source's outputs for the evaluation samples."""

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
    require_finite,
    run_probes,
    save_predictions,
)
from tflbuild.steps.verification.tf_check_import import load_snapshot, open_function, require_source
from tflbuild.tflite.signature_checks import each_signature

BATCH = 100
# The allowed error, relative to the largest value: a batch is summed in another order.
ROUNDING = 1e-3


def run(request: StepRequest) -> Facts:
    """Run the source on the evaluation samples, and write predictions.npz.

    The snapshot is compared with the source outputs first.

    Returns:
        The fact `count`, the number of samples.

    Raises:
        WorkerError: The snapshot differs from the source, or an output is not finite.
    """
    signature = request.read_json("signature")
    require_source(request)
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    snapshot = load_snapshot(request)
    fed = [entry for entry in each_signature(signature) if entry["key"] in feeds]
    if are_stateful(signature):
        calls = {entry["key"]: open_function(snapshot.signatures[entry["key"]]) for entry in fed}
        predictions = {key: Predictions(outputs) for key, outputs in call_signatures_in_turn(fed, feeds, calls).items()}
    else:
        predictions = {entry["key"]: predict(entry, feeds[entry["key"]], snapshot.signatures) for entry in fed}
    for prediction in predictions.values():
        require_finite(prediction.outputs)
    save_predictions(request.outputs / "predictions.npz", predictions)
    return {"count": count_samples(feeds[signature["key"]])}


def predict(signature: Mapping[str, Any], inputs: Arrays, functions: Mapping[str, Any]) -> Predictions:
    """Run all samples with the batch size of the artifact, or many at a time if that is verified to return the same."""
    call_one = open_function(functions[signature["key"]])
    call_many = open_function(functions[signature["predict_key"]])
    count, size = count_samples(inputs), batch_of(signature)
    outputs = {}
    if signature["predict_key"] != signature["key"]:
        outputs = predict_many(inputs, call_many)
        if not matches_single_calls(outputs, call_one, inputs, size):
            outputs = {}
    if not outputs:
        results = [call_one(feed) for feed in step_progress.track(each_sample(inputs, batch=size), -(-count // size))]
        outputs = {
            n: np.concatenate([split_samples(result[n], size) for result in results])[:count] for n in results[0]
        }
    return Predictions(outputs, tuple(run_probes(signature, inputs, call_one)))


def predict_many(inputs: Arrays, call: Call) -> Arrays:
    """Run BATCH samples at a time. Return outputs with samples first, or {} if an output has no axis of samples."""
    parts: dict[str, list[np.ndarray]] = {}
    count = count_samples(inputs)
    for start in step_progress.track(range(0, count, BATCH), -(-count // BATCH)):
        size = min(BATCH, count - start)
        for name, array in call({n: a[start : start + BATCH] for n, a in inputs.items()}).items():
            if array.shape[:1] != (size,):
                return {}
            parts.setdefault(name, []).append(array)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def matches_single_calls(outputs: Arrays, call: Call, inputs: Arrays, batch: int) -> bool:
    """Return whether the first and the last samples have the same outputs when they run without the others."""
    if not outputs:
        return False
    count = count_samples(inputs)
    for start in {0, max(0, count - batch)}:
        indices = np.arange(start, start + batch) % count
        outputs_alone = call({name: array[indices] for name, array in inputs.items()})
        for name, array in outputs_alone.items():
            batched = outputs[name][indices].reshape(array.shape) if outputs[name][indices].size == array.size else None
            if batched is None or not are_equal(batched, array):
                return False
    return True


def are_equal(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether arrays are equal up to rounding relative to the largest value. Strings must be equal."""
    if first.dtype.kind not in "fc":
        return bool((first == second).all())
    scale = float(np.abs(second).max(initial=0.0)) or 1.0
    return bool(np.allclose(first, second, rtol=0, atol=ROUNDING * scale, equal_nan=True))


def split_samples(array: np.ndarray, batch: int) -> np.ndarray:
    """Return the output of one call with samples first. An output without an axis of samples is repeated."""
    return array if batch > 1 and array.shape[:1] == (batch,) else np.repeat(array[None], batch, axis=0)
