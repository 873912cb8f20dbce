"""Make nodes of TensorFlow graphs as protocol buffers, and graphs and functions of nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2, versions_pb2
from tensorflow.python.framework import op_def_registry

from tflbuild.steps.folding.flat_graph import (
    FlatGraph,
    FlatNode,
    FunctionDef,
    NodeDef,
    NodeOutput,
    name_output,
    read_attribute,
)

PRODUCER = tf.version.GRAPH_DEF_VERSION


def make_constant(name: str, array: np.ndarray) -> NodeDef:
    """Return a Const node that holds an array."""
    node = node_def_pb2.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.dtypes.as_dtype(array.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    return node


def make_node(name: str, op: str, inputs: Iterable[NodeOutput], **types: Any) -> FlatNode:
    """Return a node whose attributes are types."""
    node = node_def_pb2.NodeDef(name=name, op=op)
    for key, dtype in types.items():
        node.attr[key].type = tf.dtypes.as_dtype(dtype).as_datatype_enum
    return FlatNode(node, tuple(inputs))


def output_types(node: NodeDef) -> Iterator[tf.DType]:
    """Yield the dtype of each output of a node."""
    for argument in op_def_registry.get(node.op).output_arg:
        if argument.type_list_attr:
            yield from map(tf.dtypes.as_dtype, read_attribute(node, argument.type_list_attr).list.type)
            continue
        count = int(read_attribute(node, argument.number_attr).i) if argument.number_attr else 1
        dtype = read_attribute(node, argument.type_attr).type if argument.type_attr else argument.type
        yield from [tf.dtypes.as_dtype(dtype)] * count


def to_graph_def(graph: FlatGraph, library: Iterable[FunctionDef]) -> Any:
    """Return the nodes as a GraphDef. It has no nodes for arguments: `import_graph_def` must map them to tensors."""
    made = graph_pb2.GraphDef(versions=versions_pb2.VersionDef(producer=PRODUCER))
    for node in graph.nodes:
        definition = made.node.add()
        definition.CopyFrom(node.definition)
        definition.input.extend(str(port) for port in node.inputs)
        definition.input.extend(f"^{name}" for name in node.after)
    made.library.function.extend(library)
    return made


def to_function(graph: FlatGraph, like: FunctionDef, name: str) -> FunctionDef:
    """Return the nodes as a function with the signature of another one."""
    made = function_pb2.FunctionDef()
    made.signature.CopyFrom(like.signature)
    made.signature.name = name
    del made.signature.control_output[:]
    for key, value in like.attr.items():
        made.attr[key].CopyFrom(value)
    for index, attributes in like.arg_attr.items():
        made.arg_attr[index].CopyFrom(attributes)
    by_name = {node.name: node for node in graph.nodes}

    def refer(port: NodeOutput) -> str:
        return name_output(by_name[port.node].definition, port.output) if port.node in by_name else port.node

    for node in graph.nodes:
        definition = made.node_def.add()
        definition.CopyFrom(node.definition)
        definition.input.extend(refer(port) for port in node.inputs)
        definition.input.extend(f"^{name}" for name in node.after)
    for result, port in graph.outputs.items():
        made.ret[result] = refer(port)
    for effect in graph.effects:
        made.control_ret[effect] = effect
        made.signature.control_output.append(effect)
    return made


def called_functions(node: NodeDef, library: Mapping[str, FunctionDef]) -> list[FunctionDef]:
    """Return the functions that a node names in its attributes."""
    names = []
    for value in node.attr.values():
        names += [value.func.name] if value.HasField("func") else [call.name for call in value.list.func]
    return [library[name] for name in names if name in library]


def reachable_functions(nodes: Iterable[NodeDef], library: Mapping[str, FunctionDef]) -> list[FunctionDef]:
    """Return the functions that nodes call, directly or not, by name."""
    reachable: dict[str, FunctionDef] = {}
    waiting = list(nodes)
    while waiting:
        for function in called_functions(waiting.pop(), library):
            if function.signature.name not in reachable:
                reachable[function.signature.name] = function
                waiting.extend(function.node_def)
    return [reachable[name] for name in sorted(reachable)]
