"""Branches whose condition is a constant, replaced by the function that is taken: TFLiteConverter does the same."""

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
    find_free_name,
    flatten_function,
)

TWO_BRANCHES = ("If", "StatelessIf")
BRANCHES = (*TWO_BRANCHES, "Case", "StatelessCase")


@dataclass
class _Replacing:
    """What the nodes of a graph become. `moved` says where outputs of replaced nodes are now, `waits` who runs last."""

    library: Mapping[str, FunctionDef]
    keep_order: bool
    taken: set[str]
    nodes: list[FlatNode] = field(default_factory=list)
    moved: dict[NodeOutput, NodeOutput] = field(default_factory=dict)
    waits: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, port: NodeOutput) -> NodeOutput:
        """Return where an output is now."""
        return self.moved.get(port, port)

    def wait(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return what now stands for the nodes that something waits for."""
        return tuple(dict.fromkeys(other for name in names for other in self.waits.get(name, (name,))))

    def keep(self, node: FlatNode) -> None:
        """Add a node that stays."""
        self.nodes.append(replace(node, inputs=tuple(map(self.find, node.inputs)), after=self.wait(node.after)))

    def inline(self, node: FlatNode, function: FunctionDef) -> None:
        """Add the nodes of the function that a branch takes."""
        body = flatten_function(function, self.library, keep_order=self.keep_order)
        moved = dict(zip(map(NodeOutput, body.arguments), map(self.find, node.inputs[1:]), strict=True))
        names: dict[str, str] = {}
        for inner in body.nodes:
            names[inner.name] = find_free_name(inner.name, self.taken)
            self.taken.add(names[inner.name])
            definition = node_def_pb2.NodeDef()
            definition.CopyFrom(inner.definition)
            definition.name = names[inner.name]
            inputs = tuple(
                moved.get(port, NodeOutput(names.get(port.node, port.node), port.output)) for port in inner.inputs
            )
            after = tuple(names[name] for name in inner.after if name in names) + self.wait(node.after)
            self.nodes.append(FlatNode(definition, inputs, after))
        for index, result in enumerate(function.signature.output_arg):
            port = body.outputs[result.name]
            self.moved[NodeOutput(node.name, index)] = moved.get(port) or NodeOutput(names[port.node], port.output)
        last = tuple(names[name] for name in body.effects)
        self.waits[node.name] = last or self.wait(node.after)


def take_branches(graph: FlatGraph, library: Mapping[str, FunctionDef], *, keep_order: bool) -> FlatGraph | None:
    """Return a graph in which branches with a constant condition are the nodes of what they take; None without any."""
    constants = {node.name: node for node in graph.nodes if node.op == "Const"}
    decided = [node for node in graph.nodes if node.op in BRANCHES and node.inputs[0].node in constants]
    if not decided:
        return None
    made = _Replacing(library, keep_order, {*graph.arguments, *(node.name for node in graph.nodes)})
    for node in graph.nodes:
        if node in decided:
            made.inline(node, library[choose_function(node, constants[node.inputs[0].node])])
        else:
            made.keep(node)
    outputs = {name: made.find(port) for name, port in graph.outputs.items()}
    return replace(graph, nodes=tuple(made.nodes), outputs=outputs, effects=made.wait(graph.effects))


def choose_function(node: FlatNode, condition: FlatNode) -> str:
    """Return the name of the function that a branch takes, as TensorFlow reads its condition."""
    value: Any = tf.make_ndarray(condition.definition.attr["value"].tensor)
    if node.op in TWO_BRANCHES:
        true = bool(value) if value.ndim == 0 else value.size > 0
        return str(node.definition.attr["then_branch" if true else "else_branch"].func.name)
    functions = node.definition.attr["branches"].list.func
    index = int(value)
    return str(functions[index if 0 <= index < len(functions) else -1].name)
