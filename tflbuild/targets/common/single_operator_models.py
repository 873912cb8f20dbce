"""Models of single operators of an artifact, with which each operator is tested separately."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.targets.common.rules import OperatorView, each_view
from tflbuild.tflite.operator_slices import Slices
from tflbuild.tflite.tflite_model import Tensor
from tflbuild.tflite.tflite_reader import read_model

# Operators that need other subgraphs, or a resource that another operator creates.
ENTANGLED = frozenset(
    (
        *("IF", "WHILE", "CALL", "CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE"),
        *("HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE"),
    )
)
# Operators whose inputs are ones, not zeros.
DIVISIONS = frozenset(("DIV", "FLOOR_DIV", "FLOOR_MOD"))
NUMPY = {
    **{name: np.dtype(name) for name in ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16")},
    **{name: np.dtype(name) for name in ("int32", "uint32", "int64", "uint64", "bool")},
}


@dataclass(frozen=True)
class SingleOperatorModel:
    """An operator and a model that contains only it.

    Attributes:
        view: The operator in the artifact.
        model: The bytes of its model.
        feed: The inputs in order: zeros, or ones for divisions.
        outputs: The number of outputs.
    """

    view: OperatorView
    model: bytes
    feed: tuple[np.ndarray, ...]
    outputs: int


def each_slice(path: Path) -> Iterator[SingleOperatorModel]:
    """Yield the operators that can run separately, in order.

    Dynamic dimensions have the size that is stored in the file.
    """
    slices = Slices(path)
    for view in each_view(read_model(path)):
        if view.op.name in ENTANGLED:
            continue
        moving = slices.inputs(view.subgraph, view.index)
        if any(_tensor(view, index).type not in NUMPY for index in moving):
            continue
        stored = slices.root.subgraphs[view.subgraph].tensors
        feed = tuple(_value(stored[index], _tensor(view, index), view.op.name in DIVISIONS) for index in moving)
        yield SingleOperatorModel(view, slices.operator(view.subgraph, view.index), feed, len(view.outputs))


def _tensor(view: OperatorView, index: int) -> Tensor:
    return view.graph.tensors[index]


def _value(stored: Any, tensor: Tensor, ones: bool) -> np.ndarray:
    shape = () if stored.shape is None else tuple(stored.shape)
    return np.full(shape, 1 if ones else 0, NUMPY[tensor.type])
