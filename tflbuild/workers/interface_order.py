"""The order of a graph's inputs and outputs: that of their names, for apps that go by index.

TFLiteConverter usually gives this order. Where it numbers them otherwise (by how a SavedModel stores them), they are
put in order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflbuild.workers.buffers import has_buffers_behind, write_aligned


def order_interface(path: Path) -> None:
    """Put the inputs and outputs of every signature's subgraph into the order of their names, where they are not.

    A model whose buffers lie behind the flatbuffer, at offsets of their own, is left as it is.
    """
    raw = path.read_bytes()
    if is_ordered(raw) or has_buffers_behind(raw):
        return
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(raw, 0))
    for entry in root.signatureDefs or ():
        graph = root.subgraphs[entry.subgraphIndex]
        graph.inputs = in_order(graph.inputs, entry.inputs)
        graph.outputs = in_order(graph.outputs, entry.outputs)
    path.write_bytes(write_aligned(root, len(raw) + 4096))


def in_order(ends: Any, named: Any) -> list[int]:
    """Return a graph's ends in the order of a signature's names; as they are where the names are of other tensors."""
    tensors = [int(one.tensorIndex) for one in sorted(named or (), key=lambda one: bytes(one.name))]
    return tensors if sorted(tensors) == sorted(map(int, ends)) else [int(index) for index in ends]


def is_ordered(raw: bytes) -> bool:
    """Return whether the ends of every signature's subgraph are in the order of their names. Parses no tensor."""
    model = schema.Model.GetRootAsModel(raw, 0)
    for number in range(model.SignatureDefsLength()):
        entry = model.SignatureDefs(number)
        graph = model.Subgraphs(entry.SubgraphIndex())
        for side in ("Inputs", "Outputs"):
            named = [getattr(entry, side)(place) for place in range(getattr(entry, f"{side}Length")())]
            tensors = [one.TensorIndex() for one in sorted(named, key=lambda one: bytes(one.Name()))]
            ends = [getattr(graph, side)(place) for place in range(getattr(graph, f"{side}Length")())]
            if tensors != ends and sorted(tensors) == sorted(ends):
                return False
    return True
