"""uint8 inputs and outputs on a model that computes in int8.

A QUANTIZE operator at the border shifts by 128: same scale, zero point 128 higher. The signature
goes with the tensors.

A model that takes raw uint8 pixels casts them to float32 before anything else. Quantized, it needs no
cast: the pixels are the real values 0..255 with scale 1 and zero point 0, and a QUANTIZE takes them in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.model_editing import (
    add_operator,
    builtin,
    drop_tensor,
    parse_model,
    scale_parameters,
    serialize_model,
)

QUANTIZE = schema.BuiltinOperator.QUANTIZE
SHIFT = 128


def convert_interface_to_uint8(model: bytes, *, inputs: bool, outputs: bool) -> bytes:
    """The model with every int8 input and/or output, of every signature, taken or given as uint8."""
    root = parse_model(model)
    for index, graph in enumerate(root.subgraphs):
        if inputs:
            graph.inputs = _border(root, index, graph.inputs, entering=True)
        if outputs:
            graph.outputs = _border(root, index, graph.outputs, entering=False)
    return serialize_model(root)


def raw_ranges(model: bytes) -> dict[str, dict[str, Any]]:
    """Tensor -> {min, max, rank} of what uint8 inputs are cast to: every byte, whatever the samples hold."""
    root = parse_model(model)
    return {
        graph.tensors[cast.outputs[0]].name.decode(): {
            "min": 0.0,
            "max": 255.0,
            "rank": len(graph.tensors[cast.outputs[0]].shape),
        }
        for graph in root.subgraphs
        for cast in _raw_casts(root, graph)
    }


def quantize_raw_inputs(model: bytes) -> bytes:
    """The model with [uint8 input, CAST, QUANTIZE to int8] as [uint8 input of scale 1, QUANTIZE to int8]."""
    root = parse_model(model)
    changed = False
    for graph in root.subgraphs:
        for cast in _raw_casts(root, graph):
            takers = [op for op in graph.operators if cast.outputs[0] in op.inputs]
            if not all(builtin(root, op) == QUANTIZE for op in takers):
                continue
            raw = int(cast.inputs[0])
            graph.tensors[raw].quantization = scale_parameters([1.0], [0])
            for op in takers:
                op.inputs = np.array([raw], np.int32)
            graph.operators = [op for op in graph.operators if op is not cast]
            drop_tensor(root, graph, int(cast.outputs[0]))
            changed = True
    return serialize_model(root) if changed else model


def _raw_casts(root: Any, graph: Any) -> list[Any]:
    """The CAST operators that turn a uint8 input of the graph into float32."""
    entering = {int(index) for index in graph.inputs}
    return [
        op
        for op in graph.operators
        if builtin(root, op) == schema.BuiltinOperator.CAST
        and int(op.inputs[0]) in entering
        and graph.tensors[op.inputs[0]].type == schema.TensorType.UINT8
        and graph.tensors[op.outputs[0]].type == schema.TensorType.FLOAT32
    ]


def _border(root: Any, index: int, tensors: Any, *, entering: bool) -> np.ndarray:
    """Put a shifting operator before (or after) each int8 tensor; gives the new border's indices."""
    graph = root.subgraphs[index]
    border = [int(tensor) for tensor in tensors]
    for place, inner in enumerate(border):
        if graph.tensors[inner].type != schema.TensorType.INT8:
            continue
        graph.tensors.append(_shifted(graph.tensors[inner], entering))
        outer = len(graph.tensors) - 1
        source, sink = (outer, inner) if entering else (inner, outer)
        add_operator(root, graph, 0 if entering else len(graph.operators), QUANTIZE, [source], [sink])
        border[place] = outer
        _move_signature(root, index, inner, outer, entering)
    return np.array(border, np.int32)


def _shifted(tensor: Any, entering: bool) -> Any:
    """A uint8 tensor that holds the same real values."""
    quantization = scale_parameters(
        tensor.quantization.scale, np.array(tensor.quantization.zeroPoint, np.int64) + SHIFT
    )
    made = schema.TensorT()
    made.name = tensor.name + (b"_uint8_input" if entering else b"_uint8_output")
    made.type = schema.TensorType.UINT8
    made.shape = tensor.shape
    made.shapeSignature = tensor.shapeSignature
    made.hasRank = tensor.hasRank
    made.quantization = quantization
    made.buffer = 0  # the empty one: the tensor is computed
    return made


def _move_signature(root: Any, index: int, inner: int, outer: int, entering: bool) -> None:
    for entry in root.signatureDefs or ():
        if entry.subgraphIndex == index:
            for item in (entry.inputs if entering else entry.outputs) or ():
                if item.tensorIndex == inner:
                    item.tensorIndex = outer
