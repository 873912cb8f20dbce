"""The ranges of quantization-aware training, which a model contains as nodes that round values to eight bits.

The LiteRT quantizer accepts float models only. Therefore these nodes are removed from the float .tflite, and their
ranges are stored next to it. TFLiteConverter writes each node as QUANTIZE followed by DEQUANTIZE. The ranges are read
there, because the tensors then have the names that they have in the artifact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.lite.python import schema_py_generated as schema

from tflbuild.tflite.model_editing import parse_model, serialize_model

# The nodes by which TFLiteConverter recognizes such training (lite.py, is_quantization_aware_trained_model).
NODES = (
    *("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "FakeQuantWithMinMaxArgs"),
    *("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4"),
)
LIMITS = {
    schema.TensorType.UINT8: (0, 255),
    schema.TensorType.INT8: (-128, 127),
    schema.TensorType.INT16: (-32768, 32767),
}
LEFT_OVER = ("FAKE_QUANT", "QUANTIZE", "DEQUANTIZE")
OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def count_nodes(graph: Any) -> int:
    """Return the number of nodes of quantization-aware training in a GraphDef and its functions."""
    graph_ops = [node.op for node in graph.node]
    function_ops = [node.op for function in graph.library.function for node in function.node_def]
    return sum(op in NODES for op in (*graph_ops, *function_ops))


def count_in_snapshot(snapshot: Path) -> int:
    """Return the number of nodes of quantization-aware training in a SavedModel, without loading it."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((snapshot / "saved_model.pb").read_bytes())
    return sum(count_nodes(meta_graph.graph_def) for meta_graph in saved.meta_graphs)


@dataclass
class TrainedRanges:
    """The ranges of quantization-aware training.

    Attributes:
        tensors: The range of each tensor by its name, in the format of `ranges.json`.
        inputs: The range of each input by its name in the signature.
        unread: Operators in the model that quantize in another way, whose ranges are not used.
    """

    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def remove_fake_quant(path: Path, snapshot: Path) -> dict[str, Any]:
    """Remove the nodes of quantization-aware training from a float .tflite, in place.

    Args:
        path: The float model.
        snapshot: The SavedModel from which it was converted.

    Returns:
        The fields of `TrainedRanges`; {} if the snapshot has no such nodes.
    """
    if not count_in_snapshot(snapshot):
        return {}
    model, trained = strip_quantize_pairs(path.read_bytes())
    path.write_bytes(model)
    return asdict(trained)


def strip_quantize_pairs(model: bytes) -> tuple[bytes, TrainedRanges]:
    """Return a model without pairs of QUANTIZE and DEQUANTIZE, and the ranges of these pairs.

    The range of a pair on a constant is not returned, since weights are quantized by their values.
    """
    root = parse_model(model)
    trained = TrainedRanges()
    for index, graph in enumerate(root.subgraphs):
        _strip_graph(root, index, graph, trained)
    for entry in root.signatureDefs or ():
        tensors = root.subgraphs[entry.subgraphIndex].tensors
        for item in entry.inputs or ():
            name = tensors[item.tensorIndex].name.decode()
            if name in trained.tensors:
                trained.inputs[item.name.decode()] = trained.tensors[name]
    return serialize_model(root), trained


def _strip_graph(root: Any, index: int, graph: Any, trained: TrainedRanges) -> None:
    quantizers = {int(op.outputs[0]): op for op in graph.operators if _operator_name(root, op) == "QUANTIZE"}
    floats = {
        key: op for key, op in quantizers.items() if graph.tensors[op.inputs[0]].type == schema.TensorType.FLOAT32
    }
    pairs = [op for op in graph.operators if _operator_name(root, op) == "DEQUANTIZE" and int(op.inputs[0]) in floats]
    # The output of a pair -> its input.
    sources = {int(op.outputs[0]): int(floats[int(op.inputs[0])].inputs[0]) for op in pairs}

    def origin(tensor: int) -> int:
        while tensor in sources:
            tensor = sources[tensor]
        return tensor

    for op in pairs:
        _add_range(root, graph, origin(int(op.outputs[0])), graph.tensors[op.inputs[0]], trained)
    removed = {id(op) for op in pairs}
    for op in graph.operators:
        op.inputs = _array(origin(int(i)) for i in _items(op.inputs)) if id(op) not in removed else op.inputs
    graph.outputs = _array(origin(int(i)) for i in _items(graph.outputs))
    for entry in root.signatureDefs or ():
        for item in (entry.outputs or ()) if entry.subgraphIndex == index else ():
            item.tensorIndex = origin(item.tensorIndex)
    used = {int(i) for op in graph.operators if id(op) not in removed for i in _items(op.inputs)} | set(graph.outputs)
    removed |= {id(op) for key, op in floats.items() if key not in used}
    graph.operators = [op for op in graph.operators if id(op) not in removed]
    trained.unread += [_operator_name(root, op) for op in graph.operators if _operator_name(root, op) in LEFT_OVER]
    _drop_unused(root, index, graph)


def _add_range(root: Any, graph: Any, tensor: int, quantized: Any, trained: TrainedRanges) -> None:
    """Add the range of a pair. If a tensor has two pairs, its range contains both ranges."""
    source = graph.tensors[tensor]
    data = root.buffers[source.buffer].data
    if data is not None and len(data):
        return
    scales, zeros = _items(quantized.quantization.scale), _items(quantized.quantization.zeroPoint)
    if len(scales) != 1:
        trained.unread.append(f"per-channel ranges of {source.name.decode()}")
        return
    low, high = (float((limit - int(zeros[0])) * float(scales[0])) for limit in LIMITS[quantized.type])
    previous = trained.tensors.get(source.name.decode())
    if previous is not None:
        low, high = min(low, previous["min"]), max(high, previous["max"])
    trained.tensors[source.name.decode()] = {"min": low, "max": high, "rank": len(_items(source.shape))}


def _drop_unused(root: Any, index: int, graph: Any) -> None:
    """Remove tensors that nothing uses any more. The indices of later tensors become smaller."""
    used = {int(i) for i in (*_items(graph.inputs), *_items(graph.outputs))}
    for op in graph.operators:
        used |= {int(i) for i in (*_items(op.inputs), *_items(op.outputs), *_items(op.intermediates)) if i >= 0}
    kept_indices = [tensor for tensor in range(len(graph.tensors)) if tensor in used]
    new_index = {old: new for new, old in enumerate(kept_indices)} | {-1: -1}
    graph.tensors = [graph.tensors[old] for old in kept_indices]
    for owner, names in ((graph, ("inputs", "outputs")), *((op, ("inputs", "outputs")) for op in graph.operators)):
        for name in names:
            setattr(owner, name, _array(new_index[int(i)] for i in _items(getattr(owner, name))))
    for op in graph.operators:
        if len(_items(op.intermediates)):
            op.intermediates = _array(new_index[int(i)] for i in op.intermediates)
    for entry in root.signatureDefs or ():
        for item in (*(entry.inputs or ()), *(entry.outputs or ())) if entry.subgraphIndex == index else ():
            item.tensorIndex = new_index[item.tensorIndex]


def _operator_name(root: Any, op: Any) -> str:
    code = root.operatorCodes[op.opcodeIndex]
    return str(OPERATORS.get(max(code.builtinCode, code.deprecatedBuiltinCode), ""))


def _items(values: Any) -> list[Any]:
    return [] if values is None else list(values)


def _array(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), np.int32)
