"""The step `import`: it converts every source to a SavedModel snapshot with the declared signatures.

In addition to each signature that is converted, the snapshot contains the same function with a dynamic batch, if the
model allows it. This makes it fast to compute predictions.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.runtime.user_code import CODE, convert_user_error
from tflbuild.steps.folding.fake_quant import count_nodes
from tflbuild.steps.folding.folded_functions import FoldedFunction, find_written, fold_concrete
from tflbuild.steps.folding.graph_digest import digest_endpoints
from tflbuild.steps.folding.unfolded_operators import write_unfolded
from tflbuild.steps.sources.fused_lstm import FusedLstm, fused_lstms
from tflbuild.steps.sources.source_entry_points import LoadedSource, SourceEntryPoint
from tflbuild.steps.sources.source_outputs_recorder import UnwrappedEntry, record_source_outputs
from tflbuild.steps.sources.tf_snapshot import is_stateful, outputs_of, save, trace, write_origins
from tflbuild.steps.sources.tf_sources import load_source, source_label
from tflbuild.steps.verification.source_outputs import WITNESS, save_source_outputs
from tflbuild.tflite.signature_checks import (
    SourceTensorSpec,
    Specs,
    declare,
    require_described,
    require_outputs,
    signature_json,
)

PREDICT_PREFIX = "tflbuild_predict_"
# Offsets in a flatbuffer are signed 32-bit numbers.
LARGEST_FLATBUFFER = 2**31 - 1
USE_BUFFER_OFFSET = "converter._experimental_use_buffer_offset=true"


@dataclass(frozen=True)
class TracedSignature:
    """A declared signature, traced as a concrete function.

    Attributes:
        key: The signature name.
        specs: The inputs of the artifact.
        concrete: The concrete function.
        batched: The same function with a dynamic batch; None if the model does not allow it.
        entry: The entry point of the source, which is not traced.
        models: The inputs of the source, which differ if the artifact preprocesses.
        own: The names of the outputs in the source.
        declared: The signature in the recipe, as JSON.
    """

    key: str
    specs: Specs
    concrete: Any
    batched: Any
    entry: SourceEntryPoint
    models: Specs
    own: tuple[str, ...]
    declared: Any

    @property
    def predict_key(self) -> str:
        return self.key if self.batched is None else PREDICT_PREFIX + self.key

    @cached_property
    def stateful(self) -> bool:
        return is_stateful(self.concrete)

    def as_json(self) -> dict[str, Any]:
        key = self.key if self.stateful else self.predict_key
        return signature_json(self.key, self.specs, outputs_of(self.concrete), key, stateful=self.stateful)


def run(request: StepRequest) -> Facts:
    """Run the step. Its outputs are `snapshot/`, `signature.json` and `witness.npz`.

    Returns:
        Facts: `content`, a digest of the functions in the snapshot ("" if they are stateful); `note`, if there is one.
    """
    loaded = load_source(request)
    fusing: AbstractContextManager[FusedLstm | None] = (
        fused_lstms() if request.params.get("fused_lstm") else nullcontext()
    )
    with fusing as fused:
        endpoints = [
            build_endpoint(request, loaded, declared, signature_location(index, declared))
            for index, declared in enumerate(request.params["signatures"])
        ]
    traced = {endpoint.key: endpoint.concrete for endpoint in endpoints}
    traced |= {endpoint.predict_key: endpoint.batched for endpoint in endpoints if endpoint.batched is not None}
    require_size(traced, request.params)
    folded = fold_endpoints(endpoints)
    functions = traced | {key: function.concrete for key, function in folded.items()}
    snapshot = request.outputs / "snapshot"
    save(loaded.holder, functions, snapshot)
    write_unfolded(snapshot, {operator for function in folded.values() for operator in function.unfolded})
    write_origins(traced, request.inputs.get(CODE), snapshot)
    save_source_outputs(
        request.outputs / WITNESS,
        record_source_outputs([unwrap(loaded, endpoint) for endpoint in endpoints], source_label(request)),
    )
    first, *others = [endpoint.as_json() for endpoint in endpoints]
    request.write_json("signature.json", {**first, "more": others})
    stateful = any(endpoint.stateful for endpoint in endpoints)
    facts: Facts = {"content": {"snapshot/": "" if stateful else digest_endpoints(functions)}}
    notes = [loaded.note, note_fused_lstm(fused), note_trained_ranges(endpoints)]
    return facts | ({"note": "; ".join(filter(None, notes))} if any(notes) else {})


def fold_endpoints(endpoints: list[TracedSignature]) -> dict[str, FoldedFunction]:
    """Fold the constants of every signature. The functions with a dynamic batch are not folded."""
    written = frozenset[int]().union(*(find_written(endpoint.concrete) for endpoint in endpoints))
    folded: dict[str, FoldedFunction] = {}
    for endpoint in endpoints:
        used_names = {name for other in folded.values() for name in other.functions}
        folded[endpoint.key] = fold_concrete(
            endpoint.concrete, written, other_functions=used_names, keep_order=endpoint.stateful
        )
    return folded


def unwrap(loaded: LoadedSource, endpoint: TracedSignature) -> UnwrappedEntry:
    """Return the entry point of the source from which a signature was traced."""
    return UnwrappedEntry(
        loaded.holder,
        endpoint.entry,
        endpoint.specs,
        endpoint.models,
        endpoint.own,
        endpoint.declared,
        endpoint.stateful,
    )


def signature_location(index: int, declared: Any) -> str:
    """Return the recipe key of a signature."""
    return "signature" if index == 0 else f"signature.more.{declared['key']}"


def build_endpoint(request: StepRequest, loaded: LoadedSource, declared: Any, where: str) -> TracedSignature:
    """Find the entry point of a declared signature, and trace it.

    Args:
        request: The request of the step.
        loaded: The source.
        declared: The signature in the recipe, as JSON.
        where: The recipe key of the signature.

    Raises:
        WorkerError: The source has no such entry point, its inputs or outputs differ from the recipe, or it cannot be
            traced.
    """
    label = source_label(request)
    with convert_user_error(request, f"tracing '{declared['key']}' failed", where):
        entry = loaded.entry(declared["key"], declared["entry"])
    specs = declare(entry.inputs, declared, label, where)
    preprocessed = {settings["input"] for settings in declared["preprocess"]}
    models = {name: model_spec(spec, entry, name) if name in preprocessed else spec for name, spec in specs.items()}
    with convert_user_error(request, f"tracing '{declared['key']}' failed", where):
        traced = trace(entry, specs, models, declared)
        require_outputs(declared, traced.own, label, where)
        metadata = where.replace("signature", "metadata", 1)
        require_described(declared, list(specs), list(outputs_of(traced.concrete)), label, metadata)
        batched = None
        if can_batch(entry.inputs, specs):
            batched = trace(entry, with_dynamic_batches(specs), with_dynamic_batches(models), declared).concrete
    return TracedSignature(declared["key"], specs, traced.concrete, batched, entry, models, traced.own, declared)


def model_spec(spec: SourceTensorSpec, entry: SourceEntryPoint, name: str) -> SourceTensorSpec:
    """Return the shape and type of the source's input `name`, which the artifact computes from an input of `spec`."""
    if entry.inputs is None:
        return SourceTensorSpec(None, "float32")
    own = entry.inputs[name]
    batch = spec.shape[:1] if spec.shape else ()
    return SourceTensorSpec(None if own.shape is None else (*batch, *own.shape[1:]), own.dtype)


