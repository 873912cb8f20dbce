"""Branches whose condition is a constant, replaced by the function that they call. TFLiteConverter does the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from tflbuild.steps.folding.flat_graph import (
    FlatGraph,
    FlatNode,
    FunctionDef,
    NodeOutput,
    claim_name,
    flatten_function,
)

TWO_BRANCHES = ("If", "StatelessIf")
BRANCHES = (*TWO_BRANCHES, "Case", "StatelessCase")


@dataclass
class _BranchInlining:
    """The graph that is being made while branches are replaced.

    Attributes:
        library: The functions that nodes refer to, by name.
        keep_order: Whether the graph changes state.
        used_names: The names of all nodes and arguments.
        nodes: The new nodes.
        replaced: The outputs of replaced nodes, and the outputs that replace them.
        waits: The names of replaced nodes, and the nodes for which others wait instead.
    """

    library: Mapping[str, FunctionDef]
    keep_order: bool
    used_names: set[str]
    nodes: list[FlatNode] = field(default_factory=list)
    replaced: dict[NodeOutput, NodeOutput] = field(default_factory=dict)
    waits: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, port: NodeOutput) -> NodeOutput:
        """Return the output of the new graph for an output of the old one."""
        return self.replaced.get(port, port)

    def wait(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the nodes of the new graph to wait for, instead of nodes of the old one."""
        return tuple(dict.fromkeys(other for name in names for other in self.waits.get(name, (name,))))

    def keep(self, node: FlatNode) -> None:
        """Add a node that is not replaced."""
        self.nodes.append(replace(node, inputs=tuple(map(self.find, node.inputs)), after=self.wait(node.after)))

    def inline(self, node: FlatNode, function: FunctionDef) -> None:
        """Add the nodes of the function that a branch calls."""
        body = flatten_function(function, self.library, keep_order=self.keep_order)
        inner_outputs = dict(zip(map(NodeOutput, body.arguments), map(self.find, node.inputs[1:]), strict=True))
        names: dict[str, str] = {}
        for inner in body.nodes:
            names[inner.name] = claim_name(inner.name, self.used_names)
            definition = node_def_pb2.NodeDef()
            definition.CopyFrom(inner.definition)
            definition.name = names[inner.name]
            inputs = tuple(
                inner_outputs.get(port, NodeOutput(names.get(port.node, port.node), port.output))
                for port in inner.inputs
            )
            after = tuple(names[name] for name in inner.after if name in names) + self.wait(node.after)
            self.nodes.append(FlatNode(definition, inputs, after))
        for index, result in enumerate(function.signature.output_arg):
            port = body.outputs[result.name]
            self.replaced[NodeOutput(node.name, index)] = inner_outputs.get(port) or NodeOutput(
                names[port.node], port.output
            )
        last = tuple(names[name] for name in body.effects)
        self.waits[node.name] = last or self.wait(node.after)


def take_branches(graph: FlatGraph, library: Mapping[str, FunctionDef], *, keep_order: bool) -> FlatGraph | None:
    """Replace the branches whose condition is a constant by the nodes of the function that they call.

    Args:
        graph: The graph.
        library: The functions that nodes refer to, by name.
        keep_order: Whether the graph changes state.

    Returns:
        The new graph; None if no condition is a constant.
    """
    constants = {node.name: node for node in graph.nodes if node.op == "Const"}
    decided_branches = [node for node in graph.nodes if node.op in BRANCHES and node.inputs[0].node in constants]
    if not decided_branches:
        return None
    inlining = _BranchInlining(library, keep_order, {*graph.arguments, *(node.name for node in graph.nodes)})
    for node in graph.nodes:
        if node in decided_branches:
            inlining.inline(node, library[choose_function(node, constants[node.inputs[0].node])])
        else:
            inlining.keep(node)
    outputs = {name: inlining.find(port) for name, port in graph.outputs.items()}
    return replace(graph, nodes=tuple(inlining.nodes), outputs=outputs, effects=inlining.wait(graph.effects))


def choose_function(node: FlatNode, condition: FlatNode) -> str:
    """Return the name of the function that a branch calls, with TensorFlow's interpretation of the condition."""
    value: Any = tf.make_ndarray(condition.definition.attr["value"].tensor)
    if node.op in TWO_BRANCHES:
        # A condition that is not a scalar is true if it is not empty.
        is_true = bool(value) if value.ndim == 0 else value.size > 0
        return str(node.definition.attr["then_branch" if is_true else "else_branch"].func.name)
    functions = node.definition.attr["branches"].list.func
    # An index out of range selects the last branch.
    index = int(value)
    return str(functions[index if 0 <= index < len(functions) else -1].name)
