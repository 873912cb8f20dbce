"""One signature of a float model, evaluated in float64 as far as some of its activations need it."""

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
    """Operators in order, with every constant that they read."""

    ops: tuple[Operator, ...]
    constants: Mapping[int, Array]
    inputs: Mapping[str, int]

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[int, Array]:
        """Return the value of every tensor that was needed, by index.

        Raises:
            NotImplementedError: An operator has options or shapes that are not known here.
        """
        values = dict(self.constants)
        for name, index in self.inputs.items():
            values[index] = _widen(np.asarray(feed[name]))
        with np.errstate(all="ignore"):
            for op in self.ops:
                inputs = [values[index] if index >= 0 else None for index in op.inputs]
                try:
                    values.update(zip(op.outputs, OPERATORS[op.name](op, inputs), strict=False))
                except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                    raise NotImplementedError(f"{op.name}: {error}") from error
        return values


def open_float64(path: Path, model: Model, key: str, wanted: Iterable[int]) -> Float64Model:
    """Return what evaluates some tensors of a signature. They must be in `list_computable`."""
    entry = next(entry for entry in model.signatures if entry.key == key)
    graph = model.subgraphs[entry.subgraph]
    ops = _list_needed(graph, wanted)
    read = {index for op in ops for index in op.inputs if index >= 0}
    buffers = read_buffers(path)
    constants = {index: _read_constant(graph, index, buffers) for index in read if graph.tensors[index].constant}
    places = {id(tensor): index for index, tensor in enumerate(graph.tensors)}
    return Float64Model(ops, constants, {name: places[id(tensor)] for name, tensor in entry.inputs.items()})


def list_computable(graph: Subgraph) -> frozenset[int]:
    """Return the tensors of a subgraph that depend on operators alone that are known here."""
    known = set(graph.inputs) | {index for index, tensor in enumerate(graph.tensors) if is_readable(graph, index)}
    for op in graph.ops:
        if op.name in OPERATORS and all(index < 0 or index in known for index in op.inputs):
            known.update(op.outputs)
    return frozenset(known)


def is_readable(graph: Subgraph, index: int) -> bool:
    """Return whether a tensor is a constant of plain numbers."""
    tensor = graph.tensors[index]
    plain = not tensor.quantized and not tensor.sparse
    return tensor.constant and plain and (tensor.type in REALS or tensor.type in OTHERS)


def _list_needed(graph: Subgraph, wanted: Iterable[int]) -> tuple[Operator, ...]:
    needed, kept = set(wanted), []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            kept.append(op)
            needed.update(op.inputs)
    return tuple(reversed(kept))


def _read_constant(graph: Subgraph, index: int, buffers: list[bytes]) -> Array:
    tensor = graph.tensors[index]
    kind = REALS.get(tensor.type) or OTHERS[tensor.type]
    return _widen(np.frombuffer(buffers[tensor.buffer], kind).reshape(tensor.shape))


def _widen(values: Array) -> Array:
    return values.astype(np.float64) if values.dtype.kind == "f" else values
