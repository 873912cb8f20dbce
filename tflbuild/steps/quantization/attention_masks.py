"""Smaller constants for masks of scores before a SOFTMAX (-1e9, -inf), so that a model can be quantized.

Scores and mask share a scale in integers: next to -1e9 one quantization step is 4 million, and the scores vanish. A
masked score only has to be so low that its part of the result is negligible: `MARGIN` below the smallest score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.model_editing import Builtin, add_buffer, builtin, has_values, parse_model, serialize_model

CARRIERS = (Builtin.RESHAPE, Builtin.SQUEEZE, Builtin.EXPAND_DIMS)
SELECTS = (Builtin.SELECT, Builtin.SELECT_V2)
# exp(-20) is 2e-9, far below half a quantization step of an int16 result (1.5e-5).
MARGIN = 20.0
# A mask is only changed if it is at least this many times as low as it has to be.
SMALLEST_GAIN = 2.0

Ranges = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class AttentionMask:
    """An ADD or SELECT of a constant mask before a SOFTMAX.

    Attributes:
        op: The ADD or SELECT.
        stored: The position of the mask in the inputs of `op`.
        scores: The index of the computed tensor of scores.
        between: The indices of the tensors between `op` and the SOFTMAX, the output of `op` first.
        beta: The factor by which the SOFTMAX multiplies.
    """

    op: Any
    stored: int
    scores: int
    between: tuple[int, ...]
    beta: float


def shrink_masks(model: bytes, ranges: Ranges | None) -> tuple[bytes, Ranges | None]:
    """Make every mask of a SOFTMAX as small as the measured scores allow.

    An added mask that hides all scores of a row is not changed, because the result of that row would change.

    Args:
        model: The bytes of the float model.
        ranges: Tensor name -> {`min`, `max`: float32 arrays}, or None.

    Returns:
        The changed model and the ranges with the changed masks, or the arguments if nothing had to change.
    """
    if not ranges:
        return model, ranges
    root = parse_model(model)
    new_ranges = dict(ranges)
    for graph in root.subgraphs:
        for mask in list(find_masks(root, graph)):
            _shrink(root, graph, mask, new_ranges)
    if new_ranges == ranges:
        return model, ranges
    return serialize_model(root), new_ranges


def list_masked(model: bytes) -> set[str]:
    """Return the names of the tensors of a float model with masked scores, whose smallest value is that of the mask."""
    root = parse_model(model)
    return {
        graph.tensors[index].name.decode("utf-8", "replace")
        for graph in root.subgraphs
        for mask in find_masks(root, graph)
        for index in mask.between
    }


def find_masks(root: Any, graph: Any) -> Iterator[AttentionMask]:
    """Yield the masks of a subgraph whose result only one SOFTMAX reads."""
    producers = {int(op.outputs[0]): op for op in graph.operators if len(op.outputs)}
    readers = [int(index) for op in graph.operators for index in op.inputs] + [int(index) for index in graph.outputs]
    for softmax in graph.operators:
        if builtin(root, softmax) != Builtin.SOFTMAX:
            continue
        between = [int(softmax.inputs[0])]
        while (producer := producers.get(between[0])) is not None and builtin(root, producer) in CARRIERS:
            between.insert(0, int(producer.inputs[0]))
        if producer is None or any(readers.count(index) != 1 for index in between):
            continue
        positions = {Builtin.ADD: (0, 1)} | dict.fromkeys(SELECTS, (1, 2))
        for position in positions.get(builtin(root, producer), ()):
            other_position = sum(positions[builtin(root, producer)]) - position
            if _values(root, graph, producer.inputs[position]) is not None:
                scores = int(producer.inputs[other_position])
                yield AttentionMask(
                    producer, position, scores, tuple(between), float(softmax.builtinOptions.beta or 1.0)
                )


def _shrink(root: Any, graph: Any, mask: AttentionMask, ranges: Ranges) -> None:
    """Replace one mask by a smaller one, and update the ranges of the masked scores in `ranges`."""
    values = _values(root, graph, mask.op.inputs[mask.stored])
    names = [graph.tensors[index].name.decode() for index in (mask.scores, *mask.between)]
    if values is None or not all("min" in ranges.get(name, {}) for name in names):
        return
    low, high = (float(ranges[names[0]][side].min()) for side in ("min", "max"))
    margin = MARGIN / min(mask.beta, 1.0)
    if builtin(root, mask.op) == Builtin.ADD:
        rows = {int(graph.tensors[index].shape[-1]) for index in mask.between}
        if values.ndim == 0 or rows != {values.shape[-1]}:
            return
        floor = float(values.max(axis=-1).min()) - (high - low) - margin
        smallest, largest = low + floor, high + float(values.max())
    else:
        if np.unique(values).size != 1:
            return
        floor = smallest = min(low, 0.0) - margin
        largest = high
    if not np.isfinite(floor) or float(values.min()) >= SMALLEST_GAIN * min(floor, -1.0):
        return
    _store(root, graph, mask, np.maximum(values, np.float32(floor)).astype(np.float32))
    for name in names[1:]:
        range_ = ranges[name]
        # The measured maximum was rounded to the grid of the original range, whose steps may exceed all scores.
        top = np.full_like(range_["max"], largest)
        ranges[name] = {**range_, "min": np.maximum(range_["min"], np.float32(smallest)), "max": top}


def _values(root: Any, graph: Any, index: int) -> np.ndarray | None:
    """Return the values of a stored float32 tensor, or None for any other tensor."""
    tensor = graph.tensors[int(index)]
    if not has_values(root, tensor) or tensor.type != schema.TensorType.FLOAT32:
        return None
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    return np.frombuffer(bytes(root.buffers[tensor.buffer].data), np.float32).reshape(shape)


def _store(root: Any, graph: Any, mask: AttentionMask, values: np.ndarray) -> None:
    """Give the operator a constant of its own, because other operators may read the original one."""
    original = graph.tensors[int(mask.op.inputs[mask.stored])]
    constant = schema.TensorT()
    constant.name, constant.shape, constant.type = original.name + b"_smaller", original.shape, original.type
    constant.buffer, constant.hasRank = add_buffer(root, values.tobytes()), original.hasRank
    graph.tensors.append(constant)
    mask.op.inputs = np.array(mask.op.inputs, np.int32)
    mask.op.inputs[mask.stored] = len(graph.tensors) - 1
