"""A prover's step, asked for in this process: a folder, a model of one-operator cases, and the verdict."""

import json
import sys

from one_op import write_model

from tflbuild.core.verdict import read_verdict
from tflbuild.runtime.step_contract import StepRequest


def request(folder, target, *cases):
    """A request whose artifact has these operators, one after another. `folder` must be empty."""
    (folder / "outputs").mkdir()
    (folder / "model.tflite").write_bytes(write_model(*cases))
    (folder / "signature.json").write_text(json.dumps({"key": "serving_default", "inputs": []}))
    inputs = {"model": folder / "model.tflite", "signature": folder / "signature.json"}
    return StepRequest(folder, {"target": target}, inputs, {})


def prove(step, asked):
    """The step's verdict, which is also what it wrote."""
    facts = sys.modules[step.__module__].run(asked)
    written = json.loads((asked.outputs / "verdict.json").read_text())
    assert json.loads(json.dumps(facts["verdict"])) == written
    assert (asked.outputs / "compiled").is_dir()
    return read_verdict(written)
