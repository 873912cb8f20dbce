"""The contents of a .tflite as JSON, for `check`, the manifest and `inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tflbuild.tflite.fused_operators import describe_fusions
from tflbuild.tflite.runtime_features import count_features
from tflbuild.tflite.runtime_table import find_least_runtime, judge_features
from tflbuild.tflite.tflite_model import Model, Tensor
from tflbuild.tflite.tflite_reader import OpVersion, op_versions


def describe_model(model: Model, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the contents of a model as JSON.

    `features` are its runtime features, each with the first TensorFlow Lite that was measured to run it correctly, ""
    for none. `least_runtime` is the newest of these. `min_runtime` is what the converter wrote into the file, and a
    quantizer does not update it.

    Args:
        model: The contents of the file.
        metadata: The result of `tflite_metadata.read_metadata`.
    """
    needs = judge_features(count_features(model))
    return {
        "bytes": model.bytes,
        "operators": model.op_counts(),
        "operator_versions": [describe_operator(op) for op in op_versions(model)],
        "custom_operators": model.custom_ops(),
        "flex_operators": model.flex_ops(),
        "fused": describe_fusions(model),
        "quantized": any(t.scales or t.type == "float16" for graph in model.subgraphs for t in graph.tensors),
        "tensor_types": model.type_counts(),
        "subgraphs": len(model.subgraphs),
        "min_runtime": model.min_runtime,
        "features": [asdict(need) for need in needs],
        "least_runtime": find_least_runtime(needs),
        "state_tensors": sum(tensor.state for graph in model.subgraphs for tensor in graph.tensors),
        "metadata": dict(metadata or {}),
        "signatures": [
            {
                "key": entry.key,
                "inputs": [describe_io(name, tensor) for name, tensor in entry.inputs.items()],
                "outputs": [describe_io(name, tensor) for name, tensor in entry.outputs.items()],
            }
            for entry in model.signatures
        ],
    }


def describe_operator(op: OpVersion) -> dict[str, Any]:
    """Return a version of an operator and its number as JSON."""
    return {"name": op.name, "version": op.version, "count": op.count}


def describe_io(name: str, tensor: Tensor) -> dict[str, Any]:
    """Return an input or output as JSON, as an app must write or read it."""
    return {
        "name": name,
        "dtype": tensor.type,
        "shape": list(tensor.shape),
        "scale": tensor.scales[0] if tensor.scales else None,
        "zero_point": tensor.zero_points[0] if tensor.zero_points else None,
    }
