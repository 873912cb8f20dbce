"""Constants of a .tflite as the schema's objects: read, stored, shared, and removed when nothing reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.model_editing import (
    add_buffer,
    add_operator,
    add_tensor,
    drop_tensor,
    empty_unused_buffers,
    scale_parameters,
)

Builtin = schema.BuiltinOperator
Type = schema.TensorType


@dataclass(frozen=True)
class StoredConstant:
    """What a constant holds: float16 values, or int8 codes (int4 ones are packed when stored) and their scales."""

    type: int
    codes: np.ndarray
    scales: np.ndarray = field(default_factory=lambda: np.array([]))
    axis: int = 0
    buffer: int = 0


def values_of(root: Any, tensor: Any) -> np.ndarray:
    """Return the values of a float32 constant, in the tensor's shape."""
    data = np.frombuffer(bytes(root.buffers[tensor.buffer].data), np.float32)
    return data.reshape([int(size) for size in tensor.shape])


def pack(stored: StoredConstant) -> bytes:
    """Return the bytes of a constant: two int4 codes to a byte, the first in the low half."""
    if stored.type != Type.INT4:
        return stored.codes.tobytes()
    codes = stored.codes.ravel().view(np.uint8) & 15
    codes = np.concatenate([codes, np.zeros(codes.size % 2, np.uint8)])
    return bytes((codes[::2] | (codes[1::2] << 4)).tobytes())


def unpack(root: Any, tensor: Any) -> np.ndarray:
    """Return the codes of an int8 or int4 constant, flat."""
    raw = np.frombuffer(bytes(root.buffers[tensor.buffer].data), np.uint8)
    if tensor.type != Type.INT4:
        return raw.view(np.int8)
    halves = np.stack([raw & 15, raw >> 4], axis=1).ravel().astype(np.int8)
    return np.where(halves > 7, halves - 16, halves)[: int(np.prod(tensor.shape))]


def add_stored(root: Any, graph: Any, like: Any, stored: StoredConstant) -> int:
    """Add a constant with the name and shape of `like`. Its buffer is a new one unless `stored` names one."""
    zero_points = np.zeros(stored.scales.size, np.int64)
    quantization = scale_parameters(stored.scales, zero_points, stored.axis) if stored.scales.size else None
    index = add_tensor(graph, like.name, like.shape, None, stored.type, quantization)
    graph.tensors[index].buffer = stored.buffer or add_buffer(root, pack(stored))
    return index


def add_dequantize(root: Any, graph: Any, stored: int, like: Any) -> int:
    """Widen a stored constant before anything else runs, and return the index of the float32 tensor."""
    name = (like.name or b"constant") + b"_dequant"
    made = add_tensor(graph, name, like.shape, None, Type.FLOAT32)
    add_operator(root, graph, 0, Builtin.DEQUANTIZE, [stored], [made])
    return made


def find_stored(root: Any, tensor: Any, values: np.ndarray, type: int) -> StoredConstant | None:
    """Return a constant that already holds a table in codes with a scale for each row, such as a tied output layer's.

    Codes hold the table when every value is within half a step of its code.
    """
    for graph in root.subgraphs:
        for other in graph.tensors:
            scales = None if other.quantization is None else other.quantization.scale
            if other.type != type or scales is None or list(other.shape) != list(tensor.shape):
                continue
            rows = other.quantization.quantizedDimension == 0 and len(scales) == len(values)
            if not rows or root.buffers[other.buffer].data is None or np.any(other.quantization.zeroPoint):
                continue
            exact = np.asarray(scales, np.float64)
            steps = exact.reshape(-1, *[1] * (values.ndim - 1))
            codes = unpack(root, other).reshape(values.shape)
            if np.all(np.abs(codes * steps - values) <= steps * 0.51):
                return StoredConstant(type, codes, exact, 0, other.buffer)
    return None


def share_buffers(root: Any, least_bytes: int) -> bool:
    """Have constants with the same bytes share one buffer. Returns whether any does that did not before."""
    first: dict[bytes, int] = {}
    changed = False
    for graph in root.subgraphs:
        for tensor in graph.tensors:
            data = root.buffers[tensor.buffer].data
            if data is None or len(data) <= least_bytes or tensor.isVariable:
                continue
            buffer = first.setdefault(bytes(data), tensor.buffer)
            changed = changed or buffer != tensor.buffer
            tensor.buffer = buffer
    return changed


def drop_unused(root: Any) -> None:
    """Remove constants that nothing reads, and the bytes of buffers that no tensor has."""
    for graph in root.subgraphs:
        used = {int(index) for op in graph.operators for index in (*op.inputs, *op.outputs)}
        used |= {int(index) for index in (*graph.inputs, *graph.outputs)}
        for op in graph.operators:
            used |= set() if op.intermediates is None else {int(index) for index in op.intermediates}
        for index in sorted(set(range(len(graph.tensors))) - used, reverse=True):
            if root.buffers[graph.tensors[index].buffer].data is not None:
                drop_tensor(root, graph, index)
    empty_unused_buffers(root)
