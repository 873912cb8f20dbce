"""Constant folding of traced functions. The snapshot contains the folded functions for TFLiteConverter."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.steps.folding.constant_folding import Folding, fold_graph
from tflbuild.steps.folding.constant_values import Bound, KnownValue, VariableHandle
from tflbuild.steps.folding.flat_graph import (
    FlatGraph,
    flatten_concrete,
    flatten_function,
    has_cycle,
)
from tflbuild.steps.folding.graph_nodes import add_nodes, called_functions, reachable_functions
from tflbuild.steps.folding.shape_inference import SHAPES

READERS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape", "VarIsInitializedOp")
LARGE_BYTES = 2**20
# Folding may make shapes known, with which the next round finds more constants.
MAX_ROUNDS = 3


@dataclass(frozen=True)
class FoldedFunction:
    """A function whose constants are folded.

    Attributes:
        concrete: The ConcreteFunction.
        unfolded: The operators on constants that it still contains.
        stored: The variables that contain its large constants.
        functions: The names of the functions of its loops and branches.
    """

    concrete: Any
    unfolded: frozenset[CpuDependence]
    stored: tuple[Any, ...]
    functions: frozenset[str]


def fold_concrete(
    concrete: Any, written: frozenset[int], *, other_functions: Collection[str] = (), keep_order: bool
) -> FoldedFunction:
    """Fold the operators of a concrete function that depend only on constants and on variables that are never written.

    Args:
        concrete: A ConcreteFunction whose structured outputs are a flat dict.
        written: The ids of the handles of variables that some entry point of the model writes.
        other_functions: The names of functions of other entry points, which are in the same SavedModel.
        keep_order: Whether the function changes state.

    Returns:
        A function with the same inputs and outputs by name.
    """
    library = {function.signature.name: function for function in concrete.graph.as_graph_def().library.function}
    captures = read_captures(concrete)
    shared = Folding(library, other_functions, keep_order)
    graph = flatten_concrete(concrete, keep_order=keep_order)
    bound = {name: value for name, tensor in captures.items() if (value := bind(concrete, tensor, written)) is not None}
    specs = {tensor.op.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in concrete.inputs}
    for _ in range(MAX_ROUNDS):
        shared.unfolded.clear()
        folded = fold_graph(shared, graph, bound, specs)
        if len(folded.nodes) == len(graph.nodes) or not any(node.op in SHAPES for node in folded.nodes):
            break
        graph = folded
    stored = store_large(folded)
    function = rebuild(concrete, folded, captures, library, stored)
    return FoldedFunction(function, frozenset(shared.unfolded), tuple(stored.values()), frozenset(shared.functions))


def read_captures(concrete: Any) -> dict[str, Any]:
    """Return the tensors that a function captures, by the names of its inputs for them."""
    count = len(concrete.inputs) - len(concrete.captured_inputs)
    return {
        tensor.op.name: captured
        for tensor, captured in zip(concrete.inputs[count:], concrete.captured_inputs, strict=True)
    }


def bind(concrete: Any, tensor: Any, written: frozenset[int]) -> Bound | None:
    """Return the variable or the value of a captured tensor; None if some entry point may change it."""
    if tensor.dtype in (tf.resource, tf.variant):
        if id(tensor) in written:
            return None
        return next(
            (VariableHandle(variable) for variable in concrete.graph.variables if variable.handle is tensor), None
        )
    return None if tensor.dtype == tf.string else KnownValue(tensor.numpy)


def store_large(folded: FlatGraph) -> dict[str, Any]:
    """Return a variable for every large constant, by the name of its node. A GraphDef is limited to 2 GB."""
    large = {}
    for node in folded.nodes:
        if node.op == "Const" and node.definition.attr["value"].tensor.ByteSize() >= LARGE_BYTES:
            array = tf.make_ndarray(node.definition.attr["value"].tensor)
            if array.dtype != object:
                large[node.name] = tf.Variable(array, trainable=False)
    return large


def rebuild(
    concrete: Any,
    graph: FlatGraph,
    captures: Mapping[str, Any],
    library: Mapping[str, Any],
    stored: Mapping[str, Any],
) -> Any:
    """Return a graph as a concrete function.

    Args:
        concrete: The function that was folded, whose inputs the new one has.
        graph: The folded graph.
        captures: The tensors that `concrete` captures, by the names of its inputs for them.
        library: The functions that nodes refer to, by name.
        stored: The variables that replace constants, by the names of the constants.
    """
    count = len(concrete.inputs) - len(captures)
    arguments = [tensor.op.name for tensor in concrete.inputs[:count]]
    variables = {id(variable.handle): variable for variable in concrete.graph.variables}
    needed = {port.node for node in graph.nodes for port in node.inputs} | {p.node for p in graph.outputs.values()}

    def function(*tensors: Any) -> dict[str, Any]:
        current = tf.compat.v1.get_default_graph()
        feeds = dict(zip(arguments, tensors, strict=True))
        for name, tensor in captures.items():
            if name in needed:
                if id(tensor) in variables:
                    current.watch_variable(variables[id(tensor)])
                feeds[name] = current.capture(tensor)
        for name, variable in stored.items():
            current.watch_variable(variable)
            handle = current.capture(variable.handle)
            feeds[name] = tf.raw_ops.ReadVariableOp(resource=handle, dtype=variable.dtype, name=name)
        rest = replace(graph, nodes=tuple(node for node in graph.nodes if node.name not in stored))
        return dict(zip(graph.outputs, add_nodes(rest, feeds, library), strict=True))

    for definition in reachable_functions([node.definition for node in graph.nodes], library):
        register(definition)
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.op.name) for tensor in concrete.inputs[:count]]
    return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()


def register(definition: Any) -> None:
    """Register a function in TensorFlow's runtime. It replaces a function of the same name."""
    running = context.context()
    running.ensure_initialized()
    if running.has_function(definition.signature.name):
        running.remove_function(definition.signature.name)
    running.add_function_def(definition)


def find_written(concrete: Any) -> frozenset[int]:
    """Return the ids of the handles of captured variables that a function may write."""
    library = {function.signature.name: function for function in concrete.graph.as_graph_def().library.function}
    graph = flatten_concrete(concrete, keep_order=True)
    names = written_arguments(graph, library)
    return frozenset(id(tensor) for name, tensor in read_captures(concrete).items() if name in names)


def written_arguments(graph: FlatGraph, library: Mapping[str, Any]) -> set[str]:
    """Return the arguments of a graph that a node may write: those that operators other than `READERS` use."""
    arguments = set(graph.arguments)
    written = set()
    for node in graph.nodes:
        used = [(index, port.node) for index, port in enumerate(node.inputs) if port.node in arguments]
        if not used or node.op in READERS:
            continue
        functions = called_functions(node.definition, library)
        if not functions or any(has_cycle(function) for function in functions):
            written |= {name for _, name in used}
            continue
        skipped = len(node.inputs) - len(functions[0].signature.input_arg)
        for function in functions:
            inner = flatten_function(function, library, keep_order=True)
            within = written_arguments(inner, library)
            written |= {name for index, name in used if index >= skipped and inner.arguments[index - skipped] in within}
    return written
