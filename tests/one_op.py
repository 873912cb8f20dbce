"""Models of one operator each, written as flatbuffers: what a table says of them is held against the real thing.

`write_model(case)` gives the bytes of a .tflite with one operator, a signature `serving_default` (inputs `in0`,
`in1`, ...; outputs `out0`, ...) and sensible scales where tensors are quantized. `CASES` are the set by name.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPE = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int4": schema.TensorType.INT4,  # two to a byte: values are given packed
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
}
NUMPY = {name: np.dtype({"int4": "int8"}.get(name, name)) for name in TYPE}
SCALES = {"int8": (1 / 32, 0), "uint8": (1 / 32, 128), "int16": (1 / 8192, 0)}
SAME, VALID = 0, 1
RELU, RELU_N1, RELU6, TANH = 1, 2, 3, 4


@dataclass(frozen=True)
class T:
    """A tensor. `values` makes it a constant; `real` quantizes them where the type is (a weight, not a parameter)."""

    shape: tuple[int, ...]
    type: str
    values: Any = None
    scale: float | None = None
    zero_point: int | None = None
    channels: int | None = None  # axis along which scales differ
    raw: bool = False  # integers that are indices or sizes: no scale
    state: bool = False  # a variable: it is kept from call to call, and is no input of the model


@dataclass(frozen=True)
class Case:
    """One operator. `options` are the fields of its builtin options, `kind` their class's name, "" for none.

    An `op` that the schema does not have is a custom one, `custom` its options; `intermediates` are an LSTM's.
    """

    name: str
    op: str
    inputs: tuple[T | None, ...]
    outputs: tuple[T, ...]
    kind: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    intermediates: tuple[T, ...] = ()
    custom: bytes = b""


def write_model(*cases: Case) -> bytes:
    """A .tflite with these operators, one after another: each but the first takes the one before's output as in0."""
    model = schema.ModelT()
    model.version, model.description = 3, b"one operator"
    model.buffers = [schema.BufferT()]
    model.operatorCodes, graph = [], schema.SubGraphT()
    graph.name, graph.tensors, graph.operators = b"main", [], []
    before: int | None = None
    given: list[int] = []
    for number, case in enumerate(cases):
        model.operatorCodes.append(operator_code(case))
        op = schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = number, [], []
        for place, one in enumerate(case.inputs):
            if place == 0 and before is not None:
                op.inputs.append(before)
                continue
            op.inputs.append(-1 if one is None else add_tensor(model, graph, one, f"{case.name}/in{place}"))
            if one is not None and one.values is None and not one.state:
                given.append(op.inputs[-1])
        op.outputs = [add_tensor(model, graph, one, f"{case.name}/out{at}") for at, one in enumerate(case.outputs)]
        op.intermediates = [
            add_tensor(model, graph, one, f"{case.name}/mid{at}") for at, one in enumerate(case.intermediates)
        ]
        set_options(op, case)
        graph.operators.append(op)
        before = op.outputs[0]
    graph.inputs, graph.outputs = given, list(op.outputs)
    model.subgraphs, model.signatureDefs = [graph], [sign(graph)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operator_code(case: Case) -> Any:
    code = schema.OperatorCodeT()
    builtin = getattr(schema.BuiltinOperator, case.op, schema.BuiltinOperator.CUSTOM)
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), case.version
    if builtin == schema.BuiltinOperator.CUSTOM:
        code.customCode = case.op.encode()
    return code


def set_options(op: Any, case: Case) -> None:
    if case.custom:
        op.customOptions = np.frombuffer(case.custom, np.uint8)
    if not case.kind:
        return
    options = getattr(schema, f"{case.kind}T")()
    for name, value in case.options.items():
        assert hasattr(options, name), (case.kind, name)
        setattr(options, name, value)
    op.builtinOptionsType = getattr(schema.BuiltinOptions, case.kind)
    op.builtinOptions = options


def add_tensor(model: Any, graph: Any, one: T, name: str) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name.encode(), list(one.shape), TYPE[one.type]
    if -1 in one.shape:
        tensor.shapeSignature, tensor.shape = list(one.shape), [abs(size) for size in one.shape]
    quantization = schema.QuantizationParametersT()
    weight = one.values is not None and one.channels is not None
    if one.scale is not None or (one.type in SCALES and not one.raw):
        scale, zero_point = SCALES.get(one.type, (1.0, 0))
        scale = scale if one.scale is None else one.scale
        count = one.shape[one.channels] if weight else 1
        quantization.scale = [scale] * count
        quantization.zeroPoint = [zero_point if one.zero_point is None else one.zero_point] * count
        quantization.quantizedDimension = one.channels or 0
    tensor.quantization, tensor.isVariable = quantization, one.state
    if one.values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.asarray(one.values, NUMPY[one.type]).tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def sign(graph: Any) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    for side, tensors in (("in", graph.inputs), ("out", graph.outputs)):
        maps = []
        for place, index in enumerate(tensors):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = f"{side}{place}".encode(), index
            maps.append(entry)
        setattr(signature, "inputs" if side == "in" else "outputs", maps)
    return signature


def weight(shape: tuple[int, ...], type: str, channels: int | None = None) -> T:
    """A stored tensor of random numbers."""
    generator = np.random.default_rng(zlib.crc32(repr((shape, type)).encode()))
    if type == "float32":
        return T(shape, type, generator.normal(size=shape).astype(np.float32) / 4)
    return T(shape, type, generator.integers(-127, 128, shape), scale=1 / 512, zero_point=0, channels=channels)


def bias(count: int, type: str) -> T:
    kind = {"float32": "float32", "int8": "int32", "int16": "int64"}[type]
    scale = None if kind == "float32" else SCALES[type][0] / 512
    return T(
        (count,), kind, np.zeros(count), scale=scale, zero_point=0 if scale else None, channels=0 if scale else None
    )


def ints(*values: int) -> T:
    """Stored int32 parameters: axes, sizes, paddings."""
    return T((len(values),), "int32", list(values), raw=True)


def pads(*pairs: tuple[int, int]) -> T:
    return T((len(pairs), 2), "int32", [list(pair) for pair in pairs], raw=True)
