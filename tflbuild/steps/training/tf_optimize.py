"""The step `optimize`: it trains a Keras model to become smaller, or to tolerate quantization."""

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
    """Run the step. Its outputs are the SavedModel `model/`, and `optimized.json` with the results for each layer.

    Returns:
        Facts: the results for each layer, the losses, and `content`, a digest of the functions in the SavedModel.

    Raises:
        WorkerError: The source is not a Keras model, or cannot be trained as the recipe requires.
    """
    params = request.params
    fix_randomness(params["seed"])
    label = source_label(request)
    source = load_source(request).holder
    if not is_keras(source):
        raise WorkerError(
            f"'{label}' is not a Keras model, and only Keras models can be optimized",
            where="optimize",
            why=f"it is a {type(source).__name__}",
            next_step="return the Keras model itself, or remove optimize",
        )
    training = open_training(request, source, label)
    model, progress = training.source, TrainingRecord()
    require_trainable(training, model)
    # The outputs of the source are the targets of this loss, so its weights must not change.
    if params["loss"] == "source_mse":
        model = copy_of(training.source)
    for step in params["steps"]:
        print(f"{step}: {training.steps} training steps")
        model = STEPS[step](model, training, progress)
    results = {"steps": params["steps"], "pruned": progress.pruned, "clustered": progress.clustered}
    request.write_json(
        "optimized.json", {**results, "pattern": params.get("pattern"), "clusters": params.get("clusters")}
    )
    return {"content": {"model/": export(request, source, model)}, "losses": progress.losses, **results}


def copy_of(model: Any) -> Any:
    """Return a copy of a model with separate weights."""
    import tf_keras

    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def open_training(request: StepRequest, source: Any, label: str) -> Training:
    """Return the training with its samples, and with the source as a tf_keras model.

    Raises:
        WorkerError: The source cannot be converted to tf_keras.
    """
    entry = keras_entry(source)
    inputs, labels = load_samples(request.inputs["samples"])
    first = Training(request.params, inputs, labels, request.params["preprocess"], entry.inputs or {}, None)
    samples = {name: tensor.numpy() for name, tensor in first.first().items()}
    converted = copy_to_tf_keras(source, label, samples)
    return Training(first.params, inputs, labels, first.preprocess, first.models, converted)


def export(request: StepRequest, source: Any, model: Any) -> str:
    """Write the model as a SavedModel with the input and output names of the source, and a dynamic batch.

    Returns:
        A digest of its functions; "" if they are stateful.
    """
    names = name_keras_outputs(source)
    source_inputs = keras_entry(source).inputs or {}
    specs = {
        name: SourceTensorSpec((None, *(spec.shape or ())[1:]), spec.dtype) for name, spec in source_inputs.items()
    }
    entry = SourceEntryPoint(specs, lambda feeds: name_results(model(feeds, training=False), names))
    traced = {request.params["key"]: trace(entry, specs, specs, UNCHANGED).concrete}
    save(model, traced, request.outputs / "model")
    return "" if any(is_stateful(concrete) for concrete in traced.values()) else digest_endpoints(traced)
