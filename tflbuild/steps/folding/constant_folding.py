"""Fold what a graph computes from constants alone, with results that are the same on every CPU.

TFLiteConverter would fold it with TensorFlow's kernels, whose results differ between CPUs (a reciprocal square root is
an approximate instruction with a Newton step). Here each operator is computed in float64 with operations that IEEE 754
defines exactly, and rounded once to the type of its result (`exact_ops`), before the converter sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.python.framework import op_def_registry

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
    find_free_name,
    flatten_function,
    prune,
    read_attribute,
)
from tflbuild.steps.folding.graph_nodes import make_constant, output_types, to_function
from tflbuild.steps.folding.partial_constants import DIVISIONS, PRODUCTS, make_product, split_by_variance

READS = ("ReadVariableOp", "ResourceGather", "VariableShape")
FILLED = {"ZerosLike": 0, "OnesLike": 1}
SHAPES = ("Shape", "ShapeN", "Size", "Rank")
BY_CPU = "TensorFlow computes it from constants, with kernels that it chooses by CPU"
LOOPS = ("While", "StatelessWhile")
UNVALUED = (tf.resource, tf.variant)


@dataclass
class Folding:
    """The state that the foldings of an entry point's function and of its loops and branches share.

    Attributes:
        library: The functions that nodes refer to, by name.
        shapes_of: Infers the shape of every tensor of a graph.
        taken: Names of functions of other entry points in the same SavedModel.
        keep_order: Whether the function changes state.
        functions: The folded functions of loops and branches that were made, by name.
        unfolded: Operators on constants that stay in the graph and whose results may differ between CPUs.
    """

    library: dict[str, FunctionDef]
    shapes_of: Callable[[FlatGraph, Mapping[str, Bound], Mapping[str, Any]], Mapping[NodeOutput, Any]]
    taken: Collection[str]
    keep_order: bool
    functions: dict[str, FunctionDef] = field(default_factory=dict)
    unfolded: set[CpuDependence] = field(default_factory=set)


@dataclass
class GraphFolding:
    """The folding of one graph. `bound` has the arguments whose values are known, `specs` the types of all."""

    shared: Folding
    graph: FlatGraph
    bound: Mapping[str, Bound]
    specs: Mapping[str, Any]
    known: dict[NodeOutput, Bound] = field(default_factory=dict)
    renamed: dict[NodeOutput, NodeOutput] = field(default_factory=dict)
    nodes: list[FlatNode] = field(default_factory=list)
    added: set[str] = field(default_factory=set)
    unread: set[NodeOutput] = field(default_factory=set)  # constants whose values only the converter knows

    def fold(self) -> FlatGraph:
        """Return the graph with constants in place of the operators that could be computed."""
        self.known |= {NodeOutput(name): value for name, value in self.bound.items()}
        self.taken = {*self.graph.arguments, *(node.name for node in self.graph.nodes)}
        for node in self.graph.nodes:
            values = self.evaluate(node)
            if values is None:
                self.keep(node)
            else:
                self.known |= {NodeOutput(node.name, index): value for index, value in enumerate(values)}
        arguments = set(self.graph.arguments)  # an output that is an argument stays one
        outputs = {n: p if p.node in arguments else self.demand(p) for n, p in self.graph.outputs.items()}
        effects = tuple(name for name in self.graph.effects if NodeOutput(name) not in self.known)
        return prune(replace(self.graph, nodes=tuple(self.nodes), outputs=outputs, effects=effects))

    # what is known

    def evaluate(self, node: FlatNode) -> Sequence[KnownValue] | None:
        """Return the values of a node's outputs, None where they are not known."""
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
        """Return the values of tensors, None unless all are known."""
        values = [value for port in ports if isinstance(value := self.known.get(port), KnownValue)]
        return [value.array for value in values] if len(values) == len(ports) else None

    def compute(self, node: FlatNode, arrays: list[np.ndarray]) -> Sequence[KnownValue] | None:
        """Return a node's outputs for constant inputs; None where the node stays in the graph."""
        try:
            outputs = evaluate(node.op, read_attributes(node.definition), arrays)
        except tf.errors.OpError:
            return None  # if its inputs are wrong, conversion fails, with a reason that names the layer
        if outputs is None:
            self.report(node, arrays)
            return None
        return self.store(node.op, outputs, arrays)

    def store(
        self, operator: str, outputs: Sequence[np.ndarray], operands: Sequence[np.ndarray] = ()
    ) -> Sequence[KnownValue] | None:
        """Return outputs that are stored, None for those that are better computed when the model runs."""
        return [to_value(output) for output in outputs] if is_stored(operator, outputs, operands) else None

    def evaluate_read(self, node: FlatNode) -> Sequence[KnownValue] | None:
        """Return what a node reads of a variable that nothing writes: value, shape or rows of known indices."""
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
        """Return whether every size of a tensor is known before the graph runs."""
        return port in self.shapes and bool(self.shapes[port].is_fully_defined())

    def report(self, node: FlatNode, arrays: Sequence[np.ndarray]) -> None:
        """Note an operator that is outside the folding table and takes or gives floating point.

        One that gives integers may differ too: x86's instruction casts 1e10 to -2147483648, Arm's to 2147483647.
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
        """Return ranks, sizes and shapes that are known before the graph runs."""
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
        """Return known sizes that a node takes out of a shape with unknown ones."""
        if node.op not in ("StridedSlice", "GatherV2", "Slice"):
            return None
        source = self.partial_shapes.get(node.inputs[0])
        arrays = self.read_known(node.inputs[1:])
        if source is None or arrays is None:
            return None
        attributes = read_attributes(node.definition)
        picked = [evaluate(node.op, attributes, [array, *arrays]) for array in source]
        first, second = picked
        if first is None or second is None or not np.array_equal(first[0], second[0]):
            return None
        return [to_value(first[0])]

    @cached_property
    def shapes(self) -> Mapping[NodeOutput, Any]:
        """The shape of every tensor, as far as TensorFlow infers it. Computed when first needed, often never."""
        return self.shared.shapes_of(self.graph, self.bound, self.specs)

    @cached_property
    def partial_shapes(self) -> Mapping[NodeOutput, tuple[np.ndarray, np.ndarray]]:
        """Outputs of Shape nodes, each twice: with -1 and with -2 in place of unknown sizes.

        A result that is the same for both does not depend on an unknown size.
        """
        partial = {}
        for node in self.graph.nodes:
            shape = self.shapes.get(node.inputs[0]) if node.op == "Shape" else None
            if shape is not None and shape.rank is not None:
                sizes = shape.as_list()
                first, second = ([free if size is None else size for size in sizes] for free in (-1, -2))
                partial[NodeOutput(node.name)] = (np.array(first, size_type(node)), np.array(second, size_type(node)))
        return partial

    # what stays

    def demand(self, port: NodeOutput) -> NodeOutput:
        """Return the port that a tensor has in the new graph. A constant is added when it is first needed."""
        value = self.known.get(port)
        if not isinstance(value, KnownValue):
            return self.renamed.get(port, port)
        if value.leaf is not None:
            if value.leaf.name not in self.added:
                self.added.add(value.leaf.name)
                self.nodes.append(replace(value.leaf, after=()))
            return NodeOutput(value.leaf.name)
        if port not in self.renamed:
            own = port.output == 0 and port.node not in self.graph.arguments
            name = port.node if own else self.new_name(f"{port.node}/value_{port.output}")
            self.nodes.append(FlatNode(make_constant(name, value.array), ()))
            self.renamed[port] = NodeOutput(name)
        return self.renamed[port]

    def new_name(self, wanted: str) -> str:
        """Return a name that no node of the graph has."""
        name = find_free_name(wanted, self.taken)
        self.taken.add(name)
        return name

    def keep(self, node: FlatNode) -> None:
        """Add a node to the new graph, with its inputs there."""
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
        after = tuple(
            name for name in node.after if NodeOutput(name) not in self.known
        )  # a constant need not be waited for
        self.nodes.append(FlatNode(definition, tuple(self.demand(port) for port in node.inputs), after))
        if node.op in LOOPS:
            self.know_invariants(node)

    def watch(self, node: FlatNode) -> None:
        """Follow what the converter computes from constants alone, and report what rounds there."""
        known = [isinstance(self.known.get(port), KnownValue) or port in self.unread for port in node.inputs]
        foldable = is_pure(node, texts=True) and node.op not in MARKS
        if known and all(known) and foldable:
            self.unread |= {NodeOutput(node.name, index) for index, _ in enumerate(output_types(node.definition))}
            if rounds_by_cpu(node):
                self.shared.unfolded.add(CpuDependence(node.op, node.name, BY_CPU))

    def know_invariants(self, node: FlatNode) -> None:
        """Note what a loop hands on as it is: it comes out as it went in."""
        for index in invariants(self.shared.library[node.definition.attr["body"].func.name], self.shared):
            if (value := self.known.get(node.inputs[index])) is not None:
                self.known[NodeOutput(node.name, index)] = value

    def split(self, node: FlatNode) -> bool:
        """Add a product and a sum in place of a batch normalisation by constants. Return False for any other one."""
        arrays = self.read_known(node.inputs[1:])
        if arrays is None:
            return self.split_variance(node)
        x = node.inputs[0]
        made = split_batch_norm(node, self.demand(x), arrays, lambda: self.shapes[x].rank, self.new_name)
        if made is None:
            return False
        self.nodes += made.nodes
        self.known |= {NodeOutput(node.name, index): to_value(array) for index, array in made.statistics.items()}
        return True

    def split_variance(self, node: FlatNode) -> bool:
        """Add a batch normalization of which the variance is known as what the converter makes of it."""
        variance = self.known.get(node.inputs[4])
        if not isinstance(variance, KnownValue) or read_attribute(node.definition, "is_training").b:
            return False
        made = split_by_variance(node, list(map(self.demand, node.inputs[:4])), variance.array, self.new_name)
        if made is None:
            self.shared.unfolded.add(CpuDependence("Rsqrt", node.name, BY_CPU))
            return False
        self.nodes += made
        return True

    def use_product(self, node: FlatNode) -> bool:
        """Add a product in place of an operator that is one, as the converter does. Return False for any other one."""
        arrays = self.read_known(node.inputs[1:])
        if arrays is None or not next(output_types(node.definition)).is_floating:
            return False
        (constant,) = arrays
        made = make_product(node, self.demand(node.inputs[0]), constant, self.new_name(f"{node.name}/y"))
        if made is None:
            self.shared.unfolded.add(CpuDependence(PRODUCTS[node.op], node.name, BY_CPU))
            return False
        self.nodes += made
        return True

    # loops and branches

    def fold_functions(self, node: FlatNode) -> Any:
        """Return a loop or branch whose functions are folded, with what is known of their arguments."""
        definition = node_def_pb2.NodeDef()
        definition.CopyFrom(node.definition)
        loop = node.op in LOOPS
        inputs = node.inputs if loop else node.inputs[1:]
        attributes = ("body", "cond") if loop else ("then_branch", "else_branch", "branches")
        kept: set[int] | None = None
        for attribute in attributes:
            if attribute not in definition.attr:
                continue
            place = definition.attr[attribute]
            for call in place.list.func if place.HasField("list") else [place.func]:
                function = self.shared.library[call.name]
                if loop and kept is None:
                    kept = invariants(function, self.shared)
                bound = {i: v for i, port in enumerate(inputs) if (v := self.known.get(port)) is not None}
                bound = {i: v for i, v in bound.items() if kept is None or i in kept}
                shapes = {i: self.shapes.get(port) for i, port in enumerate(inputs) if kept is None or i in kept}
                call.name = fold_function(self.shared, function, bound, shapes, f"{node.name}_{attribute}")
        return definition


def fold_graph(shared: Folding, graph: FlatGraph, bound: Mapping[str, Bound], specs: Mapping[str, Any]) -> FlatGraph:
    """Fold a graph, again where branches turned out to be decided."""
    reported = set(shared.unfolded)
    while True:
        folded = GraphFolding(shared, graph, bound, specs).fold()
        taken = take_branches(folded, shared.library, keep_order=shared.keep_order)
        if taken is None:
            return folded
        graph = taken
        shared.unfolded = set(reported)


def fold_function(
    shared: Folding, function: FunctionDef, bound: Mapping[int, Bound], shapes: Mapping[int, Any], name: str
) -> str:
    """Fold the function of a loop or a branch, and return the name of the new one."""
    flat = flatten_function(function, shared.library, keep_order=shared.keep_order)
    by_name = {flat.arguments[index]: value for index, value in bound.items()}
    known = {flat.arguments[index]: shape for index, shape in shapes.items() if shape is not None}
    dtypes = {argument.name: tf.dtypes.as_dtype(argument.type) for argument in function.signature.input_arg}
    specs = {name: tf.TensorSpec(known.get(name), dtype) for name, dtype in dtypes.items()}
    folded = fold_graph(shared, flat, by_name, specs)
    wanted = find_free_name(name.replace("/", "_"), {*shared.functions, *shared.library, *shared.taken})
    shared.functions[wanted] = shared.library[wanted] = to_function(folded, function, wanted)
    return wanted


def invariants(body: FunctionDef, shared: Folding) -> set[int]:
    """Return the indices of the arguments of a loop that its body returns unchanged."""
    flat = flatten_function(body, shared.library, keep_order=shared.keep_order)
    places = {name: index for index, name in enumerate(flat.arguments)}
    order = [result.name for result in body.signature.output_arg]
    return {index for index, name in enumerate(order) if places.get(flat.outputs[name].node) == index}


def is_pure(node: FlatNode, *, texts: bool = False) -> bool:
    """Whether a node's outputs depend on its inputs alone. Some nodes that give texts are."""
    definition = op_def_registry.get(node.op)
    if definition is None or definition.is_stateful or node.op in (*LOOPS, *BRANCHES):
        return False
    unvalued = UNVALUED if texts else (*UNVALUED, tf.string)
    return not any(one in unvalued for one in output_types(node.definition))


def size_type(node: FlatNode) -> Any:
    """Return the NumPy type in which a node gives sizes."""
    return tf.dtypes.as_dtype(read_attribute(node.definition, "out_type").type).as_numpy_dtype
