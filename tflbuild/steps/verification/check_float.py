"""The step `check_float`: the float model must give what the source itself gave, which is its witness.

That proves import and conversion together: values, names of outputs, preprocessing, and that free sizes are free.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.verification.artifact_runner import run_real
from tflbuild.steps.verification.source_outputs import Call, SourceCall, compare_with_source_outputs, load_witness
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.signature_checks import each_signature
from tflbuild.tflite.tflite_reader import read_model

KERNELS = "none"


def run(request: StepRequest) -> Facts:
    """Outputs float.json: how many calls were compared, and why none could be. Raises WorkerError for a difference."""
    keys = [one["key"] for one in each_signature(request.read_json("signature"))]
    witness = load_witness(request.inputs["witness"], keys)
    reason = excuse(request)
    if reason:
        print(f"not compared: {reason}")
    elif witness:
        compare_with_source_outputs(witness, open_calls(request, witness), "the float model")
    request.write_json("float.json", {"calls": 0 if reason else len(witness), "not_compared": reason})
    return {}


def excuse(request: StepRequest) -> str:
    """Return why the float model cannot be compared, "" where it can."""
    model = read_model(request.inputs["model"])
    if model.flex_ops() or model.custom_ops():
        return "it has operators that no Python package can run"
    if request.read_json("trained"):
        return "the source rounds as quantization-aware training taught it, the float model does not"
    return ""


def open_calls(request: StepRequest, witness: list[SourceCall]) -> dict[str, Call]:
    """Return the signatures that the witness has, on one interpreter, whose state they share."""
    first, *others = dict.fromkeys(call.key for call in witness)
    running: Any = open_signature(request.inputs["model"], first, KERNELS)
    signatures = {first: running, **{key: running.sibling(key) for key in others}}
    return {key: partial(run_real, one) for key, one in signatures.items()}
