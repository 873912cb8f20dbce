"""The step `annotate`: the artifact with TFLite Metadata and its files. The last step that touches the bytes."""

from __future__ import annotations

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.packaging.metadata_declarations import model_metadata
from tflbuild.tflite.tflite_metadata import write_metadata
from tflbuild.tflite.tflite_reader import read_model

FILE_PORT = "file:"


def run(request: StepRequest) -> Facts:
    """Outputs model.tflite; facts: its bytes, and those of each file that was packed, by name.

    Inputs: `model`, `signature` (its main key), and `file:NAME` for each file that `params.metadata` names NAME.
    Raises WorkerError for names, numbers and files that do not fit the artifact.
    """
    path = request.inputs["model"]
    files = {
        name.removeprefix(FILE_PORT): place.read_bytes()
        for name, place in request.inputs.items()
        if name.startswith(FILE_PORT)
    }
    key = request.read_json("signature")["key"]
    tree, packed = model_metadata(request.params["metadata"], read_model(path), key, files)
    made = write_metadata(path.read_bytes(), tree, packed)
    (request.outputs / "model.tflite").write_bytes(made)
    return {"bytes": len(made), "files": {name: len(data) for name, data in sorted(packed.items())}}
