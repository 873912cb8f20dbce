"""The step `import`: every source becomes a SavedModel snapshot with the declared signatures.

Beside each signature that is converted, the snapshot has the same function with a free batch, where
the model allows one: it makes reference outputs quick to compute.
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
from tflbuild.steps.verification.source_outputs import WITNESS, save_witness
from tflbuild.tflite.signature_checks import (
    SourceTensorSpec,
    Specs,
    declare,
    require_described,
    require_outputs,
    signature_json,
)

PREDICT_PREFIX = "tflbuild_predict_"
LARGEST_FLATBUFFER = 2**31 - 1  # flatbuffers address with signed 32 bits
USE_BUFFER_OFFSET = "converter._experimental_use_buffer_offset=true"


@dataclass(frozen=True)
class TracedSignature:
    """A traced signature. `batched` is the same with a free batch, None where the model has none.

    `models` is what the model takes where the artifact preprocesses, `own` its names of outputs; `entry` is not traced.
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
    """Outputs snapshot/, signature.json, witness.npz; facts: the snapshot's content and a note, if any."""
    loaded = load_source(request)
    fusing: AbstractContextManager[FusedLstm | None] = (
        fused_lstms() if request.params.get("fused_lstm") else nullcontext()
    )
    with fusing as fused:
        endpoints = [
            build_endpoint(request, loaded, declared, place(index, declared))
            for index, declared in enumerate(request.params["signatures"])
        ]
    traced = {one.key: one.concrete for one in endpoints}
    traced |= {one.predict_key: one.batched for one in endpoints if one.batched is not None}
    require_size(traced, request.params)
    folded = fold_endpoints(endpoints)
    kept = traced | {key: one.concrete for key, one in folded.items()}
    snapshot = request.outputs / "snapshot"
    save(loaded.holder, kept, snapshot)
    write_unfolded(snapshot, {left for one in folded.values() for left in one.unfolded})
    write_origins(traced, request.inputs.get(CODE), snapshot)
    save_witness(
        request.outputs / WITNESS,
        record_source_outputs([unwrap(loaded, one) for one in endpoints], source_label(request)),
    )
    first, *others = [one.as_json() for one in endpoints]
    request.write_json("signature.json", {**first, "more": others})
    stateful = any(one.stateful for one in endpoints)
    facts: Facts = {"content": {"snapshot/": "" if stateful else digest_endpoints(kept)}}
    notes = [loaded.note, note_fused(fused), note_trained(endpoints)]
    return facts | ({"note": "; ".join(filter(None, notes))} if any(notes) else {})


def fold_endpoints(endpoints: list[TracedSignature]) -> dict[str, FoldedFunction]:
    """Fold the constants of every signature; what `predict` alone uses stays as the source has it."""
    written = frozenset[int]().union(*(find_written(one.concrete) for one in endpoints))
    folded: dict[str, FoldedFunction] = {}
    for one in endpoints:
        taken = {name for other in folded.values() for name in other.functions}
        folded[one.key] = fold_concrete(one.concrete, written, taken=taken, keep_order=one.stateful)
    return folded


def unwrap(loaded: LoadedSource, endpoint: TracedSignature) -> UnwrappedEntry:
    """Return an entry point as the source has it, to be asked for its outputs."""
    return UnwrappedEntry(
        loaded.holder,
        endpoint.entry,
        endpoint.specs,
        endpoint.models,
        endpoint.own,
        endpoint.declared,
        endpoint.stateful,
    )


def place(index: int, declared: Any) -> str:
    """A signature's key in the recipe."""
    return "signature" if index == 0 else f"signature.more.{declared['key']}"


def build_endpoint(request: StepRequest, loaded: LoadedSource, declared: Any, where: str) -> TracedSignature:
    """One declared signature, found in the model, traced as declared."""
    label = source_label(request)
    with convert_user_error(request, f"tracing '{declared['key']}' failed", where):
        entry = loaded.entry(declared["key"], declared["entry"])
    specs = declare(entry.inputs, declared, label, where)
    preprocessed = {one["input"] for one in declared["preprocess"]}
    models = {name: model_spec(spec, entry, name) if name in preprocessed else spec for name, spec in specs.items()}
    with convert_user_error(request, f"tracing '{declared['key']}' failed", where):
        traced = trace(entry, specs, models, declared)
        require_outputs(declared, traced.own, label, where)
        metadata = where.replace("signature", "metadata", 1)
        require_described(declared, list(specs), list(outputs_of(traced.concrete)), label, metadata)
        batched = None
        if can_batch(entry.inputs, specs):
            batched = trace(entry, free_batches(specs), free_batches(models), declared).concrete
    return TracedSignature(declared["key"], specs, traced.concrete, batched, entry, models, traced.own, declared)


def model_spec(spec: SourceTensorSpec, entry: SourceEntryPoint, name: str) -> SourceTensorSpec:
    """What the model itself takes where the artifact takes `spec` and preprocesses it."""
    if entry.inputs is None:
        return SourceTensorSpec(None, "float32")
    own = entry.inputs[name]
    batch = spec.shape[:1] if spec.shape else ()
    return SourceTensorSpec(None if own.shape is None else (*batch, *own.shape[1:]), own.dtype)


def free_batches(specs: Specs) -> dict[str, SourceTensorSpec]:
    """The same with every first dimension free."""
    return {name: SourceTensorSpec((None, *(spec.shape or ())[1:]), spec.dtype) for name, spec in specs.items()}


def can_batch(has: Specs | None, specs: Specs) -> bool:
    """Whether every input's first dimension is a batch that the model leaves free."""
    return has is not None and all(
        bool(specs[name].shape) and spec.shape is not None and spec.shape[:1] == (None,) for name, spec in has.items()
    )


def require_size(traced: dict[str, Any], params: Any) -> None:
    """Raises WorkerError, before minutes are spent, when the weights cannot fit into a flatbuffer."""
    unique = {id(variable): variable for concrete in traced.values() for variable in concrete.graph.variables}
    total = sum(int(np.prod(v.shape)) * v.dtype.size for v in unique.values() if v.shape.is_fully_defined())
    if total > LARGEST_FLATBUFFER and not params.get("large"):
        raise WorkerError(
            f"the model's variables hold {total / 1e9:.2f} GB, and a .tflite holds 2.1 GB",
            where="source",
            why="offsets in a flatbuffer are signed 32-bit numbers",
            next_step=f"{USE_BUFFER_OFFSET} stores weights behind the flatbuffer",
        )


def note_fused(fused: FusedLstm | None) -> str:
    """What became of `fused_lstm`, said aloud. Raises WorkerError when it found nothing to do."""
    if fused is None:
        return ""
    if not fused.traced:
        raise WorkerError(
            "source.fused_lstm found no LSTM layer of Keras 3 that TFLite's fused operator can stand for",
            where="source.fused_lstm",
            why="it has tanh and sigmoid, a bias, no mask and no unrolling; models of tf_keras are fused anyway",
            next_step="leave it out",
        )
    return "LSTM layers were traced as tf_keras does, fused"


def note_trained(endpoints: list[TracedSignature]) -> str:
    """That a model brings ranges of quantization-aware training along."""
    nodes = sum(count_nodes(one.concrete.graph.as_graph_def()) for one in endpoints)
    return f"carries {nodes} nodes of quantization-aware training, whose ranges are kept" if nodes else ""
