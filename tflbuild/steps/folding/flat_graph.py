"""Flat graphs: a traced TensorFlow function as one list of nodes.

Called functions are inlined: their nodes replace the call, without the name of the call as a prefix. Functions of loops
and branches are not inlined, nor are functions with attributes that TFLiteConverter reads, such as the fused LSTM.
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
# Attributes that are not copied: they refer to the graph of the original node, or shape inference computes them again.
LEFT_OUT = ("_class", "_output_shapes", "_gradient_op_type", "_XlaMustCompile")

# The protocol buffers tensorflow.NodeDef and tensorflow.FunctionDef.
NodeDef = Any
FunctionDef = Any


@dataclass(frozen=True)
class NodeOutput:
    """An output of a node. For an argument of the function, `node` is its name and `output` is 0."""

    node: str
    output: int = 0

    def __str__(self) -> str:
        return f"{self.node}:{self.output}"


@dataclass(frozen=True)
class FlatNode:
    """A node of a flat graph.

    Attributes:
        definition: The NodeDef, without inputs.
        inputs: The outputs of other nodes, or arguments, that it uses.
        after: The names of nodes that must run before it, because they change state.
    """

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
    """A graph without calls.

    Attributes:
        arguments: The names of the arguments.
        nodes: The nodes, in an order in which they can run.
        outputs: The outputs by name.
        effects: The names of nodes that must run even if no output needs them.
    """

    arguments: tuple[str, ...]
    nodes: tuple[FlatNode, ...]
    outputs: Mapping[str, NodeOutput]
    effects: tuple[str, ...] = ()


@dataclass
class _Inlining:
    """The graph that is being made while functions are inlined into it."""

    library: Mapping[str, FunctionDef]
    keep_order: bool
    used_names: set[str] = field(default_factory=set)
    nodes: list[FlatNode] = field(default_factory=list)

    def name(self, preferred: str) -> str:
        """Return a name that no node has: the preferred one, or one with a number."""
        return claim_name(preferred, self.used_names)

    def inline(
        self,
        nodes: Sequence[NodeDef],
        arguments: Mapping[str, NodeOutput],
        after: tuple[str, ...] = (),
        bindings: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, tuple[NodeOutput, ...]], dict[str, tuple[str, ...]]]:
        """Add the nodes of a function's body.

        Args:
            nodes: The nodes of the body, in any order.
            arguments: The output in the new graph for each argument of the body.
            after: Nodes that run before every node of the body.
            bindings: The values of the attributes of the function, if it has attributes.

        Returns:
            The outputs in the new graph of each node of the body; and for each node, the new nodes that another node
            waits for if it waits for this one.
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
        """Return the output in the new graph that an input of a node refers to."""
        name = text.partition(":")[0]
        return ports[name][find_output(by_name[name], text) if name in by_name else 0]

    def add(self, node: NodeDef, inputs: tuple[NodeOutput, ...], controls: tuple[str, ...]) -> str:
        """Add a copy of a node, and return its name."""
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
        """Add the body of a called function instead of the call.

        Returns:
            The outputs of the call in the new graph, and the nodes to wait for instead of the call.
        """
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
    """Return a concrete function as a flat graph. Its arguments are the inputs of the function and its captures.

    Args:
        concrete: A ConcreteFunction.
        keep_order: Whether to keep the order of nodes that change state, and nodes that no output needs.

    Raises:
        WorkerError: The function has an operator that the installed TensorFlow does not define.
    """
    definition = concrete.graph.as_graph_def()
    library = {function.signature.name: function for function in definition.library.function}
    names = tuple(tensor.op.name for tensor in concrete.inputs)
    body = [node for node in definition.node if node.name not in names]
    outputs = {name: tensor.name for name, tensor in sorted(concrete.structured_outputs.items())}
    effects = [operation.name for operation in concrete.graph.control_outputs]
    return _flatten(_Inlining(library, keep_order, set(names)), names, body, outputs, effects)


def flatten_function(function: FunctionDef, library: Mapping[str, FunctionDef], *, keep_order: bool) -> FlatGraph:
    """Return the function of a loop or a branch as a flat graph. See `flatten_concrete` for `keep_order`."""
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


def find_free_name(preferred: str, used_names: Collection[str]) -> str:
    """Return a name that is not in use: `preferred`, with a number appended if it is in use."""
    name, count = preferred, 0
    while name in used_names:
        count += 1
        name = f"{preferred}_{count}"
    return name


