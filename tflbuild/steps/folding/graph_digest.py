"""What a traced function computes, as one digest: equal for the same model in another wrapping.

The functions that a SavedModel wraps around a model, the names that a process numbers, and the order
in which nodes were added do not count. Every operation does, with its attributes, its own name (which
becomes a tensor's name in the artifact) and the bytes of every variable. A function that changes
state has no digest: the order of its effects would have to be part of it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.python.framework import op_def_registry

from tflbuild.steps.folding.flat_graph import CALLS, KEPT_ATTRIBUTES, find_output, has_cycle

DEEPEST = 1_000_000  # frames; some three for each operation from output to input
PASSES = ("Identity", "StopGradient", "PreventGradient")
READS = ("ReadVariableOp",)
PURE_RESOURCE_OPS = (*CALLS, *READS, "NoOp", "Placeholder", "Const", "Assert")


class NoDigest(Exception):
    """The function does something whose order or source a digest would not cover."""


def digest_endpoints(endpoints: Mapping[str, Any]) -> str:
    """SHA-256 over all endpoints, "" when one has no digest."""
    total = hashlib.sha256()
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPEST)  # a step of the walk is Python calling Python, which takes no C stack since 3.11
    try:
        for key, concrete in sorted(endpoints.items()):
            total.update(f"{key}\0{_GraphDigester(concrete).digest()}\0".encode())
    except NoDigest:
        return ""
    finally:
        sys.setrecursionlimit(usual)
    return total.hexdigest()


@dataclass(frozen=True)
class _Scope:
    """Nodes of one function body by name, and what its arguments are from outside."""

    nodes: Mapping[str, Any]
    arguments: Mapping[str, str]
    returns: Mapping[str, str]


class _GraphDigester:
    """Digests values from a function's outputs back to its inputs."""

    def __init__(self, concrete: Any) -> None:
        self.concrete = concrete
        definition = concrete.graph.as_graph_def()
        self.library = {function.signature.name: function for function in definition.library.function}
        self.nodes = {node.name: node for node in definition.node}
        self.known: dict[tuple[int, str], str] = {}

    def digest(self) -> str:
        """Over inputs (names and specs) and outputs (names and what they are computed from)."""
        concrete = self.concrete
        arguments = {}
        count = len(concrete.inputs) - len(concrete.captured_inputs)
        parts = []
        for index, tensor in enumerate(concrete.inputs):
            if index < count:
                arguments[tensor.op.name] = f"input {index}"
                parts.append(f"{tensor.op.name} {tensor.dtype.name} {tensor.shape}")
            else:
                arguments[tensor.op.name] = self.captured(concrete.captured_inputs[index - count])
        scope = _Scope(self.nodes, arguments, {})
        for name, tensor in sorted(concrete.structured_outputs.items()):
            parts.append(f"{name} {tensor.dtype.name} {tensor.shape} {self.value(tensor.name, scope)}")
        return _hash("\n".join(parts))

    def captured(self, tensor: Any) -> str:
        """A variable by its bytes, and so a tensor; any other resource has no digest."""
        if tensor.dtype.name not in ("resource", "variant"):
            array = np.ascontiguousarray(tensor.numpy())
            return _hash(f"{array.dtype} {array.shape} ", array.tobytes())
        for variable in self.concrete.graph.variables:
            if variable.handle is tensor:
                array = np.ascontiguousarray(variable.numpy())
                return _hash(f"{array.dtype} {array.shape} ", array.tobytes())
        raise NoDigest

    def value(self, reference: str, scope: _Scope) -> str:
        """The digest of `node:output`; of a tensor of an enclosing function where it is an argument."""
        name, _, output = reference.partition(":")
        key = (id(scope), reference)
        if key not in self.known:
            self.known[key] = scope.arguments[name] if name in scope.arguments else self.node(name, output, scope)
        return self.known[key]

    def node(self, name: str, output: str, scope: _Scope) -> str:
        node = scope.nodes[name]
        if node.op in PASSES:
            return self.value(node.input[0], scope)
        if node.op in CALLS:
            return self.call(node, output, scope)
        if any(text.startswith("^") for text in node.input) and node.op not in PURE_RESOURCE_OPS:
            raise NoDigest
        inputs = [self.value(text, scope) for text in node.input if not text.startswith("^")]
        return _hash("\n".join([node.op, name, str(position(node, output)), *self.attributes(node), *inputs]))

    def call(self, node: Any, output: str, scope: _Scope) -> str:
        """A called function: seen through, unless its own attributes mean something to the converter."""
        function = self.library[node.attr["f"].func.name]
        if has_cycle(function):
            raise NoDigest
        values = [self.value(text, scope) for text in node.input if not text.startswith("^")]
        arguments = dict(zip((argument.name for argument in function.signature.input_arg), values, strict=True))
        inner = _Scope({n.name: n for n in function.node_def}, arguments, dict(function.ret))
        outputs = [argument.name for argument in function.signature.output_arg]
        result = outputs[position(node, output)]
        marks = [f"{key}={function.attr[key]}" for key in KEPT_ATTRIBUTES if key in function.attr]
        found = self.value(function.ret[result], inner)
        self.kept = (*getattr(self, "kept", ()), inner)  # ids of scopes must stay their own
        return _hash("\n".join([*marks, found])) if marks else found

    def attributes(self, node: Any) -> list[str]:
        """All that say what is computed; those with an underscore say how."""
        return [f"{key}={self.attribute(value)}" for key, value in sorted(node.attr.items()) if not key.startswith("_")]

    def attribute(self, value: Any) -> str:
        """A node's attribute; the body of a function where it names one."""
        if value.HasField("func"):
            return self.body(value.func.name)
        if value.HasField("list") and value.list.func:
            return " ".join(self.body(function.name) for function in value.list.func)
        return _hash("", value.SerializeToString(deterministic=True))

    def body(self, name: str) -> str:
        """A loop's or a branch's function: all of its nodes, in their order."""
        function = self.library[name]
        lines = [argument.name for argument in function.signature.input_arg]
        for node in function.node_def:
            attributes = [
                f"{key}={self.attribute(v)}" for key, v in sorted(node.attr.items()) if not key.startswith("_")
            ]
            lines += [node.op, node.name, *node.input, *attributes]
        lines += [f"{key}={value}" for key, value in sorted(function.ret.items())]
        return _hash("\n".join(lines))


def position(node: Any, output: str) -> int:
    """Which output of a node: `2` in a graph; in a function's body `indices:0`, by the name in its definition.

    Raises NoDigest for an operator that this TensorFlow does not define.
    """
    if ":" in output and op_def_registry.get(node.op) is None:
        raise NoDigest
    return find_output(node, f"{node.name}:{output or 0}")


def _hash(text: str, data: bytes = b"") -> str:
    return hashlib.sha256(text.encode() + b"\0" + data).hexdigest()
