"""The step `optimize`: a Keras model, trained to be smaller or to bear quantization, as a SavedModel."""

from __future__ import annotations

from typing import Any

from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.datasets.sample_files import load_samples
from tflbuild.steps.folding.graph_digest import digest_endpoints
from tflbuild.steps.sources.source_entry_points import (
    SourceEntryPoint,
    is_keras,
    keras_entry,
    name_keras_outputs,
    name_results,
)
from tflbuild.steps.sources.tf_snapshot import UNCHANGED, is_stateful, save, trace
from tflbuild.steps.sources.tf_sources import load_source, source_label
from tflbuild.steps.training.pruning_and_qat import STEPS, TrainingRecord
from tflbuild.steps.training.tf_keras_copy import copy_to_tf_keras
from tflbuild.steps.training.training import Training, fix_randomness, require_trainable
from tflbuild.tflite.signature_checks import SourceTensorSpec


def run(request: StepRequest) -> Facts:
    """Outputs model/ and optimized.json: what was asked of which layers; facts: the same, and the model's content."""
    params = request.params
    fix_randomness(params["seed"])
    label = source_label(request)
    source = load_source(request).holder
    if not is_keras(source):
        raise WorkerError(
            f"'{label}' is no Keras model, and only those can be optimized",
            where="optimize",
            why=f"it gave a {type(source).__name__}",
            next_step="give the Keras model, or leave optimize out",
        )
    training = open_training(request, source, label)
    model, progress = training.source, TrainingRecord()
    require_trainable(training, model)
    if params["loss"] == "source_mse":  # its source must stay what it is
        model = copy_of(training.source)
    for step in params["steps"]:
        print(f"{step}: {training.steps} training steps")
        model = STEPS[step](model, training, progress)
    done = {"steps": params["steps"], "pruned": progress.pruned, "clustered": progress.clustered}
    request.write_json("optimized.json", {**done, "pattern": params.get("pattern"), "clusters": params.get("clusters")})
    return {"content": {"model/": export(request, source, model)}, "losses": progress.losses, **done}


def copy_of(model: Any) -> Any:
    """The same model with weights of its own."""
    import tf_keras

    made = tf_keras.models.clone_model(model)
    made.set_weights(model.get_weights())
    return made


def open_training(request: StepRequest, source: Any, label: str) -> Training:
    """The samples, and the source in tf_keras, held against what Keras 3 computes of them."""
    entry = keras_entry(source)
    inputs, labels = load_samples(request.inputs["samples"])
    first = Training(request.params, inputs, labels, request.params["preprocess"], entry.inputs or {}, None)
    samples = {name: tensor.numpy() for name, tensor in first.first().items()}
    carried = copy_to_tf_keras(source, label, samples)
    return Training(first.params, inputs, labels, first.preprocess, first.models, carried)


def export(request: StepRequest, source: Any, model: Any) -> str:
    """Write the model under its source's names of inputs and outputs, batch free; its content's digest."""
    names = name_keras_outputs(source)
    own = keras_entry(source).inputs or {}
    specs = {name: SourceTensorSpec((None, *(spec.shape or ())[1:]), spec.dtype) for name, spec in own.items()}
    entry = SourceEntryPoint(specs, lambda feeds: name_results(model(feeds, training=False), names))
    traced = {request.params["key"]: trace(entry, specs, specs, UNCHANGED).concrete}
    save(model, traced, request.outputs / "model")
    return "" if any(is_stateful(concrete) for concrete in traced.values()) else digest_endpoints(traced)
