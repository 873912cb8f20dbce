"""Ranges of activations that need no measurement: trained ranges, and ranges that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.tflite_model import Model, Subgraph

# Operator -> the range of its results.
FIXED = {
    "SOFTMAX": (0.0, 1.0),
    "LOGISTIC": (0.0, 1.0),
    "TANH": (-1.0, 1.0),
    "L2_NORMALIZATION": (-1.0, 1.0),
}
# Operators whose outputs contain only values of their input, or zeros.
SAME = (
    *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "MAX_POOL_2D", "SLICE", "STRIDED_SLICE", "SPLIT", "UNPACK"),
    *("PAD", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "GATHER", "TILE"),
)


def derive_ranges(model: Model, trained: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Collect trained ranges, and derive others from them.

    An operator may fix the range of its output (such as SOFTMAX), or pass values unchanged. Without trained ranges
    nothing is derived.

    Args:
        model: The float model.
        trained: The JSON of trained ranges: `tensors` (tensor name -> {min, max, rank}), and `unread`.

    Returns:
        Tensor name -> {min, max, rank}.

    Raises:
        WorkerError: The model contains trained quantization of a kind that cannot be read.
    """
    if trained.get("unread"):
        raise WorkerError(
            "the model contains quantization that cannot be read as one range for each tensor",
            kind="build",
            where="quantization.engine",
            why=", ".join(sorted(set(trained["unread"])))[:500],
            next_step="use quantization.engine=converter, which keeps it, or train with another kind of quantization",
        )
    ranges = dict(trained.get("tensors", {}))
    for graph in model.subgraphs if ranges else ():
        for op in graph.ops:
            if op.name in FIXED:
                low, high = FIXED[op.name]
                propagate_range({"min": low, "max": high}, op.outputs, graph, ranges)
            elif op.name in SAME:
                propagate_range(ranges.get(graph.tensors[op.inputs[0]].name), op.outputs, graph, ranges)
        for op in reversed(graph.ops):
            if op.name in SAME:
                propagate_range(ranges.get(graph.tensors[op.outputs[0]].name), op.inputs[:1], graph, ranges)
    return ranges


def propagate_range(
    range_: Mapping[str, Any] | None, tensors: tuple[int, ...], graph: Subgraph, ranges: dict[str, Any]
) -> None:
    """Assign a range to float32 activations that have none yet. Nothing happens if `known` is None."""
    for tensor in (graph.tensors[index] for index in tensors):
        if range_ is not None and tensor.type == "float32" and not tensor.constant:
            ranges.setdefault(tensor.name, {**range_, "rank": len(tensor.shape)})


def require_all(names: list[str], ranges: Mapping[str, Any]) -> None:
    """Check that every activation has a range, because there are no samples on which to measure it.

    Raises:
        WorkerError: Activations have no range.
    """
    missing = [name for name in names if name not in ranges]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise WorkerError(
            f"{len(missing)} of {len(names)} activations have no trained range",
            where="dataset",
            why=f"quantization-aware training has no range for {shown}",
            next_step="add calibration samples to measure these ranges: dataset=npz dataset.path=...",
        )
