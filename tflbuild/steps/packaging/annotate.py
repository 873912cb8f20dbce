"""The step `annotate`: adds TFLite Metadata and its files to the artifact. No later step changes the bytes."""

from __future__ import annotations

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.packaging.metadata_declarations import model_metadata
from tflbuild.tflite.tflite_metadata import write_metadata
from tflbuild.tflite.tflite_reader import read_model

FILE_PORT = "file:"


def run(request: StepRequest) -> Facts:
    """Add metadata to the artifact, and write model.tflite.

    Args:
        request: Inputs: `model`, `signature` (for its main name), and `file:NAME` for each file that `params.metadata`
            calls NAME.

    Returns:
        The facts `bytes`, and `files`: the bytes of each associated file by name.

    Raises:
        WorkerError: Names, numbers or files do not match the artifact.
    """
    path = request.inputs["model"]
    files = {
        name.removeprefix(FILE_PORT): file_path.read_bytes()
        for name, file_path in request.inputs.items()
        if name.startswith(FILE_PORT)
    }
    key = request.read_json("signature")["key"]
    tree, packed = model_metadata(request.params["metadata"], read_model(path), key, files)
    annotated = write_metadata(path.read_bytes(), tree, packed)
    (request.outputs / "model.tflite").write_bytes(annotated)
    return {"bytes": len(annotated), "files": {name: len(data) for name, data in sorted(packed.items())}}
