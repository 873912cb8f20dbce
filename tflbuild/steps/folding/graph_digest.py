"""A digest of the computation of traced functions. It is equal for two snapshots of the same model.

The digest depends on every operation, its attributes, its name (which becomes the name of a tensor in the artifact),
and the bytes of every variable. It does not depend on the functions that a SavedModel wraps around a model, the numbers
that a process adds to names, and the order in which nodes were added. A function that changes state has no digest,
because the digest would have to include the order of its effects.
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

# Stack frames. The walk needs about three for each operation between output and input.
MAX_DEPTH = 1_000_000
PASSES = ("Identity", "StopGradient", "PreventGradient")
READS = ("ReadVariableOp",)
PURE_RESOURCE_OPS = (*CALLS, *READS, "NoOp", "Placeholder", "Const", "Assert")


class NoDigest(Exception):
    """The function has an effect or a resource that the digest would not include."""


def digest_endpoints(endpoints: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all concrete functions in hexadecimal; "" if one of them has no digest.

    Args:
        endpoints: The concrete functions by signature name.
    """
    total = hashlib.sha256()
    previous_limit = sys.getrecursionlimit()
    # Since Python 3.11, calls from Python to Python need no C stack, so a deep recursion is safe.
    sys.setrecursionlimit(MAX_DEPTH)
    try:
        for key, concrete in sorted(endpoints.items()):
            total.update(f"{key}\0{_GraphDigester(concrete).digest()}\0".encode())
    except NoDigest:
        return ""
    finally:
        sys.setrecursionlimit(previous_limit)
    return total.hexdigest()


@dataclass(frozen=True)
class _Scope:
    """The nodes of a function's body by name, the digests of its arguments, and its results."""

    nodes: Mapping[str, Any]
    arguments: Mapping[str, str]
    returns: Mapping[str, str]


class _GraphDigester:
    """A computation of digests, from the outputs of a function to its inputs."""

    def __init__(self, concrete: Any) -> None:
        self.concrete = concrete
        definition = concrete.graph.as_graph_def()
        self.library = {function.signature.name: function for function in definition.library.function}
        self.nodes = {node.name: node for node in definition.node}
        self.known: dict[tuple[int, str], str] = {}

    def digest(self) -> str:
        """Return the digest of the function: its inputs (names, types, shapes), and its outputs with their digests."""
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
        """Return the digest of a captured variable or tensor. Raise NoDigest for any other resource."""
        if tensor.dtype.name not in ("resource", "variant"):
            array = np.ascontiguousarray(tensor.numpy())
            return _hash(f"{array.dtype} {array.shape} ", array.tobytes())
        for variable in self.concrete.graph.variables:
            if variable.handle is tensor:
                array = np.ascontiguousarray(variable.numpy())
                return _hash(f"{array.dtype} {array.shape} ", array.tobytes())
        raise NoDigest

    def value(self, reference: str, scope: _Scope) -> str:
        """Return the digest of an output `node:output`. That of an argument is the digest of the caller's tensor."""
        name, _, output = reference.partition(":")
        key = (id(scope), reference)
        if key not in self.known:
            self.known[key] = scope.arguments[name] if name in scope.arguments else self.node(name, output, scope)
        return self.known[key]

    def node(self, name: str, output: str, scope: _Scope) -> str:
        """Return the digest of one output of a node."""
        node = scope.nodes[name]
        if node.op in PASSES:
            return self.value(node.input[0], scope)
        if node.op in CALLS:
            return self.call(node, output, scope)
        if any(text.startswith("^") for text in node.input) and node.op not in PURE_RESOURCE_OPS:
            raise NoDigest
        inputs = [self.value(text, scope) for text in node.input if not text.startswith("^")]
        return _hash("\n".join([node.op, name, str(find_output_index(node, output)), *self.attributes(node), *inputs]))

    def call(self, node: Any, output: str, scope: _Scope) -> str:
        """Return the digest of an output of a call, as if the function were inlined.

        Attributes of the function that TFLiteConverter reads are a part of the digest.
        """
        function = self.library[node.attr["f"].func.name]
        if has_cycle(function):
            raise NoDigest
        values = [self.value(text, scope) for text in node.input if not text.startswith("^")]
        arguments = dict(zip((argument.name for argument in function.signature.input_arg), values, strict=True))
        inner = _Scope({n.name: n for n in function.node_def}, arguments, dict(function.ret))
        outputs = [argument.name for argument in function.signature.output_arg]
        result = outputs[find_output_index(node, output)]
        marks = [f"{key}={function.attr[key]}" for key in KEPT_ATTRIBUTES if key in function.attr]
        digest = self.value(function.ret[result], inner)
        # `self.known` uses ids of scopes, so a scope must not be deleted: another one could get its id.
        self.kept = (*getattr(self, "kept", ()), inner)
        return _hash("\n".join([*marks, digest])) if marks else digest

    def attributes(self, node: Any) -> list[str]:
        """Return the attributes of a node that affect its results. Those with an underscore affect how it is run."""
        return [f"{key}={self.attribute(value)}" for key, value in sorted(node.attr.items()) if not key.startswith("_")]

    def attribute(self, value: Any) -> str:
        """Return the digest of an attribute. If it names functions, it is that of their bodies."""
        if value.HasField("func"):
            return self.body(value.func.name)
        if value.HasField("list") and value.list.func:
            return " ".join(self.body(function.name) for function in value.list.func)
        return _hash("", value.SerializeToString(deterministic=True))

    def body(self, name: str) -> str:
        """Return the digest of the function of a loop or a branch: all of its nodes, in their order."""
        function = self.library[name]
        lines = [argument.name for argument in function.signature.input_arg]
        for node in function.node_def:
            attributes = [
                f"{key}={self.attribute(v)}" for key, v in sorted(node.attr.items()) if not key.startswith("_")
            ]
            lines += [node.op, node.name, *node.input, *attributes]
        lines += [f"{key}={value}" for key, value in sorted(function.ret.items())]
        return _hash("\n".join(lines))


def find_output_index(node: Any, output: str) -> int:
    """Return the index of an output, which is `2` in a graph, or `indices:0` in the body of a function.

    Raises:
        NoDigest: The installed TensorFlow does not define the operator.
    """
    if ":" in output and op_def_registry.get(node.op) is None:
        raise NoDigest
    return find_output(node, f"{node.name}:{output or 0}")


def _hash(text: str, data: bytes = b"") -> str:
    return hashlib.sha256(text.encode() + b"\0" + data).hexdigest()
