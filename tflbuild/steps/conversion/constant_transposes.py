"""Folding of operators that only rearrange a constant, so that the filter after them is a constant again.

TFLiteConverter does not fold such operators after a node of quantization-aware training. A quantizer would treat their
results as activations, and kernels need filters of another layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.buffer_placement import store_buffers_inside
from tflbuild.tflite.constant_storage import drop_unused, values_of
from tflbuild.tflite.model_editing import add_buffer, builtin, has_values, parse_model, serialize_model

Builtin = schema.BuiltinOperator
RESHAPES = (Builtin.RESHAPE, Builtin.EXPAND_DIMS, Builtin.SQUEEZE)


def fold_layout(path: Path) -> list[str]:
    """Replace every TRANSPOSE, RESHAPE, EXPAND_DIMS and SQUEEZE of a float32 constant by its result, in place.

    Args:
        path: The .tflite file.

    Returns:
        The names of the tensors that became constants.
    """
    root = parse_model(path.read_bytes())
    names = [name for graph in root.subgraphs for name in _fold_graph(root, graph)]
    if names:
        drop_unused(root)
        path.write_bytes(store_buffers_inside(serialize_model(root)))
    return names


def _fold_graph(root: Any, graph: Any) -> Iterator[str]:
    for op in list(graph.operators):
        values = _rearrange(root, graph, op)
        if values is not None:
            result = graph.tensors[op.outputs[0]]
            result.buffer = add_buffer(root, np.ascontiguousarray(values).tobytes())
            graph.operators = [other for other in graph.operators if other is not op]
            yield result.name.decode()


def _rearrange(root: Any, graph: Any, op: Any) -> np.ndarray | None:
    """Return the result of an operator that rearranges a constant; None for any other operator."""
    kind = builtin(root, op)
    if kind != Builtin.TRANSPOSE and kind not in RESHAPES:
        return None
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if int(op.outputs[0]) in map(int, graph.outputs) or source.type != schema.TensorType.FLOAT32:
        return None
    if not has_values(root, source):
        return None
    values = values_of(root, source)
    if kind in RESHAPES:
        return values if values.size == np.prod(result.shape, dtype=np.int64) else None
    order = graph.tensors[op.inputs[1]]
    if not has_values(root, order):
        return None
    return values.transpose(np.frombuffer(bytes(root.buffers[order.buffer].data), np.int32))
