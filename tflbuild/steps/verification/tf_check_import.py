"""The step `check_import`: the snapshot must give what the source itself gave, which is its witness.

`predict` does the same where there are samples to predict, for it has the snapshot open.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.verification.source_outputs import SNAPSHOT, Arrays, Call, compare_with_source_outputs, load_witness
from tflbuild.tflite.signature_checks import each_signature


def run(request: StepRequest) -> Facts:
    """Outputs import.json: how many calls were compared. Raises WorkerError for an output that differs."""
    count = require_source(request)
    request.write_json("import.json", {"calls": count})
    return {}


def require_source(request: StepRequest) -> int:
    """Compare a snapshot of its own with the witness, since calls may change state; returns the count of calls."""
    keys = [one["key"] for one in each_signature(request.read_json("signature"))]
    witness = load_witness(request.inputs["witness"], keys)
    if witness:
        functions = load_snapshot(request).signatures
        calls = {call.key: open_function(functions[call.key]) for call in witness}
        compare_with_source_outputs(witness, calls, SNAPSHOT)
    return len(witness)


def load_snapshot(request: StepRequest) -> Any:
    """Return the SavedModel that `import` wrote."""
    return tf.saved_model.load(str(request.inputs["snapshot"]))


def open_function(function: Any) -> Call:
    """Return a signature of the snapshot as a function of arrays."""

    def call(feed: Arrays) -> Arrays:
        try:
            outputs = function(**{name: tf.constant(array) for name, array in feed.items()})
        except tf.errors.FailedPreconditionError as error:
            raise WorkerError(
                "the source has lookup tables that nothing fills",
                where="source",
                why="a SavedModel of TensorFlow 1 fills them by an operation that is lost when it is saved again",
                next_step="load it in TensorFlow 2, keep a tf.lookup.StaticHashTable in a tf.Module, and save that",
            ) from error
        return {name: value.numpy() for name, value in outputs.items()}

    return call
