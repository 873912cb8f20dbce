"""Flatten a traced TensorFlow function into one list of nodes.

Called functions are inlined: their nodes take the place of the call, without the call's name as a prefix. Functions of
loops and branches stay functions. So do functions with attributes that TFLiteConverter reads, such as the fused LSTM.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tensorflow.core.framework import attr_value_pb2, node_def_pb2
from tensorflow.python.framework import op_def_registry

from tflbuild.runtime.step_contract import WorkerError

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
PASSES = ("Identity", "IdentityN", "StopGradient", "PreventGradient", "Snapshot")
KEPT_ATTRIBUTES = ("api_implements", "_implements", "api_preferred_device", "time_major", "go_backwards")
# Attributes that refer to the graph from which a node is taken, or that shape inference computes again
LEFT_OUT = ("_class", "_output_shapes", "_gradient_op_type", "_XlaMustCompile")

NodeDef = Any  # tensorflow.NodeDef
FunctionDef = Any  # tensorflow.FunctionDef


@dataclass(frozen=True)
class NodeOutput:
    """An output of a node; or an argument of the function, with `output` 0."""

    node: str
    output: int = 0

    def __str__(self) -> str:
        return f"{self.node}:{self.output}"


@dataclass(frozen=True)
class FlatNode:
    """A node with its inputs as ports. `after` names nodes that must run before it, where state changes."""

    definition: NodeDef
    inputs: tuple[NodeOutput, ...]
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The node's name, unique in its graph."""
        return str(self.definition.name)

    @property
    def op(self) -> str:
        """The TensorFlow operator."""
        return str(self.definition.op)


@dataclass(frozen=True)
class FlatGraph:
    """Nodes in an order in which they can run, the names of the arguments, and the outputs by name."""

    arguments: tuple[str, ...]
    nodes: tuple[FlatNode, ...]
    outputs: Mapping[str, NodeOutput]
    effects: tuple[str, ...] = ()  # nodes that run whether or not an output needs them


@dataclass
class _Inlining:
    """The graph that is being made while functions are inlined into it."""

    library: Mapping[str, FunctionDef]
    keep_order: bool
    taken: set[str] = field(default_factory=set)
    nodes: list[FlatNode] = field(default_factory=list)

    def name(self, wanted: str) -> str:
        """Return a name that no node has yet."""
        name = find_free_name(wanted, self.taken)
        self.taken.add(name)
        return name

    def inline(
        self,
        nodes: Sequence[NodeDef],
        arguments: Mapping[str, NodeOutput],
        after: tuple[str, ...] = (),
        bindings: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, tuple[NodeOutput, ...]], dict[str, tuple[str, ...]]]:
        """Add the nodes of one body.

        Args:
            nodes: The body's nodes, in any order.
            arguments: The port in the new graph that each of its arguments is.
            after: Nodes that run before every node of the body.
            bindings: The values of the attributes of the body's function, if it has attributes.

        Returns:
            The outputs of each node of the body; and for each node, the new nodes to wait for where another node waits
            for it.
        """
        ports: dict[str, tuple[NodeOutput, ...]] = {name: (port,) for name, port in arguments.items()}
        waits: dict[str, tuple[str, ...]] = dict.fromkeys(arguments, ())
        by_name = {node.name: node for node in nodes}
        for node in sort_nodes(nodes):
            node = bind_attributes(node, bindings)
            inputs = tuple(self.port(text, ports, by_name) for text in node.input if not text.startswith("^"))
            controls = tuple(w for text in node.input if text.startswith("^") for w in waits[text[1:]]) + after
            controls = tuple(dict.fromkeys(controls)) if self.keep_order else ()
            if node.op in PASSES and not controls:
                ports[node.name], waits[node.name] = inputs, tuple(dict.fromkeys(port.node for port in inputs))
            elif node.op in CALLS and can_inline(self.library[node.attr["f"].func.name]):
                ports[node.name], waits[node.name] = self.call(node, inputs, controls)
            else:
                added = self.add(node, inputs, controls)
                ports[node.name] = tuple(NodeOutput(added, index) for index in range(count_outputs(node)))
                waits[node.name] = (added,)
        return ports, waits

    def port(
        self, text: str, ports: Mapping[str, tuple[NodeOutput, ...]], by_name: Mapping[str, NodeDef]
    ) -> NodeOutput:
        """Return what an input of a node refers to."""
        name = text.partition(":")[0]
        return ports[name][find_output(by_name[name], text) if name in by_name else 0]

    def add(self, node: NodeDef, inputs: tuple[NodeOutput, ...], controls: tuple[str, ...]) -> str:
        """Add a node as it is, and return its name."""
        definition = node_def_pb2.NodeDef()
        definition.CopyFrom(node)
        definition.name = self.name(node.name)
        del definition.input[:]
        for name in LEFT_OUT:
            definition.attr.pop(name, None)
        definition.ClearField("experimental_debug_info")
        definition.device = ""
        self.nodes.append(FlatNode(definition, inputs, controls))
        return str(definition.name)

    def call(
        self, node: NodeDef, inputs: tuple[NodeOutput, ...], controls: tuple[str, ...]
    ) -> tuple[tuple[NodeOutput, ...], tuple[str, ...]]:
        """Add the body of a called function in place of the call."""
        function = self.library[node.attr["f"].func.name]
        arguments = dict(zip((argument.name for argument in function.signature.input_arg), inputs, strict=True))
        ports, waits = self.inline(function.node_def, arguments, controls, node.attr["f"].func.attr)
        by_name = {inner.name: inner for inner in function.node_def}
        returned = tuple(
            self.port(function.ret[result.name], ports, by_name) for result in function.signature.output_arg
        )
        last = [w for name in function.control_ret.values() for w in waits[name]]
        return returned, tuple(dict.fromkeys((*last, *(port.node for port in returned))))


