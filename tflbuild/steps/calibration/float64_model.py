"""Evaluation of a float model in float64, for one signature and only as far as some activations need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflbuild.steps.calibration.float64_operators import OPERATORS, Array
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph
from tflbuild.tflite.tflite_reader import read_buffers

REALS = {"float32": np.float32, "float16": np.float16, "float64": np.float64}
OTHERS = {
    **{name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")},
}


@dataclass(frozen=True)
class Float64Model:
    """The operators that some activations need.

    Attributes:
        ops: The operators in the order of the model.
        constants: Tensor index -> the value of every constant that they read.
        inputs: Input name -> tensor index.
    """

    ops: tuple[Operator, ...]
    constants: Mapping[int, Array]
    inputs: Mapping[str, int]

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[int, Array]:
        """Run the operators on the inputs `feed`, and return the value of every tensor by index.

        Raises:
            NotImplementedError: An operator has options or shapes that are not implemented.
        """
        values = dict(self.constants)
        for name, index in self.inputs.items():
            values[index] = _to_float64(np.asarray(feed[name]))
        with np.errstate(all="ignore"):
            for op in self.ops:
                inputs = [values[index] if index >= 0 else None for index in op.inputs]
                try:
                    values.update(zip(op.outputs, OPERATORS[op.name](op, inputs), strict=False))
                except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                    raise NotImplementedError(f"{op.name}: {error}") from error
        return values


def open_float64(path: Path, model: Model, key: str, indices: Iterable[int]) -> Float64Model:
    """Prepare the evaluation of some tensors of a signature.

    Args:
        path: The float model.
        model: Its contents.
        key: The signature name.
        indices: Tensor indices, which must be in `list_computable`.
    """
    entry = next(entry for entry in model.signatures if entry.key == key)
    graph = model.subgraphs[entry.subgraph]
    ops = _list_needed(graph, indices)
    read_indices = {index for op in ops for index in op.inputs if index >= 0}
    buffers = read_buffers(path)
    constants = {
        index: _read_constant(graph, index, buffers) for index in read_indices if graph.tensors[index].constant
    }
    index_of = {id(tensor): index for index, tensor in enumerate(graph.tensors)}
    return Float64Model(ops, constants, {name: index_of[id(tensor)] for name, tensor in entry.inputs.items()})


def list_computable(graph: Subgraph) -> frozenset[int]:
    """Return the tensors of a subgraph that can be computed from its inputs with the implemented operators."""
    computable = set(graph.inputs) | {index for index, tensor in enumerate(graph.tensors) if is_readable(graph, index)}
    for op in graph.ops:
        if op.name in OPERATORS and all(index < 0 or index in computable for index in op.inputs):
            computable.update(op.outputs)
    return frozenset(computable)


def is_readable(graph: Subgraph, index: int) -> bool:
    """Return whether a tensor is a constant that is neither quantized nor sparse, of a supported type."""
    tensor = graph.tensors[index]
    is_plain = not tensor.quantized and not tensor.sparse
    return tensor.constant and is_plain and (tensor.type in REALS or tensor.type in OTHERS)


def _list_needed(graph: Subgraph, indices: Iterable[int]) -> tuple[Operator, ...]:
    """Return the operators that some tensors depend on, in the order of the model."""
    needed, needed_ops = set(indices), []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed_ops.append(op)
            needed.update(op.inputs)
    return tuple(reversed(needed_ops))


def _read_constant(graph: Subgraph, index: int, buffers: list[bytes]) -> Array:
    tensor = graph.tensors[index]
    dtype = REALS.get(tensor.type) or OTHERS[tensor.type]
    return _to_float64(np.frombuffer(buffers[tensor.buffer], dtype).reshape(tensor.shape))


def _to_float64(values: Array) -> Array:
    """Convert real values to float64. Other types stay unchanged."""
    return values.astype(np.float64) if values.dtype.kind == "f" else values
