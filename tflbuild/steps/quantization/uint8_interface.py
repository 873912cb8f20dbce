"""uint8 inputs and outputs of a model that computes in int8.

A QUANTIZE operator at an input or output shifts the codes by 128: the scale is the same, and the zero point is 128
higher. The signatures refer to the new tensors.

A model that takes raw uint8 pixels casts them to float32 first. When it is quantized, it needs no cast: the pixels are
the real values 0..255 with scale 1 and zero point 0, and a QUANTIZE converts them to int8.
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
# The difference between the codes of uint8 and int8 for the same real value.
SHIFT = 128


def convert_interface_to_uint8(model: bytes, *, inputs: bool, outputs: bool) -> bytes:
    """Change every int8 input and/or output of every signature to uint8.

    Args:
        model: A .tflite that computes in int8.
        inputs: Whether to change the inputs.
        outputs: Whether to change the outputs.

    Returns:
        The bytes of the changed model.
    """
    root = parse_model(model)
    for index, graph in enumerate(root.subgraphs):
        if inputs:
            graph.inputs = _convert_tensors(root, index, graph.inputs, is_input=True)
        if outputs:
            graph.outputs = _convert_tensors(root, index, graph.outputs, is_input=False)
    return serialize_model(root)


def find_raw_ranges(model: bytes) -> dict[str, dict[str, Any]]:
    """Return the ranges of the float32 tensors to which uint8 inputs are cast: 0 to 255, whatever the samples contain.

    Returns:
        Tensor name -> {min, max, rank}.
    """
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
    """Rewrite [uint8 input, CAST, QUANTIZE to int8] as [uint8 input of scale 1, QUANTIZE to int8].

    Returns:
        The bytes of the changed model, or `model` if nothing had to change.
    """
    root = parse_model(model)
    changed = False
    for graph in root.subgraphs:
        for cast in _raw_casts(root, graph):
            readers = [op for op in graph.operators if cast.outputs[0] in op.inputs]
            if not all(builtin(root, op) == QUANTIZE for op in readers):
                continue
            raw = int(cast.inputs[0])
            graph.tensors[raw].quantization = scale_parameters([1.0], [0])
            for op in readers:
                op.inputs = np.array([raw], np.int32)
            graph.operators = [op for op in graph.operators if op is not cast]
            drop_tensor(root, graph, int(cast.outputs[0]))
            changed = True
    return serialize_model(root) if changed else model


def _raw_casts(root: Any, graph: Any) -> list[Any]:
    """Return the CAST operators that convert a uint8 input of the graph to float32."""
    inputs = {int(index) for index in graph.inputs}
    return [
        op
        for op in graph.operators
        if builtin(root, op) == schema.BuiltinOperator.CAST
        and int(op.inputs[0]) in inputs
        and graph.tensors[op.inputs[0]].type == schema.TensorType.UINT8
        and graph.tensors[op.outputs[0]].type == schema.TensorType.FLOAT32
    ]


def _convert_tensors(root: Any, index: int, tensors: Any, *, is_input: bool) -> np.ndarray:
    """Insert a shifting operator before each int8 input, or after each int8 output, and return the new indices."""
    graph = root.subgraphs[index]
    indices = [int(tensor) for tensor in tensors]
    for position, inner in enumerate(indices):
        if graph.tensors[inner].type != schema.TensorType.INT8:
            continue
        graph.tensors.append(_make_shifted(graph.tensors[inner], is_input))
        outer = len(graph.tensors) - 1
        source, sink = (outer, inner) if is_input else (inner, outer)
        add_operator(root, graph, 0 if is_input else len(graph.operators), QUANTIZE, [source], [sink])
        indices[position] = outer
        _move_signature(root, index, inner, outer, is_input)
    return np.array(indices, np.int32)


def _make_shifted(tensor: Any, is_input: bool) -> Any:
    """Return a uint8 tensor with the same real values as an int8 tensor."""
    quantization = scale_parameters(
        tensor.quantization.scale, np.array(tensor.quantization.zeroPoint, np.int64) + SHIFT
    )
    shifted = schema.TensorT()
    shifted.name = tensor.name + (b"_uint8_input" if is_input else b"_uint8_output")
    shifted.type = schema.TensorType.UINT8
    shifted.shape = tensor.shape
    shifted.shapeSignature = tensor.shapeSignature
    shifted.hasRank = tensor.hasRank
    shifted.quantization = quantization
    # Buffer 0 is the empty one, since the tensor is computed.
    shifted.buffer = 0
    return shifted


def _move_signature(root: Any, index: int, inner: int, outer: int, is_input: bool) -> None:
    """Let the signatures of a subgraph refer to tensor `outer` instead of `inner`."""
    for entry in root.signatureDefs or ():
        if entry.subgraphIndex == index:
            for item in (entry.inputs if is_input else entry.outputs) or ():
                if item.tensorIndex == inner:
                    item.tensorIndex = outer
