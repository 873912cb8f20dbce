"""What a .tflite contains, as JSON: for `check`, the manifest and `inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tflbuild.core.model import Model, Tensor
from tflbuild.workers.flatbuffer import OpVersion, op_versions
from tflbuild.workers.fusions import describe_fusions
from tflbuild.workers.runtimes import first_runtime, least_runtime


def describe_model(model: Model, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The contents as JSON.

    `least_runtime` is ours, from the operators; `min_runtime` is what the file's converter wrote there,
    which a quantizer leaves as it was. `metadata` are those of `metadata.read_metadata`, {} for none.
    """
    versions = op_versions(model)
    return {
        "bytes": model.bytes,
        "operators": model.op_counts(),
        "operator_versions": [describe_operator(op) for op in versions],
        "custom_operators": model.custom_ops(),
        "flex_operators": model.flex_ops(),
        "fused": describe_fusions(model),
        "quantized": any(t.scales or t.type == "float16" for graph in model.subgraphs for t in graph.tensors),
        "tensor_types": model.type_counts(),
        "subgraphs": len(model.subgraphs),
        "min_runtime": model.min_runtime,
        "least_runtime": least_runtime((op.name, op.version) for op in versions if not op.custom),
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
    """A version of an operator; `runtime` is the first that has it, "" when that is not known."""
    runtime = "" if op.custom else first_runtime(op.name, op.version)
    return {"name": op.name, "version": op.version, "count": op.count, "runtime": runtime}


def describe_io(name: str, tensor: Tensor) -> dict[str, Any]:
    """An input or output as an app must feed or read it."""
    return {
        "name": name,
        "dtype": tensor.type,
        "shape": list(tensor.shape),
        "scale": tensor.scales[0] if tensor.scales else None,
        "zero_point": tensor.zero_points[0] if tensor.zero_points else None,
    }
