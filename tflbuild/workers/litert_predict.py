"""The step `predict` of a .tflite source: its own outputs for the evaluation samples, on the CPU."""

from __future__ import annotations

import numpy as np

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.litert_verify import run_artifact
from tflbuild.workers.samples import count_samples, load_samples


def run(request: Request) -> Facts:
    """Outputs predictions.npz: one array an output, samples first; facts: count."""
    inputs, _ = load_samples(request.inputs["samples"])
    key = request.read_json("signature")["key"]
    outputs = run_artifact(request.inputs["snapshot"], key, inputs, {"delegate": "xnnpack", "threads": 1})
    np.savez(request.outputs / "predictions.npz", **dict(sorted(outputs.items())))  # type: ignore[arg-type]
    return {"count": count_samples(inputs)}
