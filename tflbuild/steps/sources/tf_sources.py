"""Loaders for each kind of source that needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tflbuild.runtime.link_safety import require_own_files
from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.foreign_models.saved_model_file import read_saved_model
from tflbuild.steps.foreign_models.saved_model_safety import require_contained_graph
from tflbuild.steps.sources.function_source import load_function
from tflbuild.steps.sources.keras_source import load_keras
from tflbuild.steps.sources.source_entry_points import (
    DEFAULT_KEY,
    LoadedSource,
    SourceEntryPoint,
    methods,
    saved_model_entry,
)
from tflbuild.steps.sources.tf1_source import freeze_signatures, is_lost


def load_saved_model(request: StepRequest) -> LoadedSource:
    """Load a SavedModel of the user. TensorFlow runs its initialisers.

    Raises:
        WorkerError: The SavedModel has links or operators that access files or services outside its folder, or
            TensorFlow cannot load it.
    """
    path, label = request.inputs["source"], request.labels["source"]
    require_own_files(path, label, "source")
    require_contained_graph(read_saved_model(path, label), request.params.get("allow", ()), label)
    return load_snapshot(request)


def load_snapshot(request: StepRequest) -> LoadedSource:
    """Load a SavedModel that a step wrote. Raise WorkerError if TensorFlow cannot load it."""
    path, label = request.inputs["source"], request.labels["source"]
    try:
        model = tf.saved_model.load(str(path), tags=request.params["tags"] or None)
    except Exception as error:
        raise WorkerError(
            f"TensorFlow cannot load the SavedModel '{label}'",
            where="source",
            why=str(error).strip().split("\n")[0].replace(str(path), label)[:500],
            next_step="check source.tags, and that the folder is complete",
        ) from error
    names = [name for name in model.signatures if not name.startswith("__")]

    def entry(key: str, named: str) -> SourceEntryPoint:
        if key in frozen or named in frozen:
            return frozen[named or key]
        return saved_model_entry(model, key, named, label, "signature.entry" if named else "signature.key")

    owner, frozen = freeze_signatures(path, request.params["tags"]) if is_lost(model) else (model, {})
    return LoadedSource(owner, entry, tuple(names or methods(model) or [DEFAULT_KEY]))


LOADERS: dict[str, Callable[[StepRequest], LoadedSource]] = {
    "keras": load_keras,
    "saved_model": load_saved_model,
    "snapshot": load_snapshot,
    "function": load_function,
}


def load_source(request: StepRequest) -> LoadedSource:
    """Load the source of a request. The parameter `kind` selects the loader."""
    return LOADERS[request.params["kind"]](request)


def source_label(request: StepRequest) -> str:
    """Return the name of the source in messages."""
    return request.labels.get("source") or str(request.params.get("call", ""))