def flatten_concrete(concrete: Any, *, keep_order: bool) -> FlatGraph:
    """Return a concrete function as a flat graph. Its arguments are the function's inputs, captured ones included.

    Args:
        concrete: A ConcreteFunction.
        keep_order: Keep the order of nodes that change state, and run those that no output needs.
    """
    definition = concrete.graph.as_graph_def()
    library = {function.signature.name: function for function in definition.library.function}
    names = tuple(tensor.op.name for tensor in concrete.inputs)
    body = [node for node in definition.node if node.name not in names]
    outputs = {name: tensor.name for name, tensor in sorted(concrete.structured_outputs.items())}
    effects = [operation.name for operation in concrete.graph.control_outputs]
    return _flatten(_Inlining(library, keep_order, set(names)), names, body, outputs, effects)


def flatten_function(function: FunctionDef, library: Mapping[str, FunctionDef], *, keep_order: bool) -> FlatGraph:
    """Return the body of a loop or a branch as a flat graph."""
    names = tuple(argument.name for argument in function.signature.input_arg)
    outputs = {result.name: function.ret[result.name] for result in function.signature.output_arg}
    effects = list(function.control_ret.values())
    return _flatten(_Inlining(library, keep_order, set(names)), names, function.node_def, outputs, effects)


def _flatten(
    inlining: _Inlining,
    arguments: tuple[str, ...],
    body: Sequence[NodeDef],
    outputs: Mapping[str, str],
    effects: Sequence[str],
) -> FlatGraph:
    ports, waits = inlining.inline(body, {name: NodeOutput(name) for name in arguments})
    by_name = {node.name: node for node in body}
    returned = {name: inlining.port(text, ports, by_name) for name, text in outputs.items()}
    last = (w for name in effects for w in waits.get(name, ())) if inlining.keep_order else ()
    return prune(FlatGraph(arguments, tuple(inlining.nodes), returned, tuple(dict.fromkeys(last))))


def find_free_name(wanted: str, taken: Collection[str]) -> str:
    """Return a name that is not taken: the wanted one, with a number appended if it is taken."""
    name, count = wanted, 0
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    return name


def prune(graph: FlatGraph) -> FlatGraph:
    """Return the graph without nodes that neither an output nor an effect needs."""
    needed = {port.node for port in graph.outputs.values()} | set(graph.effects)
    kept = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= {port.node for port in node.inputs} | set(node.after)
            kept.append(node)
    return FlatGraph(graph.arguments, tuple(reversed(kept)), graph.outputs, graph.effects)


def can_inline(function: FunctionDef) -> bool:
    """Return whether a call of a function can be replaced by its body.

    It cannot where TFLiteConverter reads attributes of the function, nor where the function has a loop of TensorFlow 1.
    """
    return not is_marked(function) and not has_cycle(function)


