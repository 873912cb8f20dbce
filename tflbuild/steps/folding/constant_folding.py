"""Constant folding with results that are the same on every CPU.

TFLiteConverter would fold with TensorFlow's kernels, whose results differ between CPUs. For example, they compute a
reciprocal square root with an approximate instruction and a Newton step. Here each operator is computed in float64 with
operations that IEEE 754 defines exactly, and rounded once to the type of its result (`tflbuild/exact`). This is done
before the converter reads the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.exact.exact_evaluator import evaluate, read_attributes
from tflbuild.steps.folding.batch_norm import BATCH_NORMS, split_batch_norm
from tflbuild.steps.folding.constant_branches import BRANCHES, take_branches
from tflbuild.steps.folding.constant_values import Bound, KnownValue, VariableHandle, read_constant, to_value
from tflbuild.steps.folding.converter_folding import MARKS, is_stored, rounds_by_cpu
from tflbuild.steps.folding.fake_quant import NODES as FAKE_QUANT
from tflbuild.steps.folding.flat_graph import (
    CALLS,
    FlatGraph,
    FlatNode,
    FunctionDef,
    NodeOutput,
    claim_name,
    find_free_name,
    flatten_function,
    prune,
    read_attribute,
)
from tflbuild.steps.folding.graph_nodes import (
    LOOPS,
    UNVALUED,
    is_pure,
    make_constant,
    output_types,
    size_type,
    to_function,
)
from tflbuild.steps.folding.partial_constants import DIVISIONS, PRODUCTS, make_product, split_by_variance
from tflbuild.steps.folding.shape_inference import FILLED, SHAPES, learn_shapes

READS = ("ReadVariableOp", "ResourceGather", "VariableShape")
BY_CPU = "TensorFlow computes it from constants, with kernels that it chooses by CPU"


@dataclass
class Folding:
    """The state that is shared by the folding of a function and of the loops and branches in it.

    Attributes:
        library: The functions that nodes refer to, by name.
        other_functions: The names of functions of other entry points in the same SavedModel.
        keep_order: Whether the function changes state.
        functions: The folded functions of loops and branches, by name.
        unfolded: The operators on constants that stay in the graph, and whose results may differ between CPUs.
    """

    library: dict[str, FunctionDef]
    other_functions: Collection[str]
    keep_order: bool
    functions: dict[str, FunctionDef] = field(default_factory=dict)
    unfolded: set[CpuDependence] = field(default_factory=set)


@dataclass
class GraphFolding:
    """The folding of one graph.

    Attributes:
        shared: The state that is shared with the folding of other graphs.
        bound: The arguments whose values are known.
        specs: The shapes and types of all arguments.
        known: The tensors whose values are known.
        renamed: The outputs of the old graph that have another name in the new one.
        nodes: The nodes of the new graph.
        added: The names of the constants of the old graph that are in the new one.
        converter_constants: The tensors that are constants, but whose values only the converter computes.
    """

    shared: Folding
    graph: FlatGraph
    bound: Mapping[str, Bound]
    specs: Mapping[str, Any]
    known: dict[NodeOutput, Bound] = field(default_factory=dict)
    renamed: dict[NodeOutput, NodeOutput] = field(default_factory=dict)
    nodes: list[FlatNode] = field(default_factory=list)
    added: set[str] = field(default_factory=set)
    converter_constants: set[NodeOutput] = field(default_factory=set)

    def fold(self) -> FlatGraph:
        """Return the graph with constants instead of the operators that could be computed."""
        self.known |= {NodeOutput(name): value for name, value in self.bound.items()}
        self.used_names = {*self.graph.arguments, *(node.name for node in self.graph.nodes)}
        for node in self.graph.nodes:
            values = self.evaluate(node)
            if values is None:
                self.keep(node)
            else:
                self.known |= {NodeOutput(node.name, index): value for index, value in enumerate(values)}
        # An output that is an argument stays an argument, even if its value is known.
        arguments = set(self.graph.arguments)
        outputs = {n: p if p.node in arguments else self.demand(p) for n, p in self.graph.outputs.items()}
        effects = tuple(name for name in self.graph.effects if NodeOutput(name) not in self.known)
        return prune(replace(self.graph, nodes=tuple(self.nodes), outputs=outputs, effects=effects))

    def evaluate(self, node: FlatNode) -> Sequence[KnownValue] | None:
        """Return the values of a node's outputs; None if they are not known."""
        if node.op == "Const":
            return None if tf.dtypes.as_dtype(node.definition.attr["dtype"].type) in UNVALUED else [read_constant(node)]
        if node.op in READS:
            return self.evaluate_read(node)
        if node.op in SHAPES:
            return self.evaluate_shape(node)
        if node.op in FILLED and self.is_sized(node.inputs[0]):
            shape, dtype = self.shapes[node.inputs[0]].as_list(), next(output_types(node.definition)).as_numpy_dtype
            return self.store("Fill", [np.full(shape, FILLED[node.op], dtype)])
        if not node.inputs or node.after or node.op in FAKE_QUANT or not is_pure(node):
            return None
        arrays = self.read_known(node.inputs)
        return self.evaluate_by_shape(node) if arrays is None else self.compute(node, arrays)

    def read_known(self, ports: Sequence[NodeOutput]) -> list[np.ndarray] | None:
        """Return the values of tensors; None unless all are known."""
        values = [value for port in ports if isinstance(value := self.known.get(port), KnownValue)]
        return [value.array for value in values] if len(values) == len(ports) else None

    def compute(self, node: FlatNode, arrays: list[np.ndarray]) -> Sequence[KnownValue] | None:
        """Return a node's outputs for constant inputs; None if the node stays in the graph."""
        try:
            outputs = evaluate(node.op, read_attributes(node.definition), arrays)
        # The inputs of the node are invalid. The conversion will fail with a message that names the layer.
        except tf.errors.OpError:
            return None
        if outputs is None:
            self.report(node, arrays)
            return None
        return self.store(node.op, outputs, arrays)

    def store(
        self, operator: str, outputs: Sequence[np.ndarray], operands: Sequence[np.ndarray] = ()
    ) -> Sequence[KnownValue] | None:
        """Return the values to store; None if they are so large that the model computes them at run time instead."""
        return [to_value(output) for output in outputs] if is_stored(operator, outputs, operands) else None

    def evaluate_read(self, node: FlatNode) -> Sequence[KnownValue] | None:
        """Return what a node reads from a variable that is never written: its value, shape, or rows by known index."""
        handle = self.known.get(node.inputs[0])
        if not isinstance(handle, VariableHandle):
            return None
        if node.op == "ReadVariableOp":
            return [KnownValue(handle.variable.numpy, node)]
        if node.op == "VariableShape":
            return [to_value(np.array(handle.variable.shape.as_list(), size_type(node)))]
        indices = self.known.get(node.inputs[1])
        if not isinstance(indices, KnownValue) or read_attribute(node.definition, "batch_dims").i:
            return None
        rows = evaluate("GatherV2", {}, [handle.variable.numpy(), indices.array, np.array(0, np.int32)])
        return None if rows is None else self.store("GatherV2", rows, [handle.variable.numpy()])

    def is_sized(self, port: NodeOutput) -> bool:
        """Return whether all dimensions of a tensor are known before the graph runs."""
        return port in self.shapes and bool(self.shapes[port].is_fully_defined())

    def report(self, node: FlatNode, arrays: Sequence[np.ndarray]) -> None:
        """Record an operator that cannot be folded exactly, if an input or an output is floating point.

        Integer outputs can differ too: a cast of 1e10 to int32 is -2147483648 on x86, and 2147483647 on Arm.
        """
        types = [*output_types(node.definition), *(tf.dtypes.as_dtype(array.dtype) for array in arrays)]
        if any(dtype.is_floating or dtype.is_complex for dtype in types):
            self.shared.unfolded.add(CpuDependence(node.op, node.name, BY_CPU))

    def report_old_loops(self, function: FunctionDef) -> None:
        """Note loops of TensorFlow 1 within a called function, which is neither inlined nor folded."""
        reason = "TensorFlow folds the constants of a loop of TensorFlow 1, with kernels that it chooses by CPU"
        loops = [node.name.rpartition("/")[0] or node.name for node in function.node_def if node.op == "LoopCond"]
        self.shared.unfolded |= {CpuDependence("while_loop", name, reason) for name in loops}

    def evaluate_shape(self, node: FlatNode) -> Sequence[KnownValue] | None:
        """Return the ranks, sizes or shapes that a node computes, if they are known before the graph runs."""
        values = []
        for port in node.inputs:
            shape = self.shapes.get(port)
            if shape is None or shape.rank is None or not (node.op == "Rank" or self.is_sized(port)):
                return None
            dtype = np.int32 if node.op == "Rank" else size_type(node)
            sizes = np.array([size or 0 for size in shape.as_list()], dtype)
            values.append({"Rank": np.array(shape.rank, dtype), "Size": sizes.prod(dtype=dtype)}.get(node.op, sizes))
        return [to_value(np.asarray(value)) for value in values]

    def evaluate_by_shape(self, node: FlatNode) -> Sequence[KnownValue] | None:
        """Return the dimensions that a node selects from a shape, if they are known and others are not."""
        if node.op not in ("StridedSlice", "GatherV2", "Slice"):
            return None
        source = self.partial_shapes.get(node.inputs[0])
        arrays = self.read_known(node.inputs[1:])
        if source is None or arrays is None:
            return None
        attributes = read_attributes(node.definition)
        first, second = [evaluate(node.op, attributes, [array, *arrays]) for array in source]
        if first is None or second is None or not np.array_equal(first[0], second[0]):
            return None
        return [to_value(first[0])]

    @cached_property
    def shapes(self) -> Mapping[NodeOutput, Any]:
        """The shapes that nodes of the graph ask for, as far as TensorFlow infers them. Slow, and often not needed."""
        return learn_shapes(self.graph, self.bound, self.specs, self.shared.library)

    @cached_property
    def partial_shapes(self) -> Mapping[NodeOutput, tuple[np.ndarray, np.ndarray]]:
        """The outputs of Shape nodes in two versions: with -1 and with -2 for unknown dimensions.

        A result that is equal for both versions does not depend on an unknown dimension.
        """
        partial = {}
        for node in self.graph.nodes:
            shape = self.shapes.get(node.inputs[0]) if node.op == "Shape" else None
            if shape is not None and shape.rank is not None:
                sizes = shape.as_list()
                first, second = ([placeholder if size is None else size for size in sizes] for placeholder in (-1, -2))
                partial[NodeOutput(node.name)] = (np.array(first, size_type(node)), np.array(second, size_type(node)))
        return partial

    def demand(self, port: NodeOutput) -> NodeOutput:
        """Return the output in the new graph for an output of the old one. A constant is added at its first use."""
        value = self.known.get(port)
        if not isinstance(value, KnownValue):
            return self.renamed.get(port, port)
        if value.leaf is not None:
            if value.leaf.name not in self.added:
                self.added.add(value.leaf.name)
                self.nodes.append(replace(value.leaf, after=()))
            return NodeOutput(value.leaf.name)
        if port not in self.renamed:
            keeps_name = port.output == 0 and port.node not in self.graph.arguments
            name = port.node if keeps_name else self.new_name(f"{port.node}/value_{port.output}")
            self.nodes.append(FlatNode(make_constant(name, value.array), ()))
            self.renamed[port] = NodeOutput(name)
        return self.renamed[port]

    def new_name(self, preferred_name: str) -> str:
        """Return a name that no node of the graph has: the wanted one, or one with a number."""
        return claim_name(preferred_name, self.used_names)

    def keep(self, node: FlatNode) -> None:
        """Add a node to the new graph, or the nodes that replace it."""
        if node.op in BATCH_NORMS and self.split(node):
            return
        if node.op in (*DIVISIONS, *PRODUCTS) and self.use_product(node):
            return
        self.watch(node)
        definition = node.definition
        if node.op in CALLS:
            self.report_old_loops(self.shared.library[definition.attr["f"].func.name])
        if node.op in (*LOOPS, *BRANCHES):
            definition = self.fold_functions(node)
        # Nothing waits for a constant.
        after = tuple(name for name in node.after if NodeOutput(name) not in self.known)
        self.nodes.append(FlatNode(definition, tuple(self.demand(port) for port in node.inputs), after))
        if node.op in LOOPS:
            self.know_invariants(node)

    def watch(self, node: FlatNode) -> None:
        """Record which tensors the converter will compute from constants, and which operators round in that."""
        are_constant = [
            isinstance(self.known.get(port), KnownValue) or port in self.converter_constants for port in node.inputs
        ]
        foldable = is_pure(node, texts=True) and node.op not in MARKS
        if are_constant and all(are_constant) and foldable:
            self.converter_constants |= {
                NodeOutput(node.name, index) for index, _ in enumerate(output_types(node.definition))
            }
            if rounds_by_cpu(node):
                self.shared.unfolded.add(CpuDependence(node.op, node.name, BY_CPU))

    def know_invariants(self, node: FlatNode) -> None:
        """Record the values of a loop's outputs that are equal to its inputs."""
        for index in invariants(self.shared.library[node.definition.attr["body"].func.name], self.shared):
            if (value := self.known.get(node.inputs[index])) is not None:
                self.known[NodeOutput(node.name, index)] = value

    def split(self, node: FlatNode) -> bool:
        """Replace a batch normalization with constant parameters. Return whether it was replaced."""
        arrays = self.read_known(node.inputs[1:])
        if arrays is None:
            return self.split_variance(node)
        x = node.inputs[0]
        replacement = split_batch_norm(node, self.demand(x), arrays, lambda: self.shapes[x].rank, self.new_name)
        if replacement is None:
            return False
        self.nodes += replacement.nodes
        self.known |= {NodeOutput(node.name, index): to_value(array) for index, array in replacement.statistics.items()}
        return True

    def split_variance(self, node: FlatNode) -> bool:
        """Replace a batch normalization with a constant variance. Return whether it was replaced."""
        variance = self.known.get(node.inputs[4])
        if not isinstance(variance, KnownValue) or read_attribute(node.definition, "is_training").b:
            return False
        nodes = split_by_variance(node, list(map(self.demand, node.inputs[:4])), variance.array, self.new_name)
        if nodes is None:
            self.shared.unfolded.add(CpuDependence("Rsqrt", node.name, BY_CPU))
            return False
        self.nodes += nodes
        return True

    def use_product(self, node: FlatNode) -> bool:
        """Replace an operator by an equal product, as the converter does. Return whether it was replaced."""
        arrays = self.read_known(node.inputs[1:])
        if arrays is None or not next(output_types(node.definition)).is_floating:
            return False
        (constant,) = arrays
        nodes = make_product(node, self.demand(node.inputs[0]), constant, self.new_name(f"{node.name}/y"))
        if nodes is None:
            self.shared.unfolded.add(CpuDependence(PRODUCTS[node.op], node.name, BY_CPU))
            return False
        self.nodes += nodes
        return True

    def fold_functions(self, node: FlatNode) -> Any:
        """Return a loop or branch whose functions are folded, with the values of arguments that are known."""
        definition = node_def_pb2.NodeDef()
        definition.CopyFrom(node.definition)
        loop = node.op in LOOPS
        inputs = node.inputs if loop else node.inputs[1:]
        attributes = ("body", "cond") if loop else ("then_branch", "else_branch", "branches")
        # The arguments that a loop does not change. Only their values are the same in every iteration.
        unchanged: set[int] | None = None
        for attribute in attributes:
            if attribute not in definition.attr:
                continue
            value = definition.attr[attribute]
            for call in value.list.func if value.HasField("list") else [value.func]:
                function = self.shared.library[call.name]
                if loop and unchanged is None:
                    unchanged = invariants(function, self.shared)
                bound = {i: v for i, port in enumerate(inputs) if (v := self.known.get(port)) is not None}
                bound = {i: v for i, v in bound.items() if unchanged is None or i in unchanged}
                shapes = {
                    i: self.shapes.get(port) for i, port in enumerate(inputs) if unchanged is None or i in unchanged
                }
                call.name = fold_function(self.shared, function, bound, shapes, f"{node.name}_{attribute}")
        return definition


