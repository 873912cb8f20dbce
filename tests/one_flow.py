"""Models whose operators call subgraphs or keep a variable: IF, WHILE, CALL_ONCE, VAR_HANDLE and the rest of them.

`FLOWS` are by name: each gives the bytes of a .tflite for an element type and a shape.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from one_op import SCALES, T, add_tensor, sign

Shape = tuple[int, ...]


class Writer:
    """A model, subgraph by subgraph."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, b"subgraphs"
        self.model.buffers, self.model.operatorCodes, self.model.subgraphs = [schema.BufferT()], [], []

    def graph(self, name: str) -> Any:
        made = schema.SubGraphT()
        made.name, made.tensors, made.operators, made.inputs, made.outputs = name.encode(), [], [], [], []
        self.model.subgraphs.append(made)
        return made

    def tensor(self, graph: Any, one: T, name: str) -> int:
        return add_tensor(self.model, graph, one, name)

    def resource(self, graph: Any, name: str) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), [1], schema.TensorType.RESOURCE
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def op(self, graph: Any, name: str, inputs: list[int], outputs: list[int], kind: str = "", **options: Any) -> None:
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        builtin = getattr(schema.BuiltinOperator, name)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
        self.model.operatorCodes.append(code)
        made.opcodeIndex, made.inputs, made.outputs = len(self.model.operatorCodes) - 1, inputs, outputs
        if kind:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = getattr(schema, f"{kind}T")()
            for key, value in options.items():
                setattr(made.builtinOptions, key, value)
        graph.operators.append(made)

    def bytes(self) -> bytes:
        self.model.signatureDefs = [sign(self.model.subgraphs[0])]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def plain(shape: Shape, type: str, values: Any = None) -> T:
    scale, zero_point = SCALES.get(type, (None, None))
    return T(shape, type, values, scale, zero_point)


def branch(writer: Writer, name: str, type: str, shape: Shape) -> None:
    """x, or what x is next to itself."""
    graph = writer.graph(name)
    given, made = (writer.tensor(graph, plain(shape, type), f"{name}/{side}") for side in ("x", "y"))
    writer.op(graph, "MAXIMUM", [given, given], [made], "MaximumMinimumOptions")
    graph.inputs, graph.outputs = [given], [made]


def if_model(type: str, shape: Shape) -> bytes:
    """One of two branches."""
    writer = Writer()
    main = writer.graph("main")
    asked = writer.tensor(main, T((1,), "bool"), "asked")
    given, made = (writer.tensor(main, plain(shape, type), side) for side in ("x", "y"))
    writer.op(main, "IF", [asked, given], [made], "IfOptions", thenSubgraphIndex=1, elseSubgraphIndex=2)
    main.inputs, main.outputs = [asked, given], [made]
    branch(writer, "then", type, shape)
    branch(writer, "else", type, shape)
    return writer.bytes()


def while_model(type: str, shape: Shape) -> bytes:
    """A body that is run until a count is 3, beside a value that it only takes along."""
    writer = Writer()
    main = writer.graph("main")
    given = [writer.tensor(main, T((1,), "int32", raw=True), "n"), writer.tensor(main, plain(shape, type), "x")]
    made = [writer.tensor(main, T((1,), "int32", raw=True), "m"), writer.tensor(main, plain(shape, type), "y")]
    writer.op(main, "WHILE", given, made, "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    main.inputs, main.outputs = given, made
    asked = writer.graph("cond")
    count, value = (
        writer.tensor(asked, T((1,), "int32", raw=True), "c/n"),
        writer.tensor(asked, plain(shape, type), "c/x"),
    )
    limit = writer.tensor(asked, T((1,), "int32", [3], raw=True), "c/3")
    less = writer.tensor(asked, T((1,), "bool"), "c/less")
    writer.op(asked, "LESS", [count, limit], [less], "LessOptions")
    asked.inputs, asked.outputs = [count, value], [less]
    body = writer.graph("body")
    count, value = (
        writer.tensor(body, T((1,), "int32", raw=True), "b/n"),
        writer.tensor(body, plain(shape, type), "b/x"),
    )
    one = writer.tensor(body, T((1,), "int32", [1], raw=True), "b/1")
    more = writer.tensor(body, T((1,), "int32", raw=True), "b/m")
    same = writer.tensor(body, plain(shape, type), "b/y")
    writer.op(body, "ADD", [count, one], [more], "AddOptions")
    writer.op(body, "MAXIMUM", [value, value], [same], "MaximumMinimumOptions")
    body.inputs, body.outputs = [count, value], [more, same]
    return writer.bytes()


def variable_model(type: str, shape: Shape) -> bytes:
    """A variable that starts as a constant, is read, and then takes the input."""
    writer = Writer()
    main = writer.graph("main")
    held = writer.resource(main, "held")
    given, made = (writer.tensor(main, plain(shape, type), side) for side in ("x", "y"))
    writer.op(main, "CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    writer.op(main, "VAR_HANDLE", [], [held], "VarHandleOptions", sharedName=b"v", container=b"")
    writer.op(main, "READ_VARIABLE", [held], [made], "ReadVariableOptions")
    writer.op(main, "ASSIGN_VARIABLE", [held, given], [], "AssignVariableOptions")
    main.inputs, main.outputs = [given], [made]
    start = writer.graph("init")
    begun = writer.resource(start, "begun")
    zeros = writer.tensor(start, plain(shape, type, np.zeros(shape)), "zeros")
    writer.op(start, "VAR_HANDLE", [], [begun], "VarHandleOptions", sharedName=b"v", container=b"")
    writer.op(start, "ASSIGN_VARIABLE", [begun, zeros], [], "AssignVariableOptions")
    return writer.bytes()


FLOWS = {"IF": if_model, "WHILE": while_model, "VARIABLE": variable_model}
