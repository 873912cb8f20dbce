"""PRELU in int8, which LiteRT's kernels have and its quantizer leaves in float, between two conversions.

[int8, DEQUANTIZE, PRELU, QUANTIZE, int8] becomes [int8, PRELU, int8]: scales and zero points of both ends stay,
and the slopes are int8 with one symmetric scale, as the kernel wants them (tflite/kernels/activations.cc).
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
GREATEST = 127


@dataclass(frozen=True)
class FloatPrelu:
    """A PRELU in float, the DEQUANTIZE before it and the QUANTIZE behind it."""

    before: Any
    prelu: Any
    behind: Any


def quantize_prelu(model: bytes, wanted: Callable[[str], bool]) -> bytes:
    """The model with every such PRELU in int8 of which `wanted`, asked by the name of its output, is true."""
    root = parse_model(model)
    changed = False
    for graph in root.subgraphs:
        for island in find_islands(root, graph):
            if wanted(graph.tensors[island.prelu.outputs[0]].name.decode()):
                join(root, graph, island)
                changed = True
    return serialize_model(root) if changed else model


def find_islands(root: Any, graph: Any) -> list[FloatPrelu]:
    """Those whose ends are int8, whose output goes nowhere else, and whose slopes are stored."""
    makers = {int(op.outputs[0]): op for op in graph.operators if len(op.outputs)}
    found = []
    for op in graph.operators:
        if builtin(root, op) != Builtin.PRELU or int(op.outputs[0]) in map(int, graph.outputs):
            continue
        before, behind = makers.get(int(op.inputs[0])), takers(graph, int(op.outputs[0]))
        if before is None or builtin(root, before) != Builtin.DEQUANTIZE or len(behind) != 1:
            continue
        slopes = graph.tensors[op.inputs[1]]
        ends = [graph.tensors[before.inputs[0]].type, graph.tensors[behind[0].outputs[0]].type]
        stored = has_values(root, slopes) and slopes.type == schema.TensorType.FLOAT32
        if builtin(root, behind[0]) == Builtin.QUANTIZE and ends == [schema.TensorType.INT8] * 2 and stored:
            found.append(FloatPrelu(before, op, behind[0]))
    return found


def takers(graph: Any, tensor: int) -> list[Any]:
    """The operators that read a tensor."""
    return [op for op in graph.operators if tensor in map(int, op.inputs)]


def join(root: Any, graph: Any, island: FloatPrelu) -> None:
    """Take out the conversions, and what nothing uses any more. The output keeps the name that it had in float."""
    prelu = island.prelu
    gone = {int(prelu.outputs[0]), int(prelu.inputs[1]), int(prelu.inputs[0])}
    graph.tensors[island.behind.outputs[0]].name = graph.tensors[prelu.outputs[0]].name
    slopes = store_slopes(root, graph, graph.tensors[prelu.inputs[1]])
    prelu.inputs = np.array([island.before.inputs[0], slopes], np.int32)
    prelu.outputs = np.array(island.behind.outputs, np.int32)
    graph.operators = [op for op in graph.operators if op is not island.behind]
    if not takers(graph, int(island.before.outputs[0])):
        graph.operators = [op for op in graph.operators if op is not island.before]
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs)} | set(map(int, graph.outputs))
    for tensor in sorted(gone - used, reverse=True):
        drop_tensor(root, graph, tensor)
    empty_unused_buffers(root)


def store_slopes(root: Any, graph: Any, slopes: Any) -> int:
    """The index of a new tensor: the slopes as int8, scale max |slope| / 127."""
    values = np.frombuffer(bytes(root.buffers[slopes.buffer].data), np.float32)
    scale = float(np.abs(values).max(initial=0.0)) / GREATEST or 1.0
    index = add_tensor(
        graph, slopes.name, slopes.shape, slopes.shapeSignature, schema.TensorType.INT8, scale_parameters([scale], [0])
    )
    graph.tensors[index].hasRank = slopes.hasRank
    graph.tensors[index].buffer = add_buffer(root, np.rint(values / scale).astype(np.int8).tobytes())
    return index