def fold_graph(shared: Folding, graph: FlatGraph, bound: Mapping[str, Bound], specs: Mapping[str, Any]) -> FlatGraph:
    """Fold a graph, and fold it again if branches were replaced. `bound` and `specs` are those of `GraphFolding`."""
    reported = set(shared.unfolded)
    while True:
        folded = GraphFolding(shared, graph, bound, specs).fold()
        with_inlined_branches = take_branches(folded, shared.library, keep_order=shared.keep_order)
        if with_inlined_branches is None:
            return folded
        graph = with_inlined_branches
        shared.unfolded = set(reported)


def fold_function(
    shared: Folding, function: FunctionDef, bound: Mapping[int, Bound], shapes: Mapping[int, Any], name: str
) -> str:
    """Fold the function of a loop or a branch, and return the name of the new function.

    Args:
        shared: The state that is shared with the folding of other graphs.
        function: The function.
        bound: The values of arguments that are known, by index.
        shapes: The shapes of arguments that are known, by index.
        name: The name of the new function. A number is added if it is in use.
    """
    flat = flatten_function(function, shared.library, keep_order=shared.keep_order)
    values = {flat.arguments[index]: value for index, value in bound.items()}
    known_shapes = {flat.arguments[index]: shape for index, shape in shapes.items() if shape is not None}
    dtypes = {argument.name: tf.dtypes.as_dtype(argument.type) for argument in function.signature.input_arg}
    specs = {name: tf.TensorSpec(known_shapes.get(name), dtype) for name, dtype in dtypes.items()}
    folded = fold_graph(shared, flat, values, specs)
    new_name = find_free_name(name.replace("/", "_"), {*shared.functions, *shared.library, *shared.other_functions})
    shared.functions[new_name] = shared.library[new_name] = to_function(folded, function, new_name)
    return new_name


def invariants(body: FunctionDef, shared: Folding) -> set[int]:
    """Return the indices of the arguments of a loop that its body returns unchanged."""
    flat = flatten_function(body, shared.library, keep_order=shared.keep_order)
    argument_indices = {name: index for index, name in enumerate(flat.arguments)}
    order = [result.name for result in body.signature.output_arg]
    return {index for index, name in enumerate(order) if argument_indices.get(flat.outputs[name].node) == index}
