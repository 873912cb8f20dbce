"""Changes of a .tflite as objects of the schema: operators, tensors and buffers are added and removed.

`root` is always a ModelT, and `graph` one of its subgraphs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

Builtin = schema.BuiltinOperator
Type = schema.TensorType
# Type -> the first version of DEQUANTIZE that supports it. Version 5 supports a scale for each channel.
DEQUANTIZE_VERSIONS = {Type.INT8: 2, Type.FLOAT16: 3, Type.INT4: 6}
PER_CHANNEL_VERSION = 5
OPTIONS = {Builtin.DEQUANTIZE: schema.DequantizeOptionsT, Builtin.QUANTIZE: schema.QuantizeOptionsT}


def parse_model(model: bytes) -> Any:
    """Return the ModelT of a .tflite."""
    return flatbuffer_utils.read_model_from_bytearray(bytearray(model))


def serialize_model(root: Any) -> bytes:
    """Return the bytes of a ModelT. `buffer_placement.write_aligned` also aligns its buffers."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(root))


def builtin(root: Any, op: Any) -> int:
    """Return the kind of an operator, a value of the schema's BuiltinOperator."""
    return _kind(root.operatorCodes[op.opcodeIndex])


def _kind(code: Any) -> int:
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def has_values(root: Any, tensor: Any) -> bool:
    """Return whether a tensor's values are stored in the model."""
    data = root.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def add_buffer(root: Any, data: bytes) -> int:
    """Add a buffer, and return its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    root.buffers.append(buffer)
    return len(root.buffers) - 1


def scale_parameters(scales: Any, zero_points: Any, axis: int = 0) -> Any:
    """Return quantization parameters with one scale and zero point, or with several along `axis`."""
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.array(scales, np.float32)
    parameters.zeroPoint = np.array(zero_points, np.int64)
    parameters.quantizedDimension = axis
    return parameters


def add_tensor(graph: Any, name: bytes, shape: Any, shape_signature: Any, type: int, quantization: Any = None) -> int:
    """Add a tensor without values, and return its index.

    Args:
        graph: The subgraph.
        name: The name.
        shape: The shape.
        shape_signature: The shape with -1 for dynamic dimensions, or None.
        type: The element type, a value of the schema's TensorType.
        quantization: The quantization parameters, or None.
    """
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.buffer, tensor.hasRank = name, type, 0, True
    tensor.shape, tensor.shapeSignature = shape, shape_signature
    tensor.quantization = quantization or schema.QuantizationParametersT()
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_operator(
    root: Any, graph: Any, position: int, kind: int, inputs: list[int], outputs: list[int], options: Any = None
) -> None:
    """Insert an operator at a position of the execution order.

    Args:
        root: The ModelT.
        graph: The subgraph.
        position: The position.
        kind: The operator, a value of the schema's BuiltinOperator.
        inputs: The indices of the input tensors.
        outputs: The indices of the output tensors.
        options: The builtin options. QUANTIZE and DEQUANTIZE have defaults.
    """
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    operator.builtinOptions = options or OPTIONS[kind]()
    operator.builtinOptionsType = getattr(
        schema.BuiltinOptions, type(operator.builtinOptions).__name__.removesuffix("T")
    )
    version = 1
    if kind == Builtin.DEQUANTIZE:
        source = graph.tensors[inputs[0]]
        version = DEQUANTIZE_VERSIONS[source.type]
        scales = source.quantization.scale
        if scales is not None and len(scales) > 1:
            version = max(version, PER_CHANNEL_VERSION)
    operator.opcodeIndex = find_opcode(root, kind, version)
    graph.operators.insert(position, operator)


def find_opcode(root: Any, kind: int, version: int) -> int:
    """Return the index of an operator code of at least this version. It is added if there is none."""
    for index, code in enumerate(root.operatorCodes):
        if _kind(code) == kind and code.version >= version:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), version
    root.operatorCodes.append(code)
    return len(root.operatorCodes) - 1


def drop_tensor(root: Any, graph: Any, gone: int) -> None:
    """Remove a tensor that nothing uses any more. The indices of later tensors decrease by one."""

    def moved(indices: Any) -> np.ndarray:
        return np.array([index - (index > gone) for index in map(int, indices)], np.int32)

    del graph.tensors[gone]
    graph.inputs, graph.outputs = moved(graph.inputs), moved(graph.outputs)
    for operator in graph.operators:
        operator.inputs, operator.outputs = moved(operator.inputs), moved(operator.outputs)
        if operator.intermediates is not None and len(operator.intermediates):
            operator.intermediates = moved(operator.intermediates)
    for entry in root.signatureDefs or ():
        if root.subgraphs[entry.subgraphIndex] is graph:
            for item in (*(entry.inputs or ()), *(entry.outputs or ())):
                item.tensorIndex -= item.tensorIndex > gone


def empty_unused_buffers(root: Any) -> None:
    """Remove the bytes of buffers that no tensor and no metadata uses. The indices of buffers stay."""
    used = {tensor.buffer for graph in root.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in root.metadata or ()}
    for index in range(1, len(root.buffers)):
        if index not in used:
            root.buffers[index].data = None
