"""Runtime features: what a model requires of its runtime.

A feature is a text. Three kinds exist:

- `CONV_2D version 5`: the version that the file states. A runtime refuses a version that it does not have.
- `CONV_2D int8, int8/channel, int32 > int8`: the element types of inputs and outputs, with equal neighbours merged.
  `/channel` marks a constant with several scales, `/block` one with a scale for each block, `/sparse` a sparse one. An
  old kernel may accept types that it computes wrongly, whatever the version says.
- `buffers behind the flatbuffer` and the other names below: properties of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor

BUFFERS_BEHIND = "buffers behind the flatbuffer"
SEVERAL_SIGNATURES = "several signatures"
FREE_SIZES = "free sizes"
FILE_FEATURES = (BUFFERS_BEHIND, SEVERAL_SIGNATURES, FREE_SIZES)
# Types for which a kernel must support scales per channel.
WITH_SCALES = ("int2", "int4", "uint4", "int8", "uint8", "int16")


def count_features(model: Model) -> dict[str, int]:
    """Return every runtime feature of a model, and how often it occurs.

    Custom operators have none, because the app provides their kernels.
    """
    counts = Counter(
        feature
        for graph in model.subgraphs
        for op in graph.ops
        if not op.custom
        for feature in (version_feature(op.name, op.version), type_feature(op, graph))
    )
    return dict(sorted((counts + Counter(dict.fromkeys(_of_file(model), 1))).items()))


def version_feature(operator: str, version: int) -> str:
    """Return the feature of an operator's stated version."""
    return f"{operator} version {version}"


def type_feature(op: Operator, graph: Subgraph) -> str:
    """Return the feature of an operator's element types."""
    return f"{op.name} {_types(op.inputs, graph)} > {_types(op.outputs, graph)}"


def _types(indices: tuple[int, ...], graph: Subgraph) -> str:
    merged: list[str] = []
    for index in indices:
        shown = _show_type(graph.tensors[index]) if index >= 0 else ""
        if shown and merged[-1:] != [shown]:
            merged.append(shown)
    return ", ".join(merged) or "nothing"


def _show_type(tensor: Tensor) -> str:
    if tensor.block:
        return f"{tensor.type}/block"
    several = tensor.constant and len(tensor.scales) > 1 and tensor.type in WITH_SCALES
    return f"{tensor.type}{'/channel' if several else ''}{'/sparse' if tensor.sparse else ''}"


def _of_file(model: Model) -> Iterator[str]:
    if model.buffers_behind:
        yield BUFFERS_BEHIND
    if len(model.signatures) > 1:
        yield SEVERAL_SIGNATURES
    inputs = [graph.tensors[index] for graph in model.subgraphs[:1] for index in graph.inputs]
    if any(size < 0 for tensor in inputs for size in tensor.shape):
        yield FREE_SIZES
