"""Order and names of a model's inputs and outputs as in its signature, for programs that use their indices.

TFLiteConverter usually sorts inputs and outputs by name. Sometimes it keeps the order in which a SavedModel stores
them. Then they are sorted here. It names their tensors after the functions that wrap a SavedModel
(`serving_default_image:0`, `StatefulPartitionedCall:0`), which do not identify the input or output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.buffer_placement import has_buffers_behind, write_aligned


def order_interface(path: Path) -> None:
    """Sort the inputs and outputs of every signature by name, and give their tensors these names.

    A model with buffers after the flatbuffer is not changed, because their offsets would change.
    """
    raw = path.read_bytes()
    if has_buffers_behind(raw):
        return
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(raw, 0))
    used_names = {bytes(tensor.name) for graph in root.subgraphs for tensor in graph.tensors if tensor.name}
    changed = False
    for entry in root.signatureDefs or ():
        graph = root.subgraphs[entry.subgraphIndex]
        inputs, outputs = sort_by_name(graph.inputs, entry.inputs), sort_by_name(graph.outputs, entry.outputs)
        changed |= [*map(int, graph.inputs), *map(int, graph.outputs)] != inputs + outputs
        graph.inputs, graph.outputs = inputs, outputs
        changed |= name_tensors(entry, graph, used_names)
    if changed:
        path.write_bytes(write_aligned(root, len(raw) + 4096))


def name_tensors(entry: Any, graph: Any, used_names: set[bytes]) -> bool:
    """Give the tensors of inputs and outputs their names in the signature, and return whether any name changed.

    If another tensor of the model has the name, the signature name is prepended.
    """
    visited: set[int] = set()
    old_names = [tensor.name for tensor in graph.tensors]
    for item in (*(entry.inputs or ()), *(entry.outputs or ())):
        tensor = graph.tensors[item.tensorIndex]
        if item.tensorIndex in visited:
            continue
        visited.add(item.tensorIndex)
        name = bytes(item.name)
        choices = (name, bytes(entry.signatureKey or b"") + b"_" + name)
        tensor.name = next(
            (choice for choice in choices if choice == tensor.name or choice not in used_names), tensor.name
        )
        used_names.add(tensor.name)
    return old_names != [tensor.name for tensor in graph.tensors]


def sort_by_name(indices: Any, items: Any) -> list[int]:
    """Return a graph's inputs or outputs, sorted by their names in the signature.

    The order is unchanged if the signature does not name exactly these tensors.
    """
    tensors = [int(end.tensorIndex) for end in sorted(items or (), key=lambda end: bytes(end.name))]
    return tensors if sorted(tensors) == sorted(map(int, indices)) else [int(index) for index in indices]
