"""The step `predict`: the source's own outputs for the evaluation samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.predictions import (
    Call,
    Predictions,
    are_stateful,
    probe,
    require_finite,
    save_predictions,
    take_turns,
)
from tflbuild.workers.samples import Arrays, batch_of, count_samples, each_sample, load_feeds
from tflbuild.workers.signatures import each_signature

BATCH = 100


def run(request: Request) -> Facts:
    """Outputs predictions.npz; facts: count of samples."""
    signature = request.read_json("signature")
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    snapshot = tf.saved_model.load(str(request.inputs["snapshot"]))
    fed = [one for one in each_signature(signature) if one["key"] in feeds]
    if are_stateful(signature):
        calls = {one["key"]: opened(snapshot.signatures[one["key"]]) for one in fed}
        predictions = {key: Predictions(outputs) for key, outputs in take_turns(fed, feeds, calls).items()}
    else:
        predictions = {
            one["key"]: predict(one, feeds[one["key"]], opened(snapshot.signatures[one["predict_key"]])) for one in fed
        }
    for found in predictions.values():
        require_finite(found.outputs)
    save_predictions(request.outputs / "predictions.npz", predictions)
    return {"count": count_samples(feeds[signature["key"]])}


def opened(function: Any) -> Call:
    """A signature of the snapshot as a function of arrays."""

    def call(feed: Arrays) -> Arrays:
        outputs = function(**{name: tf.constant(array) for name, array in feed.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return call


def predict(signature: Mapping[str, Any], inputs: Arrays, call: Call) -> Predictions:
    """All samples, many at a time where the batch is free, in order and as the artifact takes them elsewhere."""
    free = signature["predict_key"] != signature["key"]
    size = BATCH if free else batch_of(signature)
    count = count_samples(inputs)
    parts: dict[str, list[np.ndarray]] = {}
    if free:
        found = [call({n: a[start : start + size] for n, a in inputs.items()}) for start in range(0, count, size)]
    else:
        found = [call(feed) for feed in each_sample(inputs, batch=size)]
    for outputs in found:
        for name, array in outputs.items():
            parts.setdefault(name, []).append(array if free else by_sample(array, size))
    outputs = {name: np.concatenate(arrays)[:count] for name, arrays in parts.items()}
    return Predictions(outputs, tuple(probe(signature, inputs, call)))


def by_sample(array: np.ndarray, batch: int) -> np.ndarray:
    """One call's output with samples first: split where the call took several, else as a whole."""
    return array if batch > 1 and array.shape[:1] == (batch,) else np.repeat(array[None], batch, axis=0)
