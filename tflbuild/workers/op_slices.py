"""Single operators of a model as models of their own, to try each alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.core.model import Tensor
from tflbuild.targets.rules import View, each_view
from tflbuild.workers.flatbuffer import IDENTIFIER, read_model

# operators that are nothing without other subgraphs, or without a resource that another operator makes
ENTANGLED = frozenset(
    (
        *("IF", "WHILE", "CALL", "CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE"),
        *("HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE"),
    )
)
DIVISIONS = frozenset(("DIV", "FLOOR_DIV", "FLOOR_MOD"))  # by zero is no fair trial
NUMPY = {
    **{name: np.dtype(name) for name in ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16")},
    **{name: np.dtype(name) for name in ("int32", "uint32", "int64", "uint64", "bool")},
}


@dataclass(frozen=True)
class Slice:
    """One operator: where it stands, a model with nothing else, and inputs, in order: zeros, but for divisions."""

    view: View
    model: bytes
    feed: tuple[np.ndarray, ...]
    outputs: int


def each_slice(path: Path) -> Iterator[Slice]:
    """Operators that can stand alone, in order. Free sizes are those that the file holds."""
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    for view in each_view(read_model(path)):
        graph = root.subgraphs[view.subgraph]
        moving = [index for index in dict.fromkeys(view.op.inputs) if index >= 0 and _is_fed(view, index)]
        if view.op.name in ENTANGLED or any(_tensor(view, index).type not in NUMPY for index in moving):
            continue
        feed = tuple(_value(graph.tensors[index], _tensor(view, index), view.op.name in DIVISIONS) for index in moving)
        yield Slice(view, _pack(root, graph, view, moving), feed, len(view.outputs))


def _tensor(view: View, index: int) -> Tensor:
    return view.graph.tensors[index]


def _is_fed(view: View, index: int) -> bool:
    tensor = _tensor(view, index)
    return not tensor.constant and not tensor.state


def _value(stored: Any, tensor: Tensor, ones: bool) -> np.ndarray:
    shape = () if stored.shape is None else tuple(stored.shape)
    return np.full(shape, 1 if ones else 0, NUMPY[tensor.type])


def _pack(root: Any, graph: Any, view: View, moving: list[int]) -> bytes:
    """A model with the operator and its tensors; they are lent from `root`, and given back as they were."""
    op = graph.operators[view.index]
    outputs = [index for index in op.outputs if index >= 0]
    used = list(dict.fromkeys([index for index in op.inputs if index >= 0] + outputs))
    used += [index for index in (op.intermediates if op.intermediates is not None else ()) if index not in used]
    place = {old: new for new, old in enumerate(used)}
    model, only, alone = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    model.version, model.buffers = root.version, [schema.BufferT()]
    model.operatorCodes, model.subgraphs = [root.operatorCodes[op.opcodeIndex]], [only]
    for name in ("builtinOptions", "builtinOptionsType", "builtinOptions2", "builtinOptions2Type", "customOptions"):
        setattr(alone, name, getattr(op, name))
    alone.mutatingVariableInputs = op.mutatingVariableInputs
    alone.opcodeIndex = 0
    alone.inputs, alone.outputs = [place.get(index, -1) for index in op.inputs], [place[index] for index in outputs]
    alone.intermediates = None if op.intermediates is None else [place[index] for index in op.intermediates]
    only.tensors, only.operators = [graph.tensors[index] for index in used], [alone]
    only.inputs, only.outputs = [place[index] for index in moving], list(alone.outputs)
    before = [tensor.buffer for tensor in only.tensors]
    try:
        for tensor in only.tensors:
            model.buffers.append(root.buffers[tensor.buffer] if tensor.buffer else schema.BufferT())
            tensor.buffer = len(model.buffers) - 1
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), IDENTIFIER)
    finally:
        for tensor, buffer in zip(only.tensors, before, strict=True):
            tensor.buffer = buffer
    return bytes(builder.Output())