def with_dynamic_batches(specs: Specs) -> dict[str, SourceTensorSpec]:
    """Return specs whose first dimensions are dynamic."""
    return {name: SourceTensorSpec((None, *(spec.shape or ())[1:]), spec.dtype) for name, spec in specs.items()}


def can_batch(source_specs: Specs | None, specs: Specs) -> bool:
    """Return whether the first dimension of every input is dynamic in the source.

    Args:
        source_specs: The inputs of the source; None if it does not fix them.
        specs: The declared inputs.
    """
    return source_specs is not None and all(
        bool(specs[name].shape) and spec.shape is not None and spec.shape[:1] == (None,)
        for name, spec in source_specs.items()
    )


def require_size(traced: dict[str, Any], params: Any) -> None:
    """Raise WorkerError if the weights do not fit into a flatbuffer. A conversion would fail after minutes only."""
    unique = {id(variable): variable for concrete in traced.values() for variable in concrete.graph.variables}
    total = sum(int(np.prod(v.shape)) * v.dtype.size for v in unique.values() if v.shape.is_fully_defined())
    if total > LARGEST_FLATBUFFER and not params.get("large"):
        raise WorkerError(
            f"the model's variables have {total / 1e9:.2f} GB, and a .tflite holds 2.1 GB",
            where="source",
            why="offsets in a flatbuffer are signed 32-bit numbers",
            next_step=f"{USE_BUFFER_OFFSET} stores weights after the flatbuffer",
        )


def note_fused_lstm(fused: FusedLstm | None) -> str:
    """Return a note about `source.fused_lstm`; "" if it is not set. Raise WorkerError if it had no effect."""
    if fused is None:
        return ""
    if not fused.traced:
        raise WorkerError(
            "source.fused_lstm found no LSTM layer of Keras 3 that TFLite's fused operator can replace",
            where="source.fused_lstm",
            why="the operator needs tanh and sigmoid, a bias, no mask and no unrolling; LSTM layers of tf_keras are"
            " always fused",
            next_step="remove source.fused_lstm",
        )
    return "LSTM layers were traced as tf_keras does, fused"


def note_trained_ranges(endpoints: list[TracedSignature]) -> str:
    """Return a note if the model contains ranges of quantization-aware training; "" if it does not."""
    nodes = sum(count_nodes(endpoint.concrete.graph.as_graph_def()) for endpoint in endpoints)
    return f"carries {nodes} nodes of quantization-aware training, whose ranges are kept" if nodes else ""
