"""Checks of SavedModels: the operators that would run when a model is loaded or called, and reach outside it.

Operators that only compute are listed in `tensorflow_allow_list`. Three other kinds are common in SavedModels, and are
allowed if it is certain which files they use: tables that are filled from an asset file, operators that save or restore
the model's own variables, and operators that print to the screen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from tensorflow.python.framework import op_def_registry

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.foreign_models.saved_model_file import list_assets
from tflbuild.steps.foreign_models.tensorflow_allow_list import OPERATORS

ALLOW = "source.allow"
TEXT_TABLES = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
SAVER = ("SaveV2", "RestoreV2", "MergeV2Checkpoints", "Save", "SaveSlices", "Restore", "RestoreSlice")
SCREEN = (b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)")
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
PASS_ON = ("Identity", "IdentityN", "ShardedFilename", "Pack", "ExpandDims", "Reshape")
ASSET, SAVED, OTHER = "asset", "variables", "other"
# The scope of the main graph. The scope of a function is its name.
MAIN = ""
MAX_TRACE_DEPTH = 60


@dataclass(frozen=True)
class UnsafeOperator:
    """An operator that reaches outside the model, or may do so: its name, its location, and the reason."""

    operator: str
    place: str
    why: str


def require_contained_graph(model: Any, allowed: Collection[str], label: str) -> None:
    """Refuse a SavedModel with operators that reach outside it, unless the recipe allows them.

    Args:
        model: The SavedModel protocol buffer. All of its graphs are checked.
        allowed: `source.allow` of the recipe.
        label: The name of the model in messages.

    Raises:
        WorkerError: An operator or an asset is refused. The message has the operators, their locations, and the recipe
            key.
    """
    require_contained_assets(model, label)
    unsafe = list_reaching(model)
    names = list(dict.fromkeys(operator.operator for operator in unsafe))
    for name in allowed:
        if name not in names:
            raise WorkerError(
                f"'{label}' has no operator '{name}' to allow",
                where=ALLOW,
                why=f"its operators that reach outside the model: {', '.join(names) or 'none'}",
            )
    not_allowed = [operator for operator in unsafe if operator.operator not in allowed]
    if not_allowed:
        refused = list(dict.fromkeys(operator.operator for operator in not_allowed))
        all_names = ",".join([*allowed, *refused])
        raise WorkerError(
            f"'{label}' has operators that reach outside the model: {', '.join(refused)}",
            where=ALLOW,
            why="\n".join(f"{operator.operator} in {operator.place}: {operator.why}" for operator in not_allowed[:5]),
            next_step=f"if you trust the model: {ALLOW}=[{all_names}]; else export it without them",
        )


def require_contained_assets(model: Any, label: str) -> None:
    """Refuse asset files outside the folder `assets` of the model."""
    for graph in model.meta_graphs:
        for asset in list_assets(graph):
            parts = PurePosixPath(asset.filename)
            if parts.is_absolute() or ".." in parts.parts or "\\" in asset.filename or "\0" in asset.filename:
                raise WorkerError(
                    f"'{label}' is refused: its asset '{asset.filename[:200]}' leads out of its folder",
                    where="source",
                    why="the assets of a SavedModel must be in its folder assets",
                    next_step="ask the author of the model to export it again",
                )


def list_reaching(model: Any) -> list[UnsafeOperator]:
    """Return the operators of all graphs that reach outside the model, without duplicates."""
    return list(
        dict.fromkeys(operator for graph in model.meta_graphs for operator in GraphReader(graph).list_reaching())
    )


@dataclass
class GraphReader:
    """The main graph and the functions of a SavedModel, with the origins of the strings that operators use.

    Attributes:
        graph: The MetaGraphDef.
        depth: The present depth of the recursion that traces a string.
        known: Scope and name of a node -> the origins of its string.
    """

    graph: Any
    depth: int = 0
    known: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    @cached_property
    def functions(self) -> dict[str, Any]:
        """The functions by name."""
        return {function.signature.name: function for function in self.graph.graph_def.library.function}

    @cached_property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes by scope and name."""
        scopes = {name: {node.name: node for node in function.node_def} for name, function in self.functions.items()}
        return {**scopes, MAIN: {node.name: node for node in self.graph.graph_def.node}}

    @cached_property
    def arguments(self) -> dict[str, dict[str, int]]:
        """The indices of arguments by function and name."""
        return {
            name: {argument.name: index for index, argument in enumerate(function.signature.input_arg)}
            for name, function in self.functions.items()
        }

    @cached_property
    def callers(self) -> dict[str, list[tuple[str, Any]]]:
        """Function name -> the scopes and nodes that call it. The node is None if it is not a direct call."""
        callers: dict[str, list[tuple[str, Any]]] = {}
        for scope, nodes in self.nodes.items():
            for node in nodes.values():
                if node.op in self.functions:
                    callers.setdefault(node.op, []).append((scope, node))
                for attribute in node.attr.values():
                    for name in (attribute.func.name, *(function.name for function in attribute.list.func)):
                        if name:
                            callers.setdefault(name, []).append((scope, node if node.op in CALLS else None))
        return callers

    @cached_property
    def saver_tensor(self) -> str:
        """The node of the main graph that is fed with the path of the variables; "" if there is none."""
        name = self.graph.saver_def.filename_tensor_name.partition(":")[0]
        node = self.nodes[MAIN].get(name)
        return name if node is not None and self.has_plain_default(node) else ""

    @cached_property
    def asset_tensors(self) -> set[str]:
        """The nodes of the main graph that are fed with the path of an asset file."""
        return {asset.tensor_info.name.partition(":")[0] for asset in list_assets(self.graph)}

    @cached_property
    def asset_objects(self) -> set[int]:
        """The indices of objects that are asset files."""
        objects = self.graph.object_graph_def.nodes
        return {number for number, node in enumerate(objects) if node.WhichOneof("kind") == "asset"}

    def has_plain_default(self, node: Any, depth: int = 3) -> bool:
        """Return whether the default of a node contains no path, in case that the node is not fed."""
        if node.op == "PlaceholderWithDefault" and node.input and depth:
            inner = self.nodes[MAIN].get(node.input[0].partition(":")[0])
            return inner is not None and inner.op != "Placeholder" and self.has_plain_default(inner, depth - 1)
        return node.op == "Placeholder" or (node.op == "Const" and b"/" not in b"".join(read_strings(node)))

    def list_reaching(self) -> Iterator[UnsafeOperator]:
        """Yield the operators that reach outside the model."""
        scopes = [(function.signature.name, function.node_def) for function in self.graph.graph_def.library.function]
        for scope, nodes in [(MAIN, self.graph.graph_def.node), *scopes]:
            location = f"the function '{scope}'" if scope else "the main graph"
            for node in nodes:
                reason = "" if node.op in OPERATORS or self.is_function(node.op) else self.explain(scope, node)
                if reason:
                    yield UnsafeOperator(node.op, location, reason)

    def is_function(self, name: str) -> bool:
        """Return whether an operator name is a function of the model, and not an operator of TensorFlow."""
        return name in self.functions and op_def_registry.get(name) is None

    def explain(self, scope: str, node: Any) -> str:
        """Return why an operator reaches outside the model; "" if it is certain that it does not."""
        if node.op in TEXT_TABLES:
            if self.origins(scope, node.input[1] if len(node.input) > 1 else "") != {ASSET}:
                return "it reads a file that is no asset of the model"
            return "it reads a file when the model is called" if node.name in self.called_nodes(scope) else ""
        if node.op in SAVER:
            inside = all(self.origins(scope, name) == {SAVED} for name in saver_paths(node))
            return "" if inside else "it reads or writes a file that is not the model's variables"
        if node.op == "PrintV2":
            return (
                "" if node.attr["output_stream"].s in SCREEN or not node.attr["output_stream"].s else "it writes a file"
            )
        return "it reaches outside the tensors of the model, or may do so"

    def called_nodes(self, scope: str) -> Collection[str]:
        """Return the nodes of the main graph that signatures need. For functions, only their arguments are checked."""
        return self.main_called if scope == MAIN else ()

    @cached_property
    def main_called(self) -> set[str]:
        """The nodes of the main graph that a signature needs."""
        todo = [
            info.name.partition(":")[0]
            for key, definition in self.graph.signature_def.items()
            if not key.startswith("__")
            for info in definition.outputs.values()
        ]
        needed: set[str] = set()
        while todo:
            name = todo.pop()
            if name in needed or name not in self.nodes[MAIN]:
                continue
            needed.add(name)
            todo += [source.lstrip("^").partition(":")[0] for source in self.nodes[MAIN][name].input]
        return needed

    def origins(self, scope: str, name: str) -> frozenset[str]:
        """Return the origins of a string: an asset, the path of the variables, or something else.

        The result is empty if nothing provides the string, such as for an argument of a function that is never called.
        """
        name = name.partition(":")[0]
        if (scope, name) in self.known:
            return self.known[scope, name]
        # This value counts in a cycle, and in a chain that is longer than any exporter makes.
        self.known[scope, name] = frozenset({OTHER})
        if self.depth < MAX_TRACE_DEPTH:
            self.depth += 1
            self.known[scope, name] = frozenset(self.trace(scope, name))
            self.depth -= 1
        return self.known[scope, name]

    def trace(self, scope: str, name: str) -> Iterator[str]:
        """Yield the origins of a string, from the node that provides it."""
        if scope != MAIN and name in self.arguments[scope]:
            yield from self.trace_argument(scope, self.arguments[scope][name])
            return
        node = self.nodes[scope].get(name)
        if node is None:
            yield OTHER
        elif scope == MAIN and name in self.asset_tensors:
            yield ASSET
        elif scope == MAIN and name == self.saver_tensor:
            yield SAVED
        elif scope == MAIN and node.op == "ReadVariableOp":
            yield from self.trace_variable(node.input[0] if node.input else "")
        elif node.op in PASS_ON or (node.op == "StringJoin" and self.adds_plain_names(scope, node)):
            sources = [source for source in node.input if not source.startswith("^")]
            first = node.op in ("ShardedFilename", "StringJoin", "ExpandDims", "Reshape")
            for source in sources[:1] if first else sources:
                yield from self.origins(scope, source)
        else:
            yield OTHER

    def trace_variable(self, name: str) -> Iterator[str]:
        """Yield the origins of all strings that are assigned to a variable of the main graph, such as asset paths."""
        handle = self.nodes[MAIN].get(name.partition(":")[0])
        if handle is None or handle.op != "VarHandleOp":
            yield OTHER
            return
        shared = [
            node
            for nodes in self.nodes.values()
            for node in nodes.values()
            if node.op == "VarHandleOp" and node.attr["shared_name"].s == handle.attr["shared_name"].s
        ]
        users = [
            n for n in self.nodes[MAIN].values() if handle.name in (source.partition(":")[0] for source in n.input)
        ]
        assignments = [node for node in users if node.op == "AssignVariableOp"]
        has_known_users = all(node.op in ("AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp") for node in users)
        if len(shared) != 1 or not has_known_users or not assignments:
            yield OTHER
        for node in assignments:
            yield from self.origins(MAIN, node.input[1] if len(node.input) > 1 else "")

    def trace_argument(self, function: str, index: int) -> Iterator[str]:
        """Yield the origins of an argument: the strings that callers pass, and the captures in the object graph."""
        for scope, node in self.callers.get(function, ()):
            sources = [] if node is None else [name for name in node.input if not name.startswith("^")]
            if index >= len(sources):
                yield OTHER
            else:
                yield from self.origins(scope, sources[index])
        objects = self.graph.object_graph_def
        if function in objects.concrete_functions:
            bound = objects.concrete_functions[function].bound_inputs
            capture = index - (len(self.arguments[function]) - len(bound))
            yield ASSET if capture >= 0 and bound[capture] in self.asset_objects else OTHER

    def adds_plain_names(self, scope: str, node: Any) -> bool:
        """Return whether a StringJoin only adds names to a path that stay below it."""
        return all(self.is_plain_name(scope, name) for name in node.input[1:] if not name.startswith("^"))

    def is_plain_name(self, scope: str, name: str, depth: int = 3) -> bool:
        """Return whether a string is a constant without `..`, or selected from two such constants."""
        node = self.nodes[scope].get(name.partition(":")[0])
        if node is None or not depth:
            return False
        if node.op in ("Select", "SelectV2") and len(node.input) > 2:
            return all(self.is_plain_name(scope, source, depth - 1) for source in node.input[1:3])
        return node.op == "Const" and all(b".." not in text for text in read_strings(node))


def read_strings(node: Any) -> list[bytes]:
    """Return the strings of a constant."""
    tensor = node.attr["value"].tensor
    return [*tensor.string_val, tensor.tensor_content]


def saver_paths(node: Any) -> list[str]:
    """Return the inputs of a saver operator that are paths: the first one, and for a merge also the second."""
    inputs = [name for name in node.input if not name.startswith("^")]
    return inputs[:2] if node.op == "MergeV2Checkpoints" else inputs[:1] or [""]


def describe_reaching(unsafe: list[UnsafeOperator]) -> list[Mapping[str, str]]:
    """Return the operators that a recipe must allow, for `inspect`. Each operator is listed once."""
    first = {operator.operator: operator for operator in reversed(unsafe)}
    return [
        {"path": name, "why": f"an operator of {operator.place}, since {operator.why}", "key": ALLOW}
        for name, operator in sorted(first.items())
    ]
