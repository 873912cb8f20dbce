"""The step `check_import`: it checks that the snapshot returns the source outputs.

If there are samples, the step `predict` does this instead, because it has the snapshot open.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.verification.source_outputs import (
    SNAPSHOT,
    Arrays,
    Call,
    compare_with_source_outputs,
    load_source_outputs,
)
from tflbuild.tflite.signature_checks import each_signature


def run(request: StepRequest) -> Facts:
    """Compare the snapshot with the source outputs, and write import.json with the number of calls.

    Raises:
        WorkerError: An output differs.
    """
    count = require_source(request)
    request.write_json("import.json", {"calls": count})
    return {}


def require_source(request: StepRequest) -> int:
    """Load the snapshot and compare it with the source outputs. Return the number of calls.

    The snapshot is loaded separately, because calls may change its state.

    Raises:
        WorkerError: An output differs.
    """
    keys = [entry["key"] for entry in each_signature(request.read_json("signature"))]
    source_calls = load_source_outputs(request.inputs["witness"], keys)
    if source_calls:
        functions = load_snapshot(request).signatures
        calls = {call.key: open_function(functions[call.key]) for call in source_calls}
        compare_with_source_outputs(source_calls, calls, SNAPSHOT)
    return len(source_calls)


def load_snapshot(request: StepRequest) -> Any:
    """Return the SavedModel that `import` wrote."""
    return tf.saved_model.load(str(request.inputs["snapshot"]))


def open_function(function: Any) -> Call:
    """Return a signature of the snapshot as a function of NumPy arrays."""

    def call(feed: Arrays) -> Arrays:
        try:
            outputs = function(**{name: tf.constant(array) for name, array in feed.items()})
        except tf.errors.FailedPreconditionError as error:
            raise WorkerError(
                "the source has lookup tables without content",
                where="source",
                why="a SavedModel of TensorFlow 1 fills them by an operation that is lost when it is saved again",
                next_step="load it in TensorFlow 2, keep a tf.lookup.StaticHashTable in a tf.Module, and save that",
            ) from error
        return {name: value.numpy() for name, value in outputs.items()}

    return call
