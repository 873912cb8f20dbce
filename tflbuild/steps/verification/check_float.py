"""The step `check_float`: it checks that the float model returns the source outputs.

This tests import and conversion together: values, output names, preprocessing, and dynamic dimensions.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.verification.artifact_runner import run_real
from tflbuild.steps.verification.source_outputs import (
    Call,
    SourceCall,
    compare_with_source_outputs,
    load_source_outputs,
)
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.signature_checks import each_signature
from tflbuild.tflite.tflite_reader import read_model

KERNELS = "none"


def run(request: StepRequest) -> Facts:
    """Compare the float model with the source outputs, and write float.json.

    The file has the number of calls, and the reason if they could not be compared.

    Raises:
        WorkerError: An output differs.
    """
    keys = [entry["key"] for entry in each_signature(request.read_json("signature"))]
    source_calls = load_source_outputs(request.inputs["witness"], keys)
    reason = find_obstacle(request)
    if reason:
        print(f"not compared: {reason}")
    elif source_calls:
        compare_with_source_outputs(source_calls, open_calls(request, source_calls), "the float model")
    request.write_json("float.json", {"calls": 0 if reason else len(source_calls), "not_compared": reason})
    return {}


def find_obstacle(request: StepRequest) -> str:
    """Return the reason why the float model cannot be compared, "" if it can."""
    model = read_model(request.inputs["model"])
    if model.flex_ops() or model.custom_ops():
        return "it has operators that no Python package can run"
    if request.read_json("trained"):
        return "the source rounds as quantization-aware training taught it, the float model does not"
    return ""


def open_calls(request: StepRequest, source_calls: list[SourceCall]) -> dict[str, Call]:
    """Open the signatures of the calls on one interpreter, whose state they share."""
    first, *others = dict.fromkeys(call.key for call in source_calls)
    runner: Any = open_signature(request.inputs["model"], first, KERNELS)
    signatures = {first: runner, **{key: runner.sibling(key) for key in others}}
    return {key: partial(run_real, signature_runner) for key, signature_runner in signatures.items()}
