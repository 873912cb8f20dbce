"""Quantization-aware training as a model carries it: nodes that round values to what eight bits would hold.

The LiteRT quantizer takes float models alone, so the float .tflite is freed of these nodes, and the
ranges that they stand for are kept beside it. TFLiteConverter writes each as QUANTIZE and DEQUANTIZE,
one behind the other; reading them there gives them the names of the artifact's own tensors.
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

# What TFLiteConverter itself takes for signs of such training (lite.py, is_quantization_aware_trained_model).
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
    """Nodes of such training in a GraphDef and its functions."""
    own = [node.op for node in graph.node]
    called = [node.op for function in graph.library.function for node in function.node_def]
    return sum(op in NODES for op in (*own, *called))


def count_in_snapshot(snapshot: Path) -> int:
    """The same in a SavedModel, without loading it."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((snapshot / "saved_model.pb").read_bytes())
    return sum(count_nodes(one.graph_def) for one in saved.meta_graphs)


@dataclass
class TrainedRanges:
    """Ranges that were trained: `tensors` by name, as ranges.json has them, `inputs` by the name of an input.

    `unread` are operators left in the model that quantize in some other way.
    """

    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def remove_fake_quant(path: Path, snapshot: Path) -> dict[str, Any]:
    """Free a float .tflite of the nodes that its snapshot carries; what they held, {} where there is none."""
    if not count_in_snapshot(snapshot):
        return {}
    freed, trained = strip_quantize_pairs(path.read_bytes())
    path.write_bytes(freed)
    return asdict(trained)


def strip_quantize_pairs(model: bytes) -> tuple[bytes, TrainedRanges]:
    """The model without pairs of QUANTIZE and DEQUANTIZE, and the ranges that they held.

    A pair on stored values goes without a trace: weights are quantized by what they are.
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
    makers = {int(op.outputs[0]): op for op in graph.operators if _name(root, op) == "QUANTIZE"}
    floats = {key: op for key, op in makers.items() if graph.tensors[op.inputs[0]].type == schema.TensorType.FLOAT32}
    pairs = [op for op in graph.operators if _name(root, op) == "DEQUANTIZE" and int(op.inputs[0]) in floats]
    stands_for = {int(op.outputs[0]): int(floats[int(op.inputs[0])].inputs[0]) for op in pairs}

    def origin(tensor: int) -> int:
        while tensor in stands_for:
            tensor = stands_for[tensor]
        return tensor

    for op in pairs:
        _keep_range(root, graph, origin(int(op.outputs[0])), graph.tensors[op.inputs[0]], trained)
    gone = {id(op) for op in pairs}
    for op in graph.operators:
        op.inputs = _array(origin(int(i)) for i in _items(op.inputs)) if id(op) not in gone else op.inputs
    graph.outputs = _array(origin(int(i)) for i in _items(graph.outputs))
    for entry in root.signatureDefs or ():
        for item in (entry.outputs or ()) if entry.subgraphIndex == index else ():
            item.tensorIndex = origin(item.tensorIndex)
    taken = {int(i) for op in graph.operators if id(op) not in gone for i in _items(op.inputs)} | set(graph.outputs)
    gone |= {id(op) for key, op in floats.items() if key not in taken}
    graph.operators = [op for op in graph.operators if id(op) not in gone]
    trained.unread += [_name(root, op) for op in graph.operators if _name(root, op) in LEFT_OVER]
    _drop_unused(root, index, graph)


def _keep_range(root: Any, graph: Any, tensor: int, quantized: Any, trained: TrainedRanges) -> None:
    """The range of one pair; of two pairs on a tensor the one that spans both."""
    found = graph.tensors[tensor]
    data = root.buffers[found.buffer].data
    if data is not None and len(data):
        return
    scales, zeros = _items(quantized.quantization.scale), _items(quantized.quantization.zeroPoint)
    if len(scales) != 1:
        trained.unread.append(f"per-channel ranges of {found.name.decode()}")
        return
    low, high = (float((limit - int(zeros[0])) * float(scales[0])) for limit in LIMITS[quantized.type])
    known = trained.tensors.get(found.name.decode())
    if known is not None:
        low, high = min(low, known["min"]), max(high, known["max"])
    trained.tensors[found.name.decode()] = {"min": low, "max": high, "rank": len(_items(found.shape))}


def _drop_unused(root: Any, index: int, graph: Any) -> None:
    """Remove tensors that nothing names any more; those behind them move up."""
    used = {int(i) for i in (*_items(graph.inputs), *_items(graph.outputs))}
    for op in graph.operators:
        used |= {int(i) for i in (*_items(op.inputs), *_items(op.outputs), *_items(op.intermediates)) if i >= 0}
    kept = [tensor for tensor in range(len(graph.tensors)) if tensor in used]
    place = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[old] for old in kept]
    for holder, names in ((graph, ("inputs", "outputs")), *((op, ("inputs", "outputs")) for op in graph.operators)):
        for name in names:
            setattr(holder, name, _array(place[int(i)] for i in _items(getattr(holder, name))))
    for op in graph.operators:
        if len(_items(op.intermediates)):
            op.intermediates = _array(place[int(i)] for i in op.intermediates)
    for entry in root.signatureDefs or ():
        for item in (*(entry.inputs or ()), *(entry.outputs or ())) if entry.subgraphIndex == index else ():
            item.tensorIndex = place[item.tensorIndex]


def _name(root: Any, op: Any) -> str:
    code = root.operatorCodes[op.opcodeIndex]
    return str(OPERATORS.get(max(code.builtinCode, code.deprecatedBuiltinCode), ""))


def _items(values: Any) -> list[Any]:
    return [] if values is None else list(values)


def _array(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), np.int32)
