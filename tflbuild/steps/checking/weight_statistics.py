"""Statistics on how well weights compress: zeros and repeated values among the weights of an artifact."""

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
# The number of weights in each group that pruning with the pattern `two_of_four` keeps.
KEPT = 2
CHANNEL_LAST = ("BATCH_MATMUL", "CONV_3D", "EMBEDDING_LOOKUP", "GATHER")
# tensorflow-model-optimization does not change these weights.
NEVER_TRAINED = ("DEPTHWISE_CONV_2D",)


@dataclass(frozen=True)
class Weights:
    """The statistics of one stored tensor of weights.

    Attributes:
        name: The name of the tensor.
        operator: The kind of the operator that reads it.
        elements: The number of elements.
        zeros: The number of elements that are zero.
        in_pairs: Whether at least two of each four neighbours along the last axis are zero. Missing ones count as zero.
        distinct: The number of different values.
        channel_distinct: The largest number of different values, zero included, in one output channel.
    """

    name: str
    operator: str
    elements: int
    zeros: int
    in_pairs: bool
    distinct: int
    channel_distinct: int


def measure_gzip_bytes(path: Path) -> int:
    """Return the size of the file when compressed by gzip, level 9, without name and time."""
    return len(gzip.compress(path.read_bytes(), compresslevel=9, mtime=0))


def measure(path: Path, model: Model) -> list[Weights]:
    """Return statistics of the weights that training may have pruned or clustered, in the order of the operators."""
    buffers = read_buffers(path)
    weights: dict[int, Weights] = {}
    for graph in model.subgraphs:
        for operator, tensor in list_stored(graph):
            if tensor.buffer not in weights:
                weights[tensor.buffer] = count_values(tensor, operator, read_values(tensor, buffers[tensor.buffer]))
    return list(weights.values())


def list_stored(graph: Subgraph) -> Iterator[tuple[str, Tensor]]:
    """Yield (operator, constant) for all constants with at least two dimensions. A DEQUANTIZE is skipped."""
    dequantized = {op.outputs[0]: op.inputs[0] for op in graph.ops if op.name == "DEQUANTIZE"}
    for op in graph.ops:
        if op.name in CONVERSIONS or op.name in NEVER_TRAINED:
            continue
        for index in op.inputs:
            tensor = graph.tensors[dequantized.get(index, index)]
            if index >= 0 and tensor.constant and tensor.type in REAL and len(tensor.shape) > 1:
                yield op.name, tensor


def read_values(tensor: Tensor, data: bytes) -> np.ndarray:
    """Return the stored values in the tensor's shape. For a quantized tensor these are codes minus the zero point."""
    if tensor.type == "int4":
        packed = np.frombuffer(data, np.int8)
        values = np.stack([packed << 4 >> 4, packed >> 4], -1).ravel()[: tensor.elements]
    else:
        values = np.frombuffer(data, np.dtype(tensor.type))
    zero = tensor.zero_points[0] if len(set(tensor.zero_points)) == 1 else 0
    return np.asarray(values - np.asarray(zero, values.dtype)).reshape(tensor.shape)


def count_values(tensor: Tensor, operator: str, values: np.ndarray) -> Weights:
    """Return the statistics of one tensor."""
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


def describe(weights: list[Weights]) -> dict[str, Any]:
    """Return the statistics of each tensor and of all of them as JSON."""
    elements = sum(tensor.elements for tensor in weights)
    return {
        "elements": elements,
        "zeros": sum(tensor.zeros for tensor in weights) / max(1, elements),
        "in_pairs": sum(tensor.elements for tensor in weights if tensor.in_pairs) / max(1, elements),
        "channel_distinct": max((tensor.channel_distinct for tensor in weights), default=0),
        "tensors": [asdict(tensor) for tensor in weights],
    }


def find_lost_weights(weights: list[Weights], optimized: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield properties that training gave the weights and that the artifact no longer has.

    The converter renames tensors and folds following operators into them, but keeps their number of elements. So layers
    and tensors of the same size are compared, the best of each first.

    Args:
        weights: The statistics of the artifact.
        optimized: The report of the training: `pattern`, and for each layer in `pruned` and `clustered` its figures.
    """
    must_be_in_pairs = optimized["pattern"] == "two_of_four"
    for layer, trained, tensor in match_layers(
        weights, optimized["pruned"], lambda tensor_weights: -tensor_weights.zeros, "zeros", most_first=True
    ):
        if tensor is None:
            yield Finding("sparsity", f"no weights of {trained['elements']:,} elements, as layer '{layer}' has")
        elif tensor.zeros < trained["zeros"]:
            shares = (
                f"{tensor.zeros / tensor.elements:.1%} zeros, trained were {trained['zeros'] / tensor.elements:.1%}"
            )
            yield Finding("sparsity", f"{tensor.name} has {shares}")
        elif must_be_in_pairs and not tensor.in_pairs:
            yield Finding("sparsity", f"{tensor.name} has groups of four with more than two weights")
    key = "distinct"
    clustered = optimized["clustered"]
    for layer, trained, tensor in match_layers(
        weights, clustered, lambda tensor_weights: tensor_weights.channel_distinct, key, most_first=False
    ):
        if tensor is None:
            yield Finding("clusters", f"no weights of {trained['elements']:,} elements, as layer '{layer}' has")
        elif tensor.channel_distinct > trained["distinct"]:
            distinct_text = f"{tensor.channel_distinct} different weights in one channel"
            yield Finding("clusters", f"{tensor.name} has {distinct_text}, trained were {trained['distinct']}")


def match_layers(
    weights: list[Weights], layers: list[Mapping[str, Any]], rank: Any, key: str, *, most_first: bool
) -> Iterator[tuple[str, Mapping[str, Any], Weights | None]]:
    """Match trained layers with tensors, by number of elements and then by rank.

    Yields:
        The name of the layer, its figures, and its tensor or None.
    """
    candidates = {
        size: sorted((entry for entry in weights if entry.elements == size), key=rank)
        for size in {w["elements"] for w in layers}
    }
    for trained in sorted(layers, key=lambda entry: entry[key], reverse=most_first):
        tensors = candidates[trained["elements"]]
        yield trained["layer"], trained, tensors.pop(0) if tensors else None
