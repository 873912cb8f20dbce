"""Ranges of activations that need no measuring: trained ones, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tflbuild.workers.contract import WorkerError
from tflbuild.workers.flatbuffer import Model

FIXED = {
    "SOFTMAX": (0.0, 1.0),
    "LOGISTIC": (0.0, 1.0),
    "TANH": (-1.0, 1.0),
    "L2_NORMALIZATION": (-1.0, 1.0),
}
# Operators that hand on values as they are (or some of them, or zeros beside them).
SAME = (
    *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "MAX_POOL_2D", "SLICE", "STRIDED_SLICE", "SPLIT", "UNPACK"),
    *("PAD", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "GATHER", "TILE"),
)


def complete(model: Model, trained: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tensor -> {min, max, rank}: those trained, those that an operator fixes, those handed on unchanged.

    Without anything trained nothing follows. Raises WorkerError for trained ranges of a kind that is not read.
    """
    if trained.get("unread"):
        raise WorkerError(
            "the model carries quantization that cannot be read as one range a tensor",
            kind="build",
            where="quantization.engine",
            why=", ".join(sorted(set(trained["unread"])))[:500],
            next_step="quantization.engine=converter takes it as it is; or quantize before training ends another way",
        )
    found = dict(trained.get("tensors", {}))
    if not found:
        return {}
    for graph in model.subgraphs:
        for op in graph.ops:
            for index in op.outputs:
                tensor = graph.tensors[index]
                if tensor.name in found or tensor.type != "float32":
                    continue
                source = graph.tensors[op.inputs[0]].name if op.inputs and op.inputs[0] >= 0 else ""
                if op.name in FIXED:
                    low, high = FIXED[op.name]
                    found[tensor.name] = {"min": low, "max": high, "rank": len(tensor.shape)}
                elif op.name in SAME and source in found:
                    found[tensor.name] = {**found[source], "rank": len(tensor.shape)}
    return found


def require_all(names: list[str], found: Mapping[str, Any]) -> None:
    """Raises WorkerError for activations without a range where there are no samples to measure them on."""
    missing = [name for name in names if name not in found]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise WorkerError(
            f"{len(missing)} of {len(names)} activations have no trained range",
            where="dataset",
            why=f"quantization-aware training left out {shown}",
            next_step="give calibration samples, on which these are measured: dataset=npz dataset.path=...",
        )
