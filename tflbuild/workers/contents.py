"""What a .tflite contains, as JSON: for `check`, the manifest and `inspect`."""

from __future__ import annotations

from typing import Any

from tflbuild.workers.flatbuffer import Model, Tensor


def describe_model(model: Model) -> dict[str, Any]:
    """The contents as JSON."""
    return {
        "bytes": model.bytes,
        "operators": model.op_counts(),
        "custom_operators": model.custom_ops(),
        "flex_operators": model.flex_ops(),
        "tensor_types": model.type_counts(),
        "subgraphs": len(model.subgraphs),
        "min_runtime": model.min_runtime,
        "signatures": [
            {
                "key": entry.key,
                "inputs": [describe_io(name, tensor) for name, tensor in entry.inputs.items()],
                "outputs": [describe_io(name, tensor) for name, tensor in entry.outputs.items()],
            }
            for entry in model.signatures
        ],
    }


def describe_io(name: str, tensor: Tensor) -> dict[str, Any]:
    """An input or output as an app must feed or read it."""
    return {
        "name": name,
        "dtype": tensor.type,
        "shape": list(tensor.shape),
        "scale": tensor.scales[0] if tensor.scales else None,
        "zero_point": tensor.zero_points[0] if tensor.zero_points else None,
    }
