"""Reader of .tflite files: operators, tensors, signatures and scales, exactly as stored."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.model_bounds import require_bounds
from tflbuild.tflite.model_indices import require_indices
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor

IDENTIFIER = b"TFL3"
TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
ACTIVATIONS = {
    value: name for name, value in vars(schema.ActivationFunctionType).items() if isinstance(value, int) and value
}
# The largest number of elements of a constant that is a parameter, not a weight.
MOST_PARAMETER_ELEMENTS = 64
PARAMETERS = {"int32": "i", "int64": "q", "float32": "f", "bool": "?"}
MINIMUM_RUNTIME = "min_runtime_version"


@dataclass(frozen=True, order=True)
class OpVersion:
    """The number of operators of one version. The version of a custom operator is not one of a builtin operator."""

    name: str
    version: int
    custom: bool
    count: int


def op_versions(model: Model) -> list[OpVersion]:
    """Return the operators of all subgraphs by name and by the version that the file states."""
    counts = Counter((op.name, op.version, op.custom) for graph in model.subgraphs for op in graph.ops)
    return sorted(OpVersion(*operator, count) for operator, count in counts.items())


def read_model(path: Path) -> Model:
    """Read a .tflite file, and check that all offsets and indices in it are valid.

    All other readers of .tflite files rely on this check. A file from outside must be read here first.

    Raises:
        WorkerError: The file is not a .tflite file, or an offset or index in it is not valid.
    """
    raw = path.read_bytes()
    if raw[4:8] != IDENTIFIER:
        raise WorkerError("the artifact is no .tflite file", kind="build", why="its identifier is not TFL3")
    try:
        require_bounds(raw, schema)
        root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(raw, 0))
        require_indices(root, schema, len(raw))
        graphs = tuple(_subgraph(graph, root) for graph in root.subgraphs)
        return Model(
            bytes=len(raw),
            subgraphs=graphs,
            signatures=tuple(_signature(entry, graphs) for entry in root.signatureDefs or ()),
            min_runtime=_minimum_runtime(root),
            buffers_behind=any((buffer.offset or 0) > 1 for buffer in root.buffers),
        )
    except ValueError as error:
        raise WorkerError("the artifact is no sound .tflite file", kind="build", why=str(error)) from error


def read_buffers(path: Path) -> list[bytes]:
    """Return the bytes of every buffer, in the order of `Tensor.buffer`, also of those after the flatbuffer."""
    raw = path.read_bytes()
    root = schema.Model.GetRootAsModel(raw, 0)
    contents = []
    for index in range(root.BuffersLength()):
        buffer = root.Buffers(index)
        data_after = raw[buffer.Offset() : buffer.Offset() + buffer.Size()] if buffer.Offset() > 1 else b""
        contents.append(buffer.DataAsNumpy().tobytes() if buffer.DataLength() else data_after)
    return contents


def read_metadata_buffers(path: Path) -> set[int]:
    """Return the indices of the buffers that metadata entries of the file use."""
    root = schema.Model.GetRootAsModel(path.read_bytes(), 0)
    named = {root.Metadata(index).Buffer() for index in range(root.MetadataLength())}
    return named | {root.MetadataBuffer(index) for index in range(root.MetadataBufferLength())}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _list(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(getattr(value, "tolist", lambda: value)())


def _subgraph(graph: Any, root: Any) -> Subgraph:
    return Subgraph(
        name=_text(graph.name),
        tensors=tuple(_tensor(tensor, root.buffers) for tensor in _list(graph.tensors)),
        ops=tuple(_op(op, root.operatorCodes) for op in _list(graph.operators)),
        inputs=_list(graph.inputs),
        outputs=_list(graph.outputs),
    )


def _options(op: Any) -> dict[str, Any]:
    """Return both kinds of builtin options, by the names of the schema."""
    options_list = [options for options in (op.builtinOptions, op.builtinOptions2) if options is not None]
    return {name: _plain(value) for options in options_list for name, value in vars(options).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return _text(value)
    return list(value.tolist()) if hasattr(value, "tolist") else value


def _values(type_name: str, elements: int, data: Any) -> tuple[Any, ...]:
    """Return the values of a small constant of numbers, flat, or () for any other tensor."""
    if type_name not in PARAMETERS or not 0 < elements <= MOST_PARAMETER_ELEMENTS or data is None:
        return ()
    raw, form = bytes(data), PARAMETERS[type_name]
    return struct.unpack(f"<{elements}{form}", raw) if len(raw) == elements * struct.calcsize(form) else ()


def _block(quantization: Any) -> tuple[int, tuple[int, ...]]:
    """Return the number of elements that share a scale, and the tensors of scales and zero points.

    A tensor without blocks has (0, ()).
    """
    details = quantization.details if quantization else None
    if not isinstance(details, schema.BlockwiseQuantizationT):
        return 0, ()
    return int(details.blockSize), (details.scales, *([details.zeroPoints] if details.zeroPoints > 0 else []))


def _tensor(tensor: Any, buffers: Any) -> Tensor:
    quantization = tensor.quantization
    stored = _list(tensor.shape)
    elements = 1
    for size in stored:
        elements *= size
    buffer = buffers[tensor.buffer]
    data = buffer.data
    block, block_parameters = _block(quantization)
    return Tensor(
        name=_text(tensor.name),
        type=TYPES.get(tensor.type, str(tensor.type)),
        shape=_list(tensor.shapeSignature) or stored,
        elements=elements,
        constant=(data is not None and len(data) > 0) or bool(getattr(buffer, "size", 0)),
        scales=_list(quantization.scale) if quantization else (),
        zero_points=_list(quantization.zeroPoint) if quantization else (),
        axis=quantization.quantizedDimension if quantization else 0,
        state=bool(tensor.isVariable),
        buffer=tensor.buffer,
        values=_values(TYPES.get(tensor.type, ""), elements, data),
        block=block,
        block_parameters=block_parameters,
        sparse=tensor.sparsity is not None,
    )


def _op(op: Any, codes: Any) -> Operator:
    code = codes[op.opcodeIndex]
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    custom = builtin == schema.BuiltinOperator.CUSTOM
    name = _text(code.customCode) if custom else OPERATORS.get(builtin, f"BUILTIN_{builtin}")
    options = op.builtinOptions
    return Operator(
        name,
        code.version,
        custom,
        _list(op.inputs),
        _list(op.outputs),
        _text(getattr(options, "sharedName", "")) if name == "VAR_HANDLE" else "",
        getattr(options, "initSubgraphIndex", None) if name == "CALL_ONCE" else None,
        getattr(options, "tableId", None) if name == "HASHTABLE" else None,
        ACTIVATIONS.get(getattr(options, "fusedActivationFunction", 0), ""),
        _options(op),
    )


def _signature(entry: Any, graphs: tuple[Subgraph, ...]) -> SignatureDef:
    tensors = graphs[entry.subgraphIndex].tensors
    return SignatureDef(
        key=_text(entry.signatureKey),
        subgraph=entry.subgraphIndex,
        inputs={_text(item.name): tensors[item.tensorIndex] for item in entry.inputs or ()},
        outputs={_text(item.name): tensors[item.tensorIndex] for item in entry.outputs or ()},
    )


def _minimum_runtime(root: Any) -> str:
    for entry in root.metadata or ():
        if _text(entry.name) == MINIMUM_RUNTIME:
            data = root.buffers[entry.buffer].data
            return bytes(data).split(b"\0")[0].decode("ascii", "replace") if data is not None else ""
    return ""
