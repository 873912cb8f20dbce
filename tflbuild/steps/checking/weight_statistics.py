"""What packs well: zeros and repeated values among the weights of an artifact, read from its bytes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.operator_schemes import CONVERSIONS
from tflbuild.tflite.rules import REAL
from tflbuild.tflite.tflite_model import Model, Subgraph, Tensor
from tflbuild.tflite.tflite_reader import read_buffers

GROUP = 4
KEPT = 2  # of each group
CHANNEL_LAST = ("BATCH_MATMUL", "CONV_3D", "EMBEDDING_LOOKUP", "GATHER")
NEVER_TRAINED = ("DEPTHWISE_CONV_2D",)  # tensorflow-model-optimization leaves these weights alone


@dataclass(frozen=True)
class Weights:
    """One stored tensor of weights. `zeros` and `distinct` count elements and values; `in_pairs`: of each four
    neighbours along the last axis, as kernels read them, at least two are zero (missing ones count as zero);
    `channel_distinct`: the most values that one output channel has, zero included."""

    name: str
    operator: str
    elements: int
    zeros: int
    in_pairs: bool
    distinct: int
    channel_distinct: int


def gzip_bytes(path: Path) -> int:
    """Size of the file packed by gzip, level 9, without name and time: what a download takes."""
    return len(gzip.compress(path.read_bytes(), compresslevel=9, mtime=0))


def measure(path: Path, model: Model) -> list[Weights]:
    """The weights that training may have pruned or clustered, in the order of the operators."""
    buffers = read_buffers(path)
    found: dict[int, Weights] = {}
    for graph in model.subgraphs:
        for operator, tensor in stored(graph):
            if tensor.buffer not in found:
                found[tensor.buffer] = count(tensor, operator, values_of(tensor, buffers[tensor.buffer]))
    return list(found.values())


def stored(graph: Subgraph) -> Iterator[tuple[str, Tensor]]:
    """(operator, tensor) of all that is stored and has two dimensions or more, through what widens it."""
    widened = {op.outputs[0]: op.inputs[0] for op in graph.ops if op.name == "DEQUANTIZE"}
    for op in graph.ops:
        if op.name in CONVERSIONS or op.name in NEVER_TRAINED:
            continue
        for index in op.inputs:
            tensor = graph.tensors[widened.get(index, index)]
            if index >= 0 and tensor.constant and tensor.type in REAL and len(tensor.shape) > 1:
                yield op.name, tensor


def values_of(tensor: Tensor, data: bytes) -> np.ndarray:
    """The stored values in the tensor's shape: whole numbers where it is quantized (zero point 0 taken off)."""
    if tensor.type == "int4":
        packed = np.frombuffer(data, np.int8)
        values = np.stack([packed << 4 >> 4, packed >> 4], -1).ravel()[: tensor.elements]
    else:
        values = np.frombuffer(data, np.dtype(tensor.type))
    zero = tensor.zero_points[0] if len(set(tensor.zero_points)) == 1 else 0
    return np.asarray(values - np.asarray(zero, values.dtype)).reshape(tensor.shape)


def count(tensor: Tensor, operator: str, values: np.ndarray) -> Weights:
    """The figures of one tensor."""
    rows = values.reshape(-1, values.shape[-1])
    filled = np.pad(rows != 0, ((0, 0), (0, -rows.shape[1] % GROUP)))
    channels = values if operator not in CHANNEL_LAST else np.moveaxis(values, -1, 0)
    return Weights(
        name=tensor.name,
        operator=operator,
        elements=int(values.size),
        zeros=int((values == 0).sum()),
        in_pairs=bool((filled.reshape(-1, GROUP).sum(-1) <= KEPT).all()),
        distinct=len(np.unique(values)),
        channel_distinct=max(len(np.unique(channel)) for channel in channels),
    )


def describe(found: list[Weights]) -> dict[str, Any]:
    """The figures as JSON: of each tensor, and of all together."""
    elements = sum(one.elements for one in found)
    return {
        "elements": elements,
        "zeros": sum(one.zeros for one in found) / max(1, elements),
        "in_pairs": sum(one.elements for one in found if one.in_pairs) / max(1, elements),
        "channel_distinct": max((one.channel_distinct for one in found), default=0),
        "tensors": [asdict(one) for one in found],
    }


def find_lost_weights(found: list[Weights], optimized: Mapping[str, Any]) -> Iterator[Finding]:
    """What training made and the artifact no longer has.

    Converting renames tensors and folds what follows into them, but keeps their number of elements: layers
    and tensors of one size are held against each other, the best of each first.
    """
    pairs = optimized["pattern"] == "two_of_four"
    for layer, wanted, tensor in match_layers(
        found, optimized["pruned"], lambda one: -one.zeros, "zeros", most_first=True
    ):
        if tensor is None:
            yield Finding("sparsity", f"no weights of {wanted['elements']:,} elements, as layer '{layer}' has")
        elif tensor.zeros < wanted["zeros"]:
            shares = f"{tensor.zeros / tensor.elements:.1%} zeros, trained were {wanted['zeros'] / tensor.elements:.1%}"
            yield Finding("sparsity", f"{tensor.name} has {shares}")
        elif pairs and not tensor.in_pairs:
            yield Finding("sparsity", f"{tensor.name} has groups of four with more than two weights")
    key = "distinct"
    clustered = optimized["clustered"]
    for layer, wanted, tensor in match_layers(
        found, clustered, lambda one: one.channel_distinct, key, most_first=False
    ):
        if tensor is None:
            yield Finding("clusters", f"no weights of {wanted['elements']:,} elements, as layer '{layer}' has")
        elif tensor.channel_distinct > wanted["distinct"]:
            has = f"{tensor.channel_distinct} different weights in one channel"
            yield Finding("clusters", f"{tensor.name} has {has}, trained were {wanted['distinct']}")


def match_layers(
    found: list[Weights], layers: list[Mapping[str, Any]], rank: Any, key: str, *, most_first: bool
) -> Iterator[tuple[str, Mapping[str, Any], Weights | None]]:
    """(layer's name, what it was trained to, its tensor): by number of elements, then by rank."""
    left = {
        size: sorted((one for one in found if one.elements == size), key=rank)
        for size in {w["elements"] for w in layers}
    }
    for wanted in sorted(layers, key=lambda one: one[key], reverse=most_first):
        tensors = left[wanted["elements"]]
        yield wanted["layer"], wanted, tensors.pop(0) if tensors else None
