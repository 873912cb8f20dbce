"""Check that all indices and sizes in a .tflite are consistent, so that readers need no checks of their own."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

MOST_ELEMENTS = 1 << 40
MOST_AXES = 32
# The largest total size of buffers after the flatbuffer, as a multiple of the size of the file.
MOST_REPEATED = 4
# Type -> bits of an element. For a type that is missing, such as a string, the shape does not determine the size.
BITS = {
    "FLOAT32": 32,
    "INT32": 32,
    "UINT32": 32,
    "FLOAT16": 16,
    "BFLOAT16": 16,
    "INT16": 16,
    "UINT16": 16,
    "INT8": 8,
    "UINT8": 8,
    "BOOL": 8,
    "INT64": 64,
    "UINT64": 64,
    "FLOAT64": 64,
    "COMPLEX64": 64,
    "COMPLEX128": 128,
    "INT4": 4,
    "UINT4": 4,
    "INT2": 2,
}


class BadIndexError(ValueError):
    """An index or a size in a model is not valid. The message says which."""


def require_indices(root: Any, schema: Any, size: int) -> None:
    """Check that all indices in a model are valid, and that sizes do not contradict each other.

    Args:
        root: The model, a ModelT.
        schema: The module with which it was unpacked.
        size: The size of the file in bytes, for buffers after the flatbuffer.

    Raises:
        BadIndexError: An index or a size is not valid.
    """
    graphs, buffers, codes = _list(root.subgraphs), _list(root.buffers), _list(root.operatorCodes)
    bits = {number: BITS[name] for name, number in vars(schema.TensorType).items() if name in BITS}
    if not graphs:
        raise BadIndexError("it has no subgraph")
    _require_lists(root, ("buffers", "operatorCodes"), "it")
    for index, buffer in enumerate(buffers):
        if (buffer.offset or 0) > 1 and buffer.offset + (buffer.size or 0) > size:
            raise BadIndexError(f"buffer {index} ends at byte {buffer.offset + buffer.size:,} of {size:,}")
    if sum(buffer.size or 0 for buffer in buffers if (buffer.offset or 0) > 1) > MOST_REPEATED * size:
        raise BadIndexError("its buffers are the same bytes again and again")
    for number, graph in enumerate(graphs):
        place = f"subgraph {number}"
        _require_lists(graph, ("tensors", "operators", "inputs", "outputs"), place)
        tensors = _list(graph.tensors)
        for index, tensor in enumerate(tensors):
            _require_tensor(tensor, buffers, bits, f"tensor {index} of {place}")
            _require(_blocks(tensor, schema), len(tensors), f"tensor {index} of {place}", "tensor of scales")
        for side in (graph.inputs, graph.outputs):
            _require(_list(side), len(tensors), f"an input or output of {place}", "tensor")
        _require_operators(graph, tensors, codes, len(graphs), place)
    _require_acyclic(graphs)
    for entry in _list(root.signatureDefs):
        _require([entry.subgraphIndex], len(graphs), "a signature", "subgraph")
        tensors = _list(graphs[entry.subgraphIndex].tensors)
        named = [item.tensorIndex for item in (*_list(entry.inputs), *_list(entry.outputs))]
        _require(named, len(tensors), "a signature", "tensor")
    _require([entry.buffer for entry in _list(root.metadata)], len(buffers), "the metadata", "buffer")
    _require(_list(root.metadataBuffer), len(buffers), "the metadata", "buffer")


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(getattr(value, "tolist", lambda: value)())


def _blocks(tensor: Any, schema: Any) -> list[int]:
    """Return the tensors with the scales and zero points of a tensor's blocks."""
    details = tensor.quantization.details if tensor.quantization is not None else None
    if not isinstance(details, schema.BlockwiseQuantizationT):
        return []
    return [details.scales, max(details.zeroPoints, 0)]


def _require_lists(owner: Any, names: Iterable[str], place: str) -> None:
    """Check that lists are present. TFLite's loader accepts an empty list, but not a missing one."""
    for name in names:
        if getattr(owner, name) is None:
            raise BadIndexError(f"{place} has no list of {name}")


def _require(indices: Iterable[int], count: int, owner: str, kind: str, least: int = 0) -> None:
    for index in indices:
        if not least <= index < count:
            raise BadIndexError(f"{owner} names {kind} {index}, and there are {count}")


def _require_tensor(tensor: Any, buffers: list[Any], bits: dict[int, int], place: str) -> None:
    shape = [int(extent) for extent in _list(tensor.shape)]
    if len(shape) > MOST_AXES or any(extent < -1 for extent in (*shape, *_list(tensor.shapeSignature))):
        raise BadIndexError(f"{place} has the shape {shape[:MOST_AXES]}")
    if prod(abs(extent) for extent in shape) > MOST_ELEMENTS:
        raise BadIndexError(f"{place} has the shape {shape}, more than 2^40 elements")
    _require([tensor.buffer], len(buffers), place, "buffer")
    stored = buffers[tensor.buffer].data
    width = bits.get(tensor.type)
    if stored is not None and len(stored) and width and tensor.sparsity is None and min(shape, default=1) >= 0:
        needed = (prod(shape) * width + 7) // 8
        if len(stored) < needed:
            raise BadIndexError(f"{place} has the shape {shape}, and {len(stored):,} of {needed:,} bytes are stored")
    quantization = tensor.quantization
    scales = 0 if quantization is None or quantization.scale is None else len(quantization.scale)
    if scales > 1 and not 0 <= quantization.quantizedDimension < max(len(shape), 1):
        raise BadIndexError(f"{place} has scales along axis {quantization.quantizedDimension}, and {len(shape)} axes")


def _require_operators(graph: Any, tensors: list[Any], codes: list[Any], graphs: int, place: str) -> None:
    operators = _list(graph.operators)
    maker = {int(made): index for index, op in enumerate(operators) for made in _list(op.outputs)}
    for index, op in enumerate(operators):
        owner = f"operator {index} of {place}"
        _require_lists(op, ("inputs", "outputs"), owner)
        _require([op.opcodeIndex], len(codes), owner, "operator code")
        used = [int(tensor) for tensor in _list(op.inputs)]
        # The index -1 means an omitted operand.
        _require([*used, *_list(op.outputs), *_list(op.intermediates)], len(tensors), owner, "tensor", least=-1)
        _require(called_subgraphs(op), graphs, owner, "subgraph", least=-1)
        for tensor in used:
            if tensor >= 0 and maker.get(tensor, -1) >= index and not tensors[tensor].isVariable:
                raise BadIndexError(f"{owner} reads tensor {tensor}, which operator {maker[tensor]} makes afterwards")


def called_subgraphs(op: Any) -> list[int]:
    """Return the subgraphs that an operator runs, according to its options. -1 means none."""
    options = [options_ for options_ in (op.builtinOptions, op.builtinOptions2) if options_ is not None]
    named = [value for options_ in options for name, value in vars(options_).items() if "ubgraph" in name]
    return [int(index) for value in named for index in (_list(value) if hasattr(value, "__len__") else [value or 0])]


def _require_acyclic(graphs: list[Any]) -> None:
    """Check that no subgraph runs itself, since such a model never ends."""
    calls = [{index for op in _list(graph.operators) for index in called_subgraphs(op)} - {-1} for graph in graphs]
    remaining = {number: set(called) for number, called in enumerate(calls)}
    while finished := [number for number, called in remaining.items() if not called]:
        for number in finished:
            del remaining[number]
        for called in remaining.values():
            called.difference_update(finished)
    if remaining:
        raise BadIndexError(f"subgraph {min(remaining)} runs itself")
