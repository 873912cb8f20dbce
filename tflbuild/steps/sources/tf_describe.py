"""The step `describe`: it lists the entry points of a source, without a conversion.

A SavedModel is only read. User code is run, because its model is not known otherwise.
"""

from __future__ import annotations

from typing import Any

from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.foreign_models.saved_model_file import list_entry_points, read_saved_model, select_graph
from tflbuild.steps.foreign_models.saved_model_safety import describe_reaching, list_reaching
from tflbuild.steps.sources.function_source import load_function
from tflbuild.steps.sources.source_entry_points import SourceEntryPoint
from tflbuild.steps.sources.tf_snapshot import UNCHANGED, outputs_of, trace
from tflbuild.steps.sources.tf_sources import source_label
from tflbuild.tflite.signature_checks import SourceTensorSpec, signature_json


def run(request: StepRequest) -> Facts:
    """Run the step. Its output `signature.json` has the first entry point, and the others in `more`.

    Returns:
        Facts: `asks`, the operators that a recipe must allow; `ran`, the user code that was run.

    Raises:
        WorkerError: The source has no entry point.
    """
    facts: Facts = {}
    if request.params["kind"] == "saved_model":
        label = request.labels["source"]
        model = read_saved_model(request.inputs["source"], label)
        graph = select_graph(model, request.params["tags"], label)
        entries = [signature_json(key, inputs, outputs, key) for key, inputs, outputs in list_entry_points(graph)]
        allowed = request.params.get("allow", ())
        facts["asks"] = [ask for ask in describe_reaching(list_reaching(model)) if ask["path"] not in allowed]
    else:
        loaded = load_function(request)
        entries = [describe_entry(name, loaded.entry(name, "")) for name in loaded.names]
        facts["ran"] = request.params["call"]
    if not entries:
        raise WorkerError(
            f"'{source_label(request)}' has no entry point",
            where="source",
            why="it has no signature and no function",
            next_step="save it again with signatures, or save a tf.Module with a tf.function",
        )
    request.write_json("signature.json", {**entries[0], "more": entries[1:]})
    return facts


def describe_entry(key: str, entry: SourceEntryPoint) -> dict[str, Any]:
    """Return an entry point as JSON. The shapes of outputs are those that a trace with dynamic shapes finds."""
    if entry.inputs is None:
        return signature_json(key, {name: SourceTensorSpec(None, "float32") for name in entry.parameters}, {}, key)
    concrete = trace(entry, entry.inputs, {}, UNCHANGED).concrete
    return signature_json(key, entry.inputs, outputs_of(concrete), key)
