"""The step `import_tflite`: a .tflite source is its own float model, so the step needs no TensorFlow.

A file without signatures gets a signature of its main subgraph, whose names are those of the tensors.
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
    """Run the step. Its outputs are `model.tflite` and `signature.json`. The facts are the contents of the file."""
    label = request.labels["source"]
    declared = request.params["signature"]
    raw, model = read_source(request.inputs["source"], label)
    path = request.outputs / "model.tflite"
    # Facts of the source file, before it is changed.
    source_facts = {"bytes": len(raw), "has_signatures": bool(model.signatures)}
    path.write_bytes(raw)
    note = move_buffers_inside(path)
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
    main = signatures[key]
    stored_specs = {name: to_spec(tensor) for name, tensor in main.inputs.items()}
    specs = declare(stored_specs, declared, label)
    require_stored_shapes(stored_specs, specs)
    outputs = {name: to_spec(tensor) for name, tensor in main.outputs.items()}
    require_described(declared, list(specs), list(outputs), label, "metadata")
    signature = signature_json(main.key, specs, outputs, main.key)
    more = [describe_signature(entry) for key, entry in sorted(signatures.items()) if key != main.key]
    request.write_json("signature.json", {**signature, "more": more})
    return {"contents": describe_model(model, read_metadata(path)) | source_facts, **({"note": note} if note else {})}


def describe_signature(entry: SignatureDef) -> dict[str, Any]:
    """Return a signature of the file as JSON. Signatures other than the main one are not changed."""
    inputs, outputs = (
        {name: to_spec(tensor) for name, tensor in side.items()} for side in (entry.inputs, entry.outputs)
    )
    return signature_json(entry.key, inputs, outputs, entry.key)


def read_source(path: Path, label: str) -> tuple[bytes, Model]:
    """Read a .tflite file, and return its bytes and its model. Raise WorkerError if it is not a .tflite file."""
    raw = path.read_bytes()
    if raw[4:8] != IDENTIFIER:
        raise WorkerError(
            f"'{label}' is not a .tflite file",
            where="source.path",
            why="its identifier is not TFL3: it is damaged, incomplete or of another format",
        )
    try:
        return raw, read_model(path)
    except WorkerError as error:
        raise WorkerError(f"'{label}' is damaged", where="source.path", why=error.fields["why"]) from error


def refuse_quantized(model: Model, label: str) -> None:
    """Raise WorkerError for a quantized model, because the quantizer would return it unchanged without an error."""
    names = [t.name for graph in model.subgraphs for t in graph.tensors if t.scales or t.type == "float16"]
    if names:
        raise WorkerError(
            f"'{label}' is quantized already",
            where="source.path",
            why=f"quantized or float16 tensors: {len(names)}, the first is {names[0]}",
            next_step="use quantization=none to check and verify it unchanged; to quantize, start from its float model",
        )


def to_spec(tensor: Tensor) -> SourceTensorSpec:
    """Return the shape and type of a stored tensor, as a recipe declares them."""
    return SourceTensorSpec(tuple(None if size < 0 else size for size in tensor.shape), tensor.type)


def require_stored_shapes(stored_specs: Specs, declared_specs: Specs) -> None:
    """Raise WorkerError if declared shapes differ from the stored ones, since those of a .tflite cannot be changed."""
    for name, spec in stored_specs.items():
        if spec.shape != declared_specs[name].shape:
            raise WorkerError(
                f"input '{name}' is {spec.show()} in the file, but the recipe declares"
                f" {list(declared_specs[name].shape or ())}",
                where="signature",
                why="the shapes of a .tflite are fixed when it is converted",
                next_step="signature=dynamic keeps a dynamic batch; for another shape, start from the original model",
            )


def with_current_codes(raw: bytes) -> bytes:
    """Return the model with the code of every operator in `builtin_code`, the field for it since 2020.

    Older files (schema v3) have the code in `deprecated_builtin_code`, and 0 in `builtin_code`. Most tools read only
    the latter, where 0 is ADD: the LiteRT quantizer would see ADD operators only. Other files are returned unchanged.
    """
    root = parse_model(raw)
    if all(code.builtinCode >= code.deprecatedBuiltinCode for code in root.operatorCodes or ()):
        return raw
    for code in root.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    return append_archive(write_aligned(root, len(raw)), raw)


def with_signature(raw: bytes, key: str) -> bytes:
    """Return the model with a signature `key` for its first subgraph."""
    root = parse_model(raw)
    graph = root.subgraphs[0]
    entry = schema.SignatureDefT()
    entry.signatureKey = key.encode()
    entry.subgraphIndex = 0
    entry.inputs = [_make_tensor_map(graph, int(index)) for index in graph.inputs]
    entry.outputs = [_make_tensor_map(graph, int(index)) for index in graph.outputs]
    root.signatureDefs = [entry]
    return append_archive(write_aligned(root, len(raw)), raw)


def _make_tensor_map(graph: Any, index: int) -> Any:
    item = schema.TensorMapT()
    item.name = graph.tensors[index].name.split(b":")[0].replace(b"/", b"_")
    item.tensorIndex = index
    return item