def claim_name(preferred: str, used_names: set[str]) -> str:
    """Return a name that is not in use, as `find_free_name` does, and add it to the names in use."""
    name = find_free_name(preferred, used_names)
    used_names.add(name)
    return name


def prune(graph: FlatGraph) -> FlatGraph:
    """Return the graph without nodes that neither an output nor an effect needs."""
    needed = {port.node for port in graph.outputs.values()} | set(graph.effects)
    needed_nodes = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= {port.node for port in node.inputs} | set(node.after)
            needed_nodes.append(node)
    return FlatGraph(graph.arguments, tuple(reversed(needed_nodes)), graph.outputs, graph.effects)


def can_inline(function: FunctionDef) -> bool:
    """Return whether a call of a function can be replaced by its body.

    It cannot if TFLiteConverter reads attributes of the function, or if the function has a loop of TensorFlow 1.
    """
    return not is_marked(function) and not has_cycle(function)


def is_marked(function: FunctionDef) -> bool:
    """Return whether a function has attributes that TFLiteConverter reads."""
    return any(name in function.attr for name in KEPT_ATTRIBUTES)


def has_cycle(function: FunctionDef) -> bool:
    """Return whether a function has a loop of TensorFlow 1, which is a cycle of nodes."""
    return len(sort_nodes(function.node_def)) < len(function.node_def)


def bind_attributes(node: NodeDef, bindings: Mapping[str, Any] | None) -> NodeDef:
    """Return a node of a function's body in which references to attributes of the function have their values."""
    if not any(_has_placeholder(value) for value in node.attr.values()):
        return node
    bound = node_def_pb2.NodeDef()
    bound.CopyFrom(node)
    for value in bound.attr.values():
        for reference in (value, *value.func.attr.values()) if value.HasField("func") else (value,):
            if reference.WhichOneof("value") == "placeholder" and bindings and reference.placeholder in bindings:
                reference.CopyFrom(bindings[reference.placeholder])
    return bound


def _has_placeholder(value: Any) -> bool:
    inner = value.func.attr.values() if value.HasField("func") else ()
    return any(reference.WhichOneof("value") == "placeholder" for reference in (value, *inner))


def sort_nodes(nodes: Sequence[NodeDef]) -> list[NodeDef]:
    """Return nodes in an order in which each is after the nodes that it needs. Otherwise the order is unchanged.

    Nodes of a cycle, and nodes that need one of them, are omitted.
    """
    by_name = {node.name: node for node in nodes}
    waiting = {node.name: len(set(_needs(node, by_name))) for node in nodes}
    users: dict[str, list[str]] = {}
    for node in nodes:
        for name in set(_needs(node, by_name)):
            users.setdefault(name, []).append(node.name)
    position = {node.name: index for index, node in enumerate(nodes)}
    in_order = []
    ready = [position[node.name] for node in nodes if not waiting[node.name]]
    heapq.heapify(ready)
    while ready:
        node = nodes[heapq.heappop(ready)]
        in_order.append(node)
        for name in users.get(node.name, ()):
            waiting[name] -= 1
            if not waiting[name]:
                heapq.heappush(ready, position[name])
    return in_order


def _needs(node: NodeDef, by_name: Mapping[str, Any]) -> Iterator[str]:
    for text in node.input:
        name = text.removeprefix("^").partition(":")[0]
        if name in by_name:
            yield name


def read_attribute(node: NodeDef, name: str) -> Any:
    """Return the value of an attribute, or the default of the operator if the node does not have the attribute.

    `node.attr[name]` would add the attribute to the node.
    """
    if name in node.attr:
        return node.attr[name]
    definition = op_def_registry.get(node.op)
    return (
        next((attribute.default_value for attribute in definition.attr if attribute.name == name), None)
        or attr_value_pb2.AttrValue()
    )


def count_outputs(node: NodeDef) -> int:
    """Return the number of outputs of a node.

    Raises:
        WorkerError: The installed TensorFlow does not define the operator.
    """
    return sum(size for _, size in _output_groups(node))


def find_output(node: NodeDef, text: str) -> int:
    """Return the index of the output in a reference: `name` or `name:2` in a graph, `name:indices:0` in a function."""
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
            f"the source uses the operator '{node.op}', which the installed TensorFlow does not have",
            where="source",
            next_step="in the code that makes the model, import the package that registers the operator",
        )
    for argument in definition.output_arg:
        if argument.number_attr:
            yield argument.name, int(read_attribute(node, argument.number_attr).i)
        elif argument.type_list_attr:
            yield argument.name, len(read_attribute(node, argument.type_list_attr).list.type)
        else:
            yield argument.name, 1
