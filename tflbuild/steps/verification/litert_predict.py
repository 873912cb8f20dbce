"""The step `predict_tflite`: the outputs of a .tflite source for the evaluation samples, on the CPU."""

from __future__ import annotations

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.datasets.sample_files import count_samples, load_feeds
from tflbuild.steps.verification.artifact_runner import run_samples
from tflbuild.steps.verification.predictions import Predictions, require_finite, run_probes, save_predictions
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.signature_checks import each_signature

DELEGATE = "xnnpack"
THREADS = 1


def run(request: StepRequest) -> Facts:
    """Run the float model on the evaluation samples, and write predictions.npz.

    Returns:
        The fact `count`, the number of samples.

    Raises:
        WorkerError: An output is not finite.
    """
    signature = request.read_json("signature")
    model = request.inputs["snapshot"]
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    predictions = {}
    for entry in each_signature(signature):
        if entry["key"] in feeds:
            outputs = run_samples(model, entry, feeds[entry["key"]], {"delegate": DELEGATE, "threads": THREADS})
            runner = open_signature(model, entry["key"], DELEGATE, THREADS)
            predictions[entry["key"]] = Predictions(outputs, tuple(run_probes(entry, feeds[entry["key"]], runner)))
            require_finite(outputs)
    save_predictions(request.outputs / "predictions.npz", predictions)
    return {"count": count_samples(feeds[signature["key"]])}
