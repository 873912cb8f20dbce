"""The step `predict` of a .tflite source: its own outputs for the evaluation samples, on the CPU."""

from __future__ import annotations

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.datasets.sample_files import count_samples, load_feeds
from tflbuild.steps.verification.artifact_runner import run_samples
from tflbuild.steps.verification.predictions import Predictions, probe, require_finite, save_predictions
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.signature_checks import each_signature

DELEGATE = "xnnpack"
THREADS = 1


def run(request: StepRequest) -> Facts:
    """Outputs predictions.npz; facts: count of samples."""
    signature = request.read_json("signature")
    model = request.inputs["snapshot"]
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    predictions = {}
    for one in each_signature(signature):
        if one["key"] in feeds:
            outputs = run_samples(model, one, feeds[one["key"]], {"delegate": DELEGATE, "threads": THREADS})
            running = open_signature(model, one["key"], DELEGATE, THREADS)
            predictions[one["key"]] = Predictions(outputs, tuple(probe(one, feeds[one["key"]], running)))
            require_finite(outputs)
    save_predictions(request.outputs / "predictions.npz", predictions)
    return {"count": count_samples(feeds[signature["key"]])}
