"""uint8 inputs and outputs on a model that computes in int8.

A QUANTIZE operator at the border shifts by 128: same scale, zero point 128 higher. The signature
goes with the tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

SHIFT = 128


def give_uint8(model: bytes, *, inputs: bool, outputs: bool) -> bytes:
    """The model with every int8 input and/or output, of every signature, taken or given as uint8."""
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    for index, graph in enumerate(root.subgraphs):
        if inputs:
            graph.inputs = _border(root, index, graph.inputs, entering=True)
        if outputs:
            graph.outputs = _border(root, index, graph.outputs, entering=False)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(root))


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
        operator = _quantize(root, source, sink)
        graph.operators.insert(0 if entering else len(graph.operators), operator)
        border[place] = outer
        _move_signature(root, index, inner, outer, entering)
    return np.array(border, np.int32)


def _shifted(tensor: Any, entering: bool) -> Any:
    """A uint8 tensor that holds the same real values."""
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.array(tensor.quantization.scale, np.float32)
    quantization.zeroPoint = np.array(tensor.quantization.zeroPoint, np.int64) + SHIFT
    made = schema.TensorT()
    made.name = tensor.name + (b"_uint8_input" if entering else b"_uint8_output")
    made.type = schema.TensorType.UINT8
    made.shape = tensor.shape
    made.shapeSignature = tensor.shapeSignature
    made.hasRank = tensor.hasRank
    made.quantization = quantization
    made.buffer = 0  # the empty one: the tensor is computed
    return made


def _quantize(root: Any, source: int, sink: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = _opcode(root, schema.BuiltinOperator.QUANTIZE)
    operator.inputs = np.array([source], np.int32)
    operator.outputs = np.array([sink], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema.QuantizeOptionsT()
    return operator


def _opcode(root: Any, builtin: int) -> int:
    for index, code in enumerate(root.operatorCodes):
        if code.builtinCode == builtin:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = builtin
    code.deprecatedBuiltinCode = builtin
    code.version = 1
    root.operatorCodes.append(code)
    return len(root.operatorCodes) - 1


def _move_signature(root: Any, index: int, inner: int, outer: int, entering: bool) -> None:
    for entry in root.signatureDefs or ():
        if entry.subgraphIndex == index:
            for item in (entry.inputs if entering else entry.outputs) or ():
                if item.tensorIndex == inner:
                    item.tensorIndex = outer
