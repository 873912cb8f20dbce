"""The shapes of tensors that folding asks for, as TensorFlow infers them.

`list_measured_ports` has them all: a new operator that folding asks about belongs there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import tensorflow as tf

from tflbuild.steps.folding.batch_norm import BATCH_NORMS
from tflbuild.steps.folding.constant_branches import BRANCHES
from tflbuild.steps.folding.constant_values import Bound, VariableHandle
from tflbuild.steps.folding.flat_graph import FlatGraph, NodeOutput, prune, read_attribute
from tflbuild.steps.folding.graph_nodes import LOOPS, add_nodes

SHAPES = ("Shape", "ShapeN", "Size", "Rank")
# Operators that fill a tensor of the shape of their input, with this value.
FILLED = {"ZerosLike": 0, "OnesLike": 1}


def learn_shapes(
    graph: FlatGraph, bound: Mapping[str, Bound], specs: Mapping[str, Any], library: Mapping[str, Any]
) -> dict[NodeOutput, Any]:
    """Return the shapes of the tensors of a graph that folding asks for, which TensorFlow infers.

    Inference needs only the nodes before these tensors. The others are left out, because adding a node to a graph of
    TensorFlow takes about as long as all the rest of its folding.

    Args:
        graph: The graph.
        bound: The arguments whose values are known.
        specs: The shapes and types of all arguments.
        library: The functions that nodes refer to, by name.
    """
    scratch = tf.Graph()
    needed = {str(port): port for port in list_measured_ports(graph)}
    with scratch.as_default():
        feeds = {name: placeholder(spec, bound.get(name)) for name, spec in specs.items()}
        add_nodes(prune(replace(graph, outputs=needed, effects=())), feeds, library)
    shapes = {NodeOutput(name): feed.shape for name, feed in feeds.items()}
    for operation in scratch.get_operations():
        for index, tensor in enumerate(operation.outputs):
            shapes.setdefault(NodeOutput(operation.name, index), tensor.shape)
    return shapes


def list_measured_ports(graph: FlatGraph) -> Iterator[NodeOutput]:
    """Yield the tensors whose shapes decide how a node is folded."""
    for node in graph.nodes:
        if node.op in (*SHAPES, *FILLED, *LOOPS, *BRANCHES):
            yield from node.inputs
        # A batch normalization of channels first needs the rank of its input.
        elif node.op in BATCH_NORMS and read_attribute(node.definition, "data_format").s.startswith(b"NC"):
            yield node.inputs[0]


def placeholder(spec: Any, bound: Bound | None) -> Any:
    """Return a placeholder for an argument. For a known variable, it is a handle with the shape of the variable."""
    if not isinstance(bound, VariableHandle):
        return tf.compat.v1.placeholder(spec.dtype, spec.shape, name="argument")
    variable = bound.variable
    return tf.raw_ops.VarHandleOp(dtype=variable.dtype, shape=variable.shape, shared_name="argument")
