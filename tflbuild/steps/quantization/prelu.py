"""Quantization of PRELU to int8, which LiteRT's kernels support and its quantizer does not.

[int8, DEQUANTIZE, PRELU, QUANTIZE, int8] becomes [int8, PRELU, int8]. Input and output keep their scales and zero
points. The slopes become int8 with one symmetric scale, as the kernel requires (tflite/kernels/activations.cc).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.model_editing import (
    add_buffer,
    add_tensor,
    builtin,
    drop_tensor,
    empty_unused_buffers,
    has_values,
    parse_model,
    scale_parameters,
    serialize_model,
)

Builtin = schema.BuiltinOperator
LARGEST_CODE = 127


@dataclass(frozen=True)
class FloatPrelu:
    """A PRELU in float, the DEQUANTIZE before it and the QUANTIZE after it."""

    before: Any
    prelu: Any
    after: Any


def quantize_prelu(model: bytes, is_int8: Callable[[str], bool]) -> bytes:
    """Quantize the PRELU operators of a model that stand between a DEQUANTIZE and a QUANTIZE.

    Args:
        model: A .tflite from the LiteRT quantizer.
        is_int8: Returns whether a PRELU shall be int8, from the name of its output.

    Returns:
        The bytes of the changed model, or `model` if nothing had to change.
    """
    root = parse_model(model)
    changed = False
    for graph in root.subgraphs:
        for float_prelu in find_float_prelus(root, graph):
            if is_int8(graph.tensors[float_prelu.prelu.outputs[0]].name.decode()):
                join_operators(root, graph, float_prelu)
                changed = True
    return serialize_model(root) if changed else model


def find_float_prelus(root: Any, graph: Any) -> list[FloatPrelu]:
    """Return the PRELU operators with int8 on both sides, stored slopes, and an output that only the QUANTIZE reads."""
    producers = {int(op.outputs[0]): op for op in graph.operators if len(op.outputs)}
    float_prelus = []
    for op in graph.operators:
        if builtin(root, op) != Builtin.PRELU or int(op.outputs[0]) in map(int, graph.outputs):
            continue
        before, readers = producers.get(int(op.inputs[0])), find_readers(graph, int(op.outputs[0]))
        if before is None or builtin(root, before) != Builtin.DEQUANTIZE or len(readers) != 1:
            continue
        slopes = graph.tensors[op.inputs[1]]
        types = [graph.tensors[before.inputs[0]].type, graph.tensors[readers[0].outputs[0]].type]
        stored = has_values(root, slopes) and slopes.type == schema.TensorType.FLOAT32
        if builtin(root, readers[0]) == Builtin.QUANTIZE and types == [schema.TensorType.INT8] * 2 and stored:
            float_prelus.append(FloatPrelu(before, op, readers[0]))
    return float_prelus


def find_readers(graph: Any, tensor: int) -> list[Any]:
    """Return the operators that read a tensor."""
    return [op for op in graph.operators if tensor in map(int, op.inputs)]


def join_operators(root: Any, graph: Any, float_prelu: FloatPrelu) -> None:
    """Remove the conversions, and the tensors that nothing uses any more.

    The int8 output takes the name of the float output, so that rules and ranges still refer to it.
    """
    prelu = float_prelu.prelu
    old_tensors = {int(prelu.outputs[0]), int(prelu.inputs[1]), int(prelu.inputs[0])}
    graph.tensors[float_prelu.after.outputs[0]].name = graph.tensors[prelu.outputs[0]].name
    slopes = store_slopes(root, graph, graph.tensors[prelu.inputs[1]])
    prelu.inputs = np.array([float_prelu.before.inputs[0], slopes], np.int32)
    prelu.outputs = np.array(float_prelu.after.outputs, np.int32)
    graph.operators = [op for op in graph.operators if op is not float_prelu.after]
    if not find_readers(graph, int(float_prelu.before.outputs[0])):
        graph.operators = [op for op in graph.operators if op is not float_prelu.before]
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs)} | set(map(int, graph.outputs))
    for tensor in sorted(old_tensors - used, reverse=True):
        drop_tensor(root, graph, tensor)
    empty_unused_buffers(root)


def store_slopes(root: Any, graph: Any, slopes: Any) -> int:
    """Add the slopes as an int8 tensor with the scale max |slope| / 127, and return its index."""
    values = np.frombuffer(bytes(root.buffers[slopes.buffer].data), np.float32)
    scale = float(np.abs(values).max(initial=0.0)) / LARGEST_CODE or 1.0
    index = add_tensor(
        graph, slopes.name, slopes.shape, slopes.shapeSignature, schema.TensorType.INT8, scale_parameters([scale], [0])
    )
    graph.tensors[index].hasRank = slopes.hasRank
    graph.tensors[index].buffer = add_buffer(root, np.rint(values / scale).astype(np.int8).tobytes())
    return index
