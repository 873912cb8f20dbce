"""Models of one operator changed as a quantizer changes them: packed constants, a state that lives on."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from one_op import TYPE, Case, T, bias, weight, write_model

F = "float32"


def packed(data: bytes, type: str, least_rank: int = 0) -> bytes:
    """The model with every stored float tensor as float16 or int8, behind a DEQUANTIZE."""
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    graph = root.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3 if type == "float16" else 2
    root.operatorCodes.append(code)
    unpacking = []
    for index, tensor in enumerate(list(graph.tensors)):
        stored = root.buffers[tensor.buffer].data
        if stored is None or tensor.type != TYPE[F] or len(tensor.shape) < least_rank:
            continue
        graph.tensors.append(_pack(root, tensor, np.frombuffer(bytes(stored), np.float32), type))
        op = schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = len(root.operatorCodes) - 1, [len(graph.tensors) - 1], [index]
        unpacking.append(op)
        tensor.buffer = 0
    graph.operators = [*unpacking, *graph.operators]
    return written(root)


def _pack(root: Any, tensor: Any, values: np.ndarray, type: str) -> Any:
    copy, buffer, quantization = schema.TensorT(), schema.BufferT(), schema.QuantizationParametersT()
    copy.name, copy.shape, copy.type = tensor.name + b"_packed", tensor.shape, TYPE[type]
    if type == "float16":
        buffer.data = np.frombuffer(values.astype(np.float16).tobytes(), np.uint8)
    else:
        scale = float(np.abs(values).max() or 1) / 127
        quantization.scale, quantization.zeroPoint = [scale], [0]
        buffer.data = np.frombuffer(np.rint(values / scale).astype(np.int8).tobytes(), np.uint8)
    root.buffers.append(buffer)
    copy.quantization, copy.buffer = quantization, len(root.buffers) - 1
    return copy


def lstm(type: str = F) -> bytes:
    """UNIDIRECTIONAL_SEQUENCE_LSTM as the converter makes it of Keras's: [1, 4 steps, 8] to [1, 4, 6], with state."""
    gates = [weight((6, 8), type) for _ in range(4)] + [weight((6, 6), type) for _ in range(4)]
    state = T((1, 6), F)
    inputs = (T((1, 4, 8), F), *gates, None, None, None, *[bias(6, F)] * 4, None, None, state, state, *[None] * 4)
    options = {"fusedActivationFunction": 4, "cellClip": 10.0, "projClip": 0.0, "timeMajor": False}
    kind = "UnidirectionalSequenceLSTMOptions"
    case = Case("lstm", "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, (T((1, 4, 6), F),), kind, options)
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(write_model(case), 0))
    graph = root.subgraphs[0]
    for index in graph.inputs[1:]:
        graph.tensors[index].isVariable = True
    graph.inputs = graph.inputs[:1]
    root.signatureDefs[0].inputs = root.signatureDefs[0].inputs[:1]
    return written(root)


def written(root: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_buffers_behind(data: bytes, least: int = 1) -> bytes:
    """The model with every buffer of `least` bytes or more behind its flatbuffer, as the LiteRT quantizer writes it."""
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    moved = {}
    for index, buffer in enumerate(root.buffers):
        if buffer.data is not None and len(buffer.data) >= least:
            moved[index] = bytes(buffer.data)
            buffer.data, buffer.offset, buffer.size = None, 1, 1
    whole = bytearray(written(root))
    packed_model = schema.Model.GetRootAsModel(whole, 0)
    for index, values in moved.items():
        whole += bytes(-len(whole) % 16)
        flatbuffer_utils.update_packed_buffer(packed_model.Buffers(index), offset=len(whole), size=len(values))
        whole += values
    return bytes(whole)
