"""Constants that mask scores before a SOFTMAX (-1e9, -inf), made as small as they may be before a model is quantized.

Scores and mask share a scale in integers: beside -1e9 one step is 4 million, and the scores vanish. A masked score
need only be so low that its share of the result is nothing: `MARGIN` below the least score.
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
MARGIN = 20.0  # exp(-20) is 2e-9, far below half a step of an int16 result (1.5e-5)
LEAST_GAIN = 2.0  # a mask that is less than twice as low as it need be stays as it is

Ranges = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class AttentionMask:
    """An ADD or SELECT before a SOFTMAX: which of its inputs is stored, which is computed, and its output's readers.

    `moved` are the tensors between the operator and the SOFTMAX, the operator's output first.
    """

    op: Any
    stored: int
    scores: int
    moved: tuple[int, ...]
    beta: float


def shrink_masks(model: bytes, ranges: Ranges | None) -> tuple[bytes, Ranges | None]:
    """Return the float model and the measured ranges with every mask of a SOFTMAX as small as it may be.

    Nothing changes where a row of an added mask hides all its scores: the result would be another.
    """
    if not ranges:
        return model, ranges
    root = parse_model(model)
    changed = dict(ranges)
    for graph in root.subgraphs:
        for mask in list(find_masks(root, graph)):
            _shrink(root, graph, mask, changed)
    if changed == ranges:
        return model, ranges
    return serialize_model(root), changed


def list_masked(model: bytes) -> set[str]:
    """Return the names of the tensors of a float model that hold masked scores, whose least value is the mask's."""
    root = parse_model(model)
    return {
        graph.tensors[index].name.decode("utf-8", "replace")
        for graph in root.subgraphs
        for mask in find_masks(root, graph)
        for index in mask.moved
    }


def find_masks(root: Any, graph: Any) -> Iterator[AttentionMask]:
    """Yield the masks of a subgraph whose results nothing but one SOFTMAX reads."""
    makers = {int(op.outputs[0]): op for op in graph.operators if len(op.outputs)}
    readers = [int(index) for op in graph.operators for index in op.inputs] + [int(index) for index in graph.outputs]
    for softmax in graph.operators:
        if builtin(root, softmax) != Builtin.SOFTMAX:
            continue
        moved = [int(softmax.inputs[0])]
        while (maker := makers.get(moved[0])) is not None and builtin(root, maker) in CARRIERS:
            moved.insert(0, int(maker.inputs[0]))
        if maker is None or any(readers.count(index) != 1 for index in moved):
            continue
        places = {Builtin.ADD: (0, 1)} | dict.fromkeys(SELECTS, (1, 2))
        for place in places.get(builtin(root, maker), ()):
            other = sum(places[builtin(root, maker)]) - place
            if _values(root, graph, maker.inputs[place]) is not None:
                scores = int(maker.inputs[other])
                yield AttentionMask(maker, place, scores, tuple(moved), float(softmax.builtinOptions.beta or 1.0))


def _shrink(root: Any, graph: Any, mask: AttentionMask, ranges: Ranges) -> None:
    values = _values(root, graph, mask.op.inputs[mask.stored])
    names = [graph.tensors[index].name.decode() for index in (mask.scores, *mask.moved)]
    if values is None or not all("min" in ranges.get(name, {}) for name in names):
        return
    low, high = (float(ranges[names[0]][side].min()) for side in ("min", "max"))
    margin = MARGIN / min(mask.beta, 1.0)
    if builtin(root, mask.op) == Builtin.ADD:
        rows = {int(graph.tensors[index].shape[-1]) for index in mask.moved}
        if values.ndim == 0 or rows != {values.shape[-1]}:
            return
        floor = float(values.max(axis=-1).min()) - (high - low) - margin
        least, greatest = low + floor, high + float(values.max())
    else:
        if np.unique(values).size != 1:
            return
        floor = least = min(low, 0.0) - margin
        greatest = high
    if not np.isfinite(floor) or float(values.min()) >= LEAST_GAIN * min(floor, -1.0):
        return
    _store(root, graph, mask, np.maximum(values, np.float32(floor)).astype(np.float32))
    for name in names[1:]:
        entry = ranges[name]
        # the measured greatest value was rounded to steps of the wide range, which may be wider than all scores
        top = np.full_like(entry["max"], greatest)
        ranges[name] = {**entry, "min": np.maximum(entry["min"], np.float32(least)), "max": top}


def _values(root: Any, graph: Any, index: int) -> np.ndarray | None:
    """Return the values of a stored float32 tensor, None of any other."""
    tensor = graph.tensors[int(index)]
    if not has_values(root, tensor) or tensor.type != schema.TensorType.FLOAT32:
        return None
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    return np.frombuffer(bytes(root.buffers[tensor.buffer].data), np.float32).reshape(shape)


def _store(root: Any, graph: Any, mask: AttentionMask, values: np.ndarray) -> None:
    """Give the operator a constant of its own: others may read the one that it had."""
    before = graph.tensors[int(mask.op.inputs[mask.stored])]
    made = schema.TensorT()
    made.name, made.shape, made.type = before.name + b"_smaller", before.shape, before.type
    made.buffer, made.hasRank = add_buffer(root, values.tobytes()), before.hasRank
    graph.tensors.append(made)
    mask.op.inputs = np.array(mask.op.inputs, np.int32)
    mask.op.inputs[mask.stored] = len(graph.tensors) - 1
