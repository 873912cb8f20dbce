"""A small .tflite with every kind of index in it, made from the schema, for tests that damage it."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def tensor(name, shape, buffer=0, type=schema.TensorType.FLOAT32, scales=None):
    made = schema.TensorT()
    made.name, made.shape, made.buffer, made.type = name.encode(), shape, buffer, type
    if scales is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = scales
        made.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    return made


def buffer(data=None):
    made = schema.BufferT()
    made.data = None if data is None else np.frombuffer(data, np.uint8)
    return made


def code(kind):
    made = schema.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode, made.version = kind, min(kind, 127), 1
    return made


def operator(opcode, inputs, outputs, options=None):
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = opcode, inputs, outputs
    if options is not None:
        made.builtinOptions = options
        made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
    return made


def graph(tensors, operators, inputs, outputs):
    made = schema.SubGraphT()
    made.tensors, made.operators, made.inputs, made.outputs = tensors, operators, inputs, outputs
    made.name = b"main"
    return made


def make_root():
    """x -> ADD(x, constant) -> IF(flag, ...) -> y, with a signature and metadata."""
    branch = schema.IfOptionsT()
    branch.thenSubgraphIndex, branch.elseSubgraphIndex = 1, 1
    root = schema.ModelT()
    root.version = 3
    root.operatorCodes = [code(schema.BuiltinOperator.ADD), code(schema.BuiltinOperator.IF)]
    root.buffers = [buffer(), buffer(np.arange(4, dtype=np.float32).tobytes()), buffer(b"\1"), buffer(b"1.0\0")]
    tensors = [
        tensor("x", [1, 4]),
        tensor("c", [4], buffer=1, scales=np.ones(4, np.float32)),
        tensor("sum", [1, 4]),
        tensor("flag", [], buffer=2, type=schema.TensorType.BOOL),
        tensor("y", [1, 4]),
    ]
    operators = [operator(0, [0, 1], [2], schema.AddOptionsT()), operator(1, [3, 2], [4], branch)]
    root.subgraphs = [graph(tensors, operators, [0], [4]), graph([tensor("z", [1, 4])], [], [0], [0])]
    entry = schema.SignatureDefT()
    entry.signatureKey, entry.subgraphIndex = b"serving_default", 0
    entry.inputs, entry.outputs = [schema.TensorMapT(), schema.TensorMapT()][:1], [schema.TensorMapT()]
    entry.inputs[0].name, entry.inputs[0].tensorIndex = b"x", 0
    entry.outputs[0].name, entry.outputs[0].tensorIndex = b"y", 4
    root.signatureDefs = [entry]
    note = schema.MetadataT()
    note.name, note.buffer = b"min_runtime_version", 3
    root.metadata = [note]
    return root


def pack(root):
    builder = flatbuffers.Builder(1024)
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())
