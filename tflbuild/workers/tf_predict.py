"""The step `predict`: the source's own outputs for the evaluation samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.samples import count_samples, load_samples

BATCH = 100


def run(request: Request) -> Facts:
    """Outputs predictions.npz: one array an output, samples first; facts: count."""
    signature = request.read_json("signature")
    inputs, _ = load_samples(request.inputs["samples"])
    snapshot = tf.saved_model.load(str(request.inputs["snapshot"]))
    function = snapshot.signatures[signature["predict_key"]]
    size = 1 if signature["predict_key"] == signature["key"] else BATCH
    count = count_samples(inputs)
    parts: dict[str, list[Any]] = {}
    for start in range(0, count, size):
        feeds = {name: tf.constant(array[start : start + size]) for name, array in inputs.items()}
        for name, value in function(**feeds).items():
            array = value.numpy()
            parts.setdefault(name, []).append(array if size > 1 else array[None])
    outputs = {name: np.concatenate(arrays) for name, arrays in sorted(parts.items())}
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WorkerError(
                f"the source model gives NaN or infinity in its output '{name}'",
                where="source.path",
                why=f"{int((~np.isfinite(array)).sum())} of {array.size} values, on the evaluation samples",
                next_step="check the model's weights and the preprocessing of verify.dataset (scale, offset)",
            )
    np.savez(request.outputs / "predictions.npz", **outputs)  # type: ignore[arg-type]
    return {"count": count}
