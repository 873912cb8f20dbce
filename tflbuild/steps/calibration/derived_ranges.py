"""Ranges of activations that need no measuring: trained ones, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.tflite_model import Model, Subgraph

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


def derive_ranges(model: Model, trained: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
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
    for graph in model.subgraphs if found else ():
        for op in graph.ops:
            if op.name in FIXED:
                low, high = FIXED[op.name]
                propagate_range({"min": low, "max": high}, op.outputs, graph, found)
            elif op.name in SAME:
                propagate_range(found.get(graph.tensors[op.inputs[0]].name), op.outputs, graph, found)
        for op in reversed(graph.ops):
            if op.name in SAME:
                propagate_range(found.get(graph.tensors[op.outputs[0]].name), op.inputs[:1], graph, found)
    return found


def propagate_range(
    known: Mapping[str, Any] | None, tensors: tuple[int, ...], graph: Subgraph, found: dict[str, Any]
) -> None:
    """Give tensors that have no range yet this one, where there is one."""
    for tensor in (graph.tensors[index] for index in tensors):
        if known is not None and tensor.type == "float32" and not tensor.constant:
            found.setdefault(tensor.name, {**known, "rank": len(tensor.shape)})


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
