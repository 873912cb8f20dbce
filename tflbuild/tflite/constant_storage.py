"""Constants of a .tflite as objects of the schema: reading, storing, sharing, and removing unused ones."""

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
    """The content of a constant.

    Attributes:
        type: The element type, a value of the schema's TensorType.
        codes: float16 values, or int8 codes. int4 codes are packed when they are stored.
        scales: The scales of codes.
        axis: The axis along which scales differ.
        buffer: The buffer that contains the codes already, 0 if there is none.
    """

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
    """Return the bytes of a constant. A byte contains two int4 codes, the first in the low half."""
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
    """Add a constant with the name and shape of `like`, in a new buffer unless `stored` names one. Return its index."""
    zero_points = np.zeros(stored.scales.size, np.int64)
    quantization = scale_parameters(stored.scales, zero_points, stored.axis) if stored.scales.size else None
    index = add_tensor(graph, like.name, like.shape, None, stored.type, quantization)
    graph.tensors[index].buffer = stored.buffer or add_buffer(root, pack(stored))
    return index


def add_dequantize(root: Any, graph: Any, stored: int, like: Any) -> int:
    """Insert a DEQUANTIZE of a constant before all other operators, and return the index of its float32 output."""
    name = (like.name or b"constant") + b"_dequant"
    index = add_tensor(graph, name, like.shape, None, Type.FLOAT32)
    add_operator(root, graph, 0, Builtin.DEQUANTIZE, [stored], [index])
    return index


def find_stored(root: Any, tensor: Any, values: np.ndarray, type: int) -> StoredConstant | None:
    """Find a constant that contains a table as codes with a scale for each row, such as a shared output layer.

    It contains the table if every value is within half a step of its code.

    Args:
        root: The ModelT.
        tensor: The table.
        values: The values of the table, float32.
        type: The type of the codes.
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
    """Let constants with the same bytes share one buffer. Return whether this changed anything."""
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
    """Remove constants that no operator reads, and the bytes of buffers without a tensor."""
    for graph in root.subgraphs:
        used = {int(index) for op in graph.operators for index in (*op.inputs, *op.outputs)}
        used |= {int(index) for index in (*graph.inputs, *graph.outputs)}
        for op in graph.operators:
            used |= set() if op.intermediates is None else {int(index) for index in op.intermediates}
        for index in sorted(set(range(len(graph.tensors))) - used, reverse=True):
            if root.buffers[graph.tensors[index].buffer].data is not None:
                drop_tensor(root, graph, index)
    empty_unused_buffers(root)
