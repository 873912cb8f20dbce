"""Models of one operator: each of an artifact's, to be asked about alone; a product, to see how a device computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.tflite_reader import read_buffers

KEY = "alone"
UNPACKS = ("DEQUANTIZE", "DENSIFY")  # what stands between a packed constant and the operator that it is a weight of


class Slices:
    """A file, parsed once. `operator` writes one of its operators as a model with the signature `alone`.

    Inputs are `in0`, `in1`, ... in the order of `inputs`, outputs `out0`, ....
    """

    def __init__(self, path: Path) -> None:
        self.root: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
        self.buffers = read_buffers(path)  # those behind the flatbuffer, too

    def inputs(self, subgraph: int, index: int) -> list[int]:
        """The tensors that the model of an operator takes, each once: inputs that are neither constant nor state."""
        graph = self.root.subgraphs[subgraph]
        made = {one for op in self._with_constants(graph, index) for one in op.outputs}
        taken = [int(one) for op in self._with_constants(graph, index) for one in op.inputs]
        fed = (one for one in taken if one >= 0 and one not in made and not self._stored(graph, one))
        return list(dict.fromkeys(one for one in fed if not graph.tensors[one].isVariable))

    def operator(self, subgraph: int, index: int) -> bytes:
        """The model of one operator, with the constants that it takes."""
        graph = self.root.subgraphs[subgraph]
        ops = self._with_constants(graph, index)
        used = dict.fromkeys(
            int(one) for op in ops for one in (*op.inputs, *op.outputs, *_intermediates(op)) if one >= 0
        )
        place = {old: new for new, old in enumerate(used)}
        part = schema.SubGraphT()
        part.name, part.operators = b"main", []
        model = schema.ModelT()
        model.version, model.description = 3, b"one operator"
        model.buffers, model.operatorCodes = [schema.BufferT()], []
        part.tensors = [self._tensor(graph.tensors[old], model.buffers) for old in used]
        for op in ops:
            part.operators.append(self._operator(op, place, model.operatorCodes))
        part.inputs = [place[one] for one in self.inputs(subgraph, index)]
        part.outputs = [place[int(one)] for one in graph.operators[index].outputs]
        model.subgraphs, model.signatureDefs = [part], [_signature(part)]
        return _packed(model)

    def _with_constants(self, graph: Any, index: int) -> list[Any]:
        """The operator, behind those that only unpack constants for it."""
        op = graph.operators[index]
        wanted = {int(one) for one in op.inputs if one >= 0}
        unpacking = [
            other
            for other in graph.operators[:index]
            if wanted & {int(one) for one in other.outputs}
            and self._name(other) in UNPACKS
            and all(self._stored(graph, int(one)) for one in other.inputs)
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


def product(size: int = 8) -> bytes:
    """A model that multiplies `in0` with `in1`, both float32 of shape (1, 1, 1, size), to `out0`."""
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
    model.operatorCodes, model.subgraphs, model.signatureDefs = [code], [part], [_signature(part)]
    return _packed(model)


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _signature(part: Any) -> Any:
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
