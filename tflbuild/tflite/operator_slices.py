"""Models of one operator: each operator of an artifact on its own, and a product that shows how a device computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.tflite_reader import read_buffers

KEY = "alone"
# Operators between a packed constant and the operator that reads it as weights.
UNPACKS = ("DEQUANTIZE", "DENSIFY")


class Slices:
    """A parsed file, of which each operator can be written as a model of its own with the signature `alone`.

    Inputs are named `in0`, `in1`, ... in the order of `inputs`, and outputs `out0`, ....
    """

    def __init__(self, path: Path) -> None:
        self.root: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
        self.buffers = read_buffers(path)  # those behind the flatbuffer, too

    def inputs(self, subgraph: int, index: int) -> list[int]:
        """Return the input tensors of an operator's model, each once: inputs that are neither constant nor state."""
        graph = self.root.subgraphs[subgraph]
        produced = {tensor for op in self._with_constants(graph, index) for tensor in op.outputs}
        read_indices = [int(tensor) for op in self._with_constants(graph, index) for tensor in op.inputs]
        external = (
            tensor
            for tensor in read_indices
            if tensor >= 0 and tensor not in produced and not self._stored(graph, tensor)
        )
        return list(dict.fromkeys(tensor for tensor in external if not graph.tensors[tensor].isVariable))

    def operator(self, subgraph: int, index: int) -> bytes:
        """Return the model of one operator, with the constants that it reads."""
        graph = self.root.subgraphs[subgraph]
        ops = self._with_constants(graph, index)
        used = dict.fromkeys(
            int(tensor) for op in ops for tensor in (*op.inputs, *op.outputs, *_intermediates(op)) if tensor >= 0
        )
        new_indices = {old: new for new, old in enumerate(used)}
        part = schema.SubGraphT()
        part.name, part.operators = b"main", []
        model = schema.ModelT()
        model.version, model.description = 3, b"one operator"
        model.buffers, model.operatorCodes = [schema.BufferT()], []
        part.tensors = [self._tensor(graph.tensors[old], model.buffers) for old in used]
        for op in ops:
            part.operators.append(self._operator(op, new_indices, model.operatorCodes))
        part.inputs = [new_indices[tensor] for tensor in self.inputs(subgraph, index)]
        part.outputs = [new_indices[int(tensor)] for tensor in graph.operators[index].outputs]
        model.subgraphs, model.signatureDefs = [part], [_make_signature(part)]
        return _serialize(model)

    def _with_constants(self, graph: Any, index: int) -> list[Any]:
        """Return the operator, preceded by those that unpack constants for it."""
        op = graph.operators[index]
        read_indices = {int(tensor) for tensor in op.inputs if tensor >= 0}
        unpacking = [
            other
            for other in graph.operators[:index]
            if read_indices & {int(tensor) for tensor in other.outputs}
            and self._name(other) in UNPACKS
            and all(self._stored(graph, int(tensor)) for tensor in other.inputs)
        ]
        return [*unpacking, op]

    def _name(self, op: Any) -> str:
        code = self.root.operatorCodes[op.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        return next((name for name in UNPACKS if getattr(schema.BuiltinOperator, name) == number), "")

    def _stored(self, graph: Any, index: int) -> bool:
        return len(self.buffers[graph.tensors[index].buffer]) > 0

    def _tensor(self, tensor: Any, buffers: list[Any]) -> Any:
        copy = schema.TensorT()
        vars(copy).update(vars(tensor))
        data = self.buffers[tensor.buffer]
        copy.buffer = 0
        if data:
            buffers.append(schema.BufferT())
            buffers[-1].data = np.frombuffer(data, np.uint8)
            copy.buffer = len(buffers) - 1
        return copy

    def _operator(self, op: Any, place: dict[int, int], codes: list[Any]) -> Any:
        copy = schema.OperatorT()
        vars(copy).update(vars(op))
        codes.append(self.root.operatorCodes[op.opcodeIndex])
        copy.opcodeIndex = len(codes) - 1
        copy.inputs = [place.get(int(one), -1) for one in op.inputs]
        copy.outputs = [place[int(one)] for one in op.outputs]
        copy.intermediates = [place[int(one)] for one in _intermediates(op)] or None
        return copy


def _intermediates(op: Any) -> list[int]:
    return [] if op.intermediates is None else [int(one) for one in op.intermediates]


def make_product_model(size: int = 8) -> bytes:
    """Return a model that multiplies `in0` and `in1`, both float32 of shape (1, 1, 1, size). The output is `out0`."""
    model, part = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers = 3, [schema.BufferT()]
    code, op = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MUL
    code.version = 1
    part.tensors = []
    for name in (b"a", b"b", b"product"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, [1, 1, 1, size], schema.TensorType.FLOAT32
        part.tensors.append(tensor)
    op.opcodeIndex, op.inputs, op.outputs = 0, [0, 1], [2]
    op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    part.name, part.operators, part.inputs, part.outputs = b"main", [op], [0, 1], [2]
    model.operatorCodes, model.subgraphs, model.signatureDefs = [code], [part], [_make_signature(part)]
    return _serialize(model)


def _serialize(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _make_signature(part: Any) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = KEY.encode(), 0
    for side, tensors in (("in", part.inputs), ("out", part.outputs)):
        maps = []
        for number, index in enumerate(tensors):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = f"{side}{number}".encode(), index
            maps.append(entry)
        setattr(signature, f"{side}puts", maps)
    return signature
