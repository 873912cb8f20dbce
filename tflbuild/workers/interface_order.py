"""The order and the names of a graph's inputs and outputs: those of its signature, for apps that go by index.

TFLiteConverter usually gives the order of the names. Where it numbers ends otherwise (by how a SavedModel stores
them), they are put in order. Its names for their tensors are those of what wraps a SavedModel's functions
(`serving_default_image:0`, `StatefulPartitionedCall:0`), which say nothing of the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflbuild.workers.buffers import has_buffers_behind, write_aligned


def order_interface(path: Path) -> None:
    """Put the ends of every signature's subgraph into the order of their names, and name their tensors so.

    A model whose buffers lie behind the flatbuffer, at offsets of their own, is left as it is.
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
    """Name the tensors of a signature's inputs and outputs as the signature does. Return whether any is named anew.

    Where another tensor of the model has the name, the signature's key stands before it.
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
        tensor.name = next((one for one in choices if one == tensor.name or one not in taken), tensor.name)
        taken.add(tensor.name)
    return before != [tensor.name for tensor in graph.tensors]


def in_order(ends: Any, named: Any) -> list[int]:
    """Return a graph's ends in the order of a signature's names; as they are where the names are of other tensors."""
    tensors = [int(one.tensorIndex) for one in sorted(named or (), key=lambda one: bytes(one.name))]
    return tensors if sorted(tensors) == sorted(map(int, ends)) else [int(index) for index in ends]