def is_marked(function: FunctionDef) -> bool:
    """Return whether a function has attributes that TFLiteConverter reads."""
    return any(name in function.attr for name in KEPT_ATTRIBUTES)


def has_cycle(function: FunctionDef) -> bool:
    """Return whether a function has a loop of TensorFlow 1, which is a cycle of nodes."""
    return len(sort_nodes(function.node_def)) < len(function.node_def)


def bind_attributes(node: NodeDef, bindings: Mapping[str, Any] | None) -> NodeDef:
    """Return a node of a function's body with values in place of references to the function's attributes."""
    if not any(_has_placeholder(value) for value in node.attr.values()):
        return node
    bound = node_def_pb2.NodeDef()
    bound.CopyFrom(node)
    for value in bound.attr.values():
        for place in (value, *value.func.attr.values()) if value.HasField("func") else (value,):
            if place.WhichOneof("value") == "placeholder" and bindings and place.placeholder in bindings:
                place.CopyFrom(bindings[place.placeholder])
    return bound


def _has_placeholder(value: Any) -> bool:
    inner = value.func.attr.values() if value.HasField("func") else ()
    return any(place.WhichOneof("value") == "placeholder" for place in (value, *inner))


def sort_nodes(nodes: Sequence[NodeDef]) -> list[NodeDef]:
    """Return nodes in an order in which each comes after the nodes that it needs, else unchanged.

    Nodes of a cycle, and nodes that need one of them, are left out.
    """
    by_name = {node.name: node for node in nodes}
    waiting = {node.name: len(set(_needs(node, by_name))) for node in nodes}
    users: dict[str, list[str]] = {}
    for node in nodes:
        for name in set(_needs(node, by_name)):
            users.setdefault(name, []).append(node.name)
    place = {node.name: index for index, node in enumerate(nodes)}
    done = []
    ready = [place[node.name] for node in nodes if not waiting[node.name]]
    heapq.heapify(ready)
    while ready:
        node = nodes[heapq.heappop(ready)]
        done.append(node)
        for name in users.get(node.name, ()):
            waiting[name] -= 1
            if not waiting[name]:
                heapq.heappush(ready, place[name])
    return done


def _needs(node: NodeDef, by_name: Mapping[str, Any]) -> Iterator[str]:
    for text in node.input:
        name = text.removeprefix("^").partition(":")[0]
        if name in by_name:
            yield name


def read_attribute(node: NodeDef, name: str) -> Any:
    """Return an attribute's value, or the operator's default where the node has none. Adds nothing to the node."""
    if name in node.attr:
        return node.attr[name]
    known = op_def_registry.get(node.op)
    return next((each.default_value for each in known.attr if each.name == name), None) or attr_value_pb2.AttrValue()


def count_outputs(node: NodeDef) -> int:
    """Return the number of a node's outputs.

    Raises:
        WorkerError: This TensorFlow does not define the operator.
    """
    return sum(size for _, size in _output_groups(node))


def find_output(node: NodeDef, text: str) -> int:
    """Return the index of the output that a text names: `name`, `name:2` in a graph, `name:indices:0` in a function."""
    parts = text.split(":")
    if len(parts) < 3:
        return int(parts[1]) if len(parts) == 2 else 0
    before = 0
    for name, size in _output_groups(node):
        if name == parts[1]:
            return before + int(parts[2])
        before += size
    raise AssertionError(f"{node.op} has no output '{parts[1]}'")


def name_output(node: NodeDef, output: int) -> str:
    """Return the name of a node's output in a function's body: `name:indices:0`."""
    before = 0
    for name, size in _output_groups(node):
        if output < before + size:
            return f"{node.name}:{name}:{output - before}"
        before += size
    raise AssertionError(f"{node.op} has no output {output}")


def _output_groups(node: NodeDef) -> Iterator[tuple[str, int]]:
    definition = op_def_registry.get(node.op)
    if definition is None:
        raise WorkerError(
            f"the source uses the operator '{node.op}', which this TensorFlow does not have",
            where="source",
            next_step="import the package that registers it, in the code that makes the model",
        )
    for argument in definition.output_arg:
        if argument.number_attr:
            yield argument.name, int(read_attribute(node, argument.number_attr).i)
        elif argument.type_list_attr:
            yield argument.name, len(read_attribute(node, argument.type_list_attr).list.type)
        else:
            yield argument.name, 1
