"""Nodes, graphs and functions of TensorFlow as protocol buffers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2, versions_pb2
from tensorflow.python.framework import op_def_registry

from tflbuild.steps.folding.constant_branches import BRANCHES
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
LOOPS = ("While", "StatelessWhile")
# Tensors of these types have no value that could be stored.
UNVALUED = (tf.resource, tf.variant)


def make_constant(name: str, array: np.ndarray) -> NodeDef:
    """Return a Const node with the value of an array."""
    node = node_def_pb2.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.dtypes.as_dtype(array.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    return node


def make_node(name: str, op: str, inputs: Iterable[NodeOutput], **types: Any) -> FlatNode:
    """Return a node. All of its attributes (`types`) are types."""
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
    """Return a flat graph as a GraphDef. It has no nodes for arguments: `import_graph_def` must map them to tensors."""
    graph_def = graph_pb2.GraphDef(versions=versions_pb2.VersionDef(producer=PRODUCER))
    for node in graph.nodes:
        definition = graph_def.node.add()
        definition.CopyFrom(node.definition)
        definition.input.extend(str(port) for port in node.inputs)
        definition.input.extend(f"^{name}" for name in node.after)
    graph_def.library.function.extend(library)
    return graph_def


def to_function(graph: FlatGraph, like: FunctionDef, name: str) -> FunctionDef:
    """Return a flat graph as a FunctionDef with a new name.

    Args:
        graph: The graph.
        like: The function whose signature and attributes the new one gets.
        name: The name of the new function.
    """
    function = function_pb2.FunctionDef()
    function.signature.CopyFrom(like.signature)
    function.signature.name = name
    del function.signature.control_output[:]
    for key, value in like.attr.items():
        function.attr[key].CopyFrom(value)
    for index, attributes in like.arg_attr.items():
        function.arg_attr[index].CopyFrom(attributes)
    by_name = {node.name: node for node in graph.nodes}

    def refer(port: NodeOutput) -> str:
        return name_output(by_name[port.node].definition, port.output) if port.node in by_name else port.node

    for node in graph.nodes:
        definition = function.node_def.add()
        definition.CopyFrom(node.definition)
        definition.input.extend(refer(port) for port in node.inputs)
        definition.input.extend(f"^{name}" for name in node.after)
    for result, port in graph.outputs.items():
        function.ret[result] = refer(port)
    for effect in graph.effects:
        function.control_ret[effect] = effect
        function.signature.control_output.append(effect)
    return function


def called_functions(node: NodeDef, library: Mapping[str, FunctionDef]) -> list[FunctionDef]:
    """Return the functions that a node names in its attributes."""
    names = []
    for value in node.attr.values():
        names += [value.func.name] if value.HasField("func") else [call.name for call in value.list.func]
    return [library[name] for name in names if name in library]


def reachable_functions(nodes: Iterable[NodeDef], library: Mapping[str, FunctionDef]) -> list[FunctionDef]:
    """Return the functions that nodes call, directly or indirectly, sorted by name."""
    reachable: dict[str, FunctionDef] = {}
    waiting = list(nodes)
    while waiting:
        for function in called_functions(waiting.pop(), library):
            if function.signature.name not in reachable:
                reachable[function.signature.name] = function
                waiting.extend(function.node_def)
    return [reachable[name] for name in sorted(reachable)]


def add_nodes(graph: FlatGraph, feeds: Mapping[str, Any], library: Mapping[str, Any]) -> list[Any]:
    """Add the nodes of a graph to TensorFlow's current graph, and return the outputs.

    Args:
        graph: The graph.
        feeds: A tensor for each argument.
        library: The functions that nodes refer to, by name.
    """
    definitions = [node.definition for node in graph.nodes]
    imported = to_graph_def(graph, reachable_functions(definitions, library))
    outputs = list(graph.outputs.values())
    computed = [str(port) for port in outputs if port.node not in feeds]
    by_port = {str(NodeOutput(name)): feed for name, feed in feeds.items()}
    used = {str(port) for node in graph.nodes for port in node.inputs} & by_port.keys()
    results = iter(
        tf.graph_util.import_graph_def(imported, {key: by_port[key] for key in used}, return_elements=computed, name="")
        or []
    )
    return [feeds[port.node] if port.node in feeds else next(results) for port in outputs]


def is_pure(node: FlatNode, *, texts: bool = False) -> bool:
    """Return whether a node's outputs depend only on its inputs. Nodes with string outputs count if `texts` is set."""
    definition = op_def_registry.get(node.op)
    if definition is None or definition.is_stateful or node.op in (*LOOPS, *BRANCHES):
        return False
    unvalued = UNVALUED if texts else (*UNVALUED, tf.string)
    return not any(dtype in unvalued for dtype in output_types(node.definition))


def size_type(node: FlatNode) -> Any:
    """Return the NumPy type of the sizes that a node returns."""
    return tf.dtypes.as_dtype(read_attribute(node.definition, "out_type").type).as_numpy_dtype
