"""The step `convert`: SavedModel snapshot -> float .tflite."""

from __future__ import annotations

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.tf_converter import builtins, convert, open_converter


def run(request: Request) -> Facts:
    """Outputs model.tflite; facts: bytes."""
    converter = open_converter(request)
    converter.target_spec.supported_ops = builtins(request.params["select_tf"])
    path = request.outputs / "model.tflite"
    convert(converter, path, request)
    return {"bytes": path.stat().st_size}
