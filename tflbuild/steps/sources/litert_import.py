"""The step `import` of a float .tflite: it is its own float model, and TensorFlow is not needed.

A file without signatures gets one over its main subgraph, named by its tensors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.tflite.buffer_placement import append_archive, move_buffers_inside, write_aligned
from tflbuild.tflite.contents_json import describe_model
from tflbuild.tflite.model_editing import parse_model
from tflbuild.tflite.signature_checks import (
    SourceTensorSpec,
    Specs,
    declare,
    require_described,
    require_key,
    signature_json,
)
from tflbuild.tflite.tflite_metadata import read_metadata
from tflbuild.tflite.tflite_model import Model, SignatureDef, Tensor
from tflbuild.tflite.tflite_reader import IDENTIFIER, read_model

DEFAULT_KEY = "serving_default"


def run(request: StepRequest) -> Facts:
    """Outputs model.tflite and signature.json; facts: what the file contains."""
    label = request.labels["source"]
    declared = request.params["signature"]
    raw, model = read_source(request.inputs["source"], label)
    path = request.outputs / "model.tflite"
    given = {"bytes": len(raw), "has_signatures": bool(model.signatures)}  # as the file is
    path.write_bytes(raw)
    kept = move_buffers_inside(path)
    raw, model = path.read_bytes(), read_model(path)
    if request.params["must_be_float"]:
        refuse_quantized(model, label)
        path.write_bytes(raw := with_current_codes(raw))
    if not model.signatures:
        path.write_bytes(with_signature(raw, declared["key"] or DEFAULT_KEY))
        model = read_model(path)
    signatures = {entry.key: entry for entry in model.signatures}
    key = declared["key"] or next(iter(signatures))
    require_key(key, signatures, label)
    found = signatures[key]
    has = {name: to_spec(tensor) for name, tensor in found.inputs.items()}
    specs = declare(has, declared, label)
    require_as_stored(has, specs)
    outputs = {name: to_spec(tensor) for name, tensor in found.outputs.items()}
    require_described(declared, list(specs), list(outputs), label, "metadata")
    signature = signature_json(found.key, specs, outputs, found.key)
    more = [describe_signature(entry) for key, entry in sorted(signatures.items()) if key != found.key]
    request.write_json("signature.json", {**signature, "more": more})
    return {"contents": describe_model(model, read_metadata(path)) | given, **({"note": kept} if kept else {})}


def describe_signature(entry: SignatureDef) -> dict[str, Any]:
    """Another signature of the file: it stays as it is."""
    inputs, outputs = (
        {name: to_spec(tensor) for name, tensor in side.items()} for side in (entry.inputs, entry.outputs)
    )
    return signature_json(entry.key, inputs, outputs, entry.key)


def read_source(path: Path, label: str) -> tuple[bytes, Model]:
    """The bytes of a .tflite file, and what is in them. Raises WorkerError for what is none."""
    raw = path.read_bytes()
    if raw[4:8] != IDENTIFIER:
        raise WorkerError(
            f"'{label}' is not a .tflite file",
            where="source.path",
            why="its identifier is not TFL3: it is damaged, cut short or of another kind",
        )
    try:
        return raw, read_model(path)
    except WorkerError as error:
        raise WorkerError(f"'{label}' is damaged", where="source.path", why=error.fields["why"]) from error


def refuse_quantized(model: Model, label: str) -> None:
    """A quantizer takes float models alone, and leaves others as they are without a word."""
    names = [t.name for graph in model.subgraphs for t in graph.tensors if t.scales or t.type == "float16"]
    if names:
        raise WorkerError(
            f"'{label}' is quantized already",
            where="source.path",
            why=f"quantized or float16 tensors: {len(names)}, the first is {names[0]}",
            next_step="quantization=none checks and verifies it as it is; to quantize, start from its float model",
        )


def to_spec(tensor: Tensor) -> SourceTensorSpec:
    """A stored tensor as the recipe would declare it."""
    return SourceTensorSpec(tuple(None if size < 0 else size for size in tensor.shape), tensor.type)


def require_as_stored(has: Specs, wanted: Specs) -> None:
    """A .tflite keeps the shapes it has: a free size cannot be pinned any more."""
    for name, spec in has.items():
        if spec.shape != wanted[name].shape:
            raise WorkerError(
                f"input '{name}' is {spec.show()} in the file, and {list(wanted[name].shape or ())} is asked for",
                where="signature",
                why="the shapes of a .tflite are fixed when it is converted",
                next_step="signature=dynamic keeps a free batch; for another shape start from the original model",
            )


def with_current_codes(raw: bytes) -> bytes:
    """The model with every operator's code in the field that has held it since 2020, as most tools alone read it.

    Files from before (schema v3) have it in `deprecated_builtin_code`, and 0 in the other, which is ADD: the LiteRT
    quantizer would take each of their operators for one. Others stay as they are.
    """
    root = parse_model(raw)
    if all(code.builtinCode >= code.deprecatedBuiltinCode for code in root.operatorCodes or ()):
        return raw
    for code in root.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    return append_archive(write_aligned(root, len(raw)), raw)


def with_signature(raw: bytes, key: str) -> bytes:
    """The model with a signature over its first subgraph."""
    root = parse_model(raw)
    graph = root.subgraphs[0]
    entry = schema.SignatureDefT()
    entry.signatureKey = key.encode()
    entry.subgraphIndex = 0
    entry.inputs = [_named(graph, int(index)) for index in graph.inputs]
    entry.outputs = [_named(graph, int(index)) for index in graph.outputs]
    root.signatureDefs = [entry]
    return append_archive(write_aligned(root, len(raw)), raw)


def _named(graph: Any, index: int) -> Any:
    item = schema.TensorMapT()
    item.name = graph.tensors[index].name.split(b":")[0].replace(b"/", b"_")
    item.tensorIndex = index
    return item
