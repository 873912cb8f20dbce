"""Give a model's inputs and outputs the order and the names of its signature, for programs that use their indices.

TFLiteConverter usually sorts inputs and outputs by name. Sometimes it follows the order in which a SavedModel stores
them instead; then they are sorted here. It names their tensors after the functions that wrap a SavedModel
(`serving_default_image:0`, `StatefulPartitionedCall:0`), so that the names do not tell which input or output they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.buffer_placement import has_buffers_behind, write_aligned


def order_interface(path: Path) -> None:
    """Sort the inputs and outputs of every signature's subgraph by name, and give their tensors these names.

    A model whose buffers lie behind the flatbuffer is left unchanged, because their offsets would change.
    """
    raw = path.read_bytes()
    if has_buffers_behind(raw):
        return
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(raw, 0))
    taken = {bytes(tensor.name) for graph in root.subgraphs for tensor in graph.tensors if tensor.name}
    changed = False
    for entry in root.signatureDefs or ():
        graph = root.subgraphs[entry.subgraphIndex]
        inputs, outputs = in_order(graph.inputs, entry.inputs), in_order(graph.outputs, entry.outputs)
        changed |= [*map(int, graph.inputs), *map(int, graph.outputs)] != inputs + outputs
        graph.inputs, graph.outputs = inputs, outputs
        changed |= name_ends(entry, graph, taken)
    if changed:
        path.write_bytes(write_aligned(root, len(raw) + 4096))


def name_ends(entry: Any, graph: Any, taken: set[bytes]) -> bool:
    """Give the tensors of inputs and outputs their names in the signature. Return whether any name changes.

    Where another tensor of the model has the name, the signature's key is put before it.
    """
    named: set[int] = set()
    before = [tensor.name for tensor in graph.tensors]
    for end in (*(entry.inputs or ()), *(entry.outputs or ())):
        tensor = graph.tensors[end.tensorIndex]
        if end.tensorIndex in named:
            continue
        named.add(end.tensorIndex)
        name = bytes(end.name)
        choices = (name, bytes(entry.signatureKey or b"") + b"_" + name)
        tensor.name = next((choice for choice in choices if choice == tensor.name or choice not in taken), tensor.name)
        taken.add(tensor.name)
    return before != [tensor.name for tensor in graph.tensors]


def in_order(ends: Any, named: Any) -> list[int]:
    """Return a graph's inputs or outputs, sorted by their names in the signature.

    They stay in their order where the signature does not name exactly these tensors.
    """
    tensors = [int(end.tensorIndex) for end in sorted(named or (), key=lambda end: bytes(end.name))]
    return tensors if sorted(tensors) == sorted(map(int, ends)) else [int(index) for index in ends]
