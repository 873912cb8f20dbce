"""A user's call that makes the model: a Keras model, a tf.Module, a tf.function, or a concrete function."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.runtime.user_code import convert_user_error, first_line, load_reference
from tflbuild.steps.foreign_models.keras_file import require_contained_weights
from tflbuild.steps.sources.source_entry_points import (
    DEFAULT_KEY,
    LoadedSource,
    SourceEntryPoint,
    is_entry,
    is_keras,
    methods,
    object_entry,
)
from tflbuild.tflite.signature_checks import declare

KEY = "source.call"


def load_function(request: StepRequest) -> LoadedSource:
    """What the call gives. Raises WorkerError for an exception in it and for anything else than a model."""
    params = request.params
    make = load_reference(request, params["call"], KEY)
    label = params["call"]
    if is_entry(make):  # the reference is the model itself
        require_no_arguments(params["arguments"], label)
        model = make
    else:
        with convert_user_error(request, f"'{label}' failed", KEY):
            model = make(**params["arguments"])
    if not (is_keras(model) or isinstance(model, tf.Module) or is_entry(model)):
        raise WorkerError(
            f"'{label}' gave {describe(model)}",
            where=KEY,
            why="it must give a Keras model, a tf.Module, a tf.function or a concrete function",
            next_step="return the model",
        )
    if "weights" in request.inputs:
        load_weights(model, request, label)

    def entry(key: str, named: str) -> SourceEntryPoint:
        return object_entry(model, key, named, label, "signature.entry")

    own = () if is_keras(model) or is_entry(model) else tuple(methods(model))
    return LoadedSource(model, entry, own or (DEFAULT_KEY,))


def require_no_arguments(arguments: Any, label: str) -> None:
    """A tf.function is not called to make a model. Raises WorkerError where arguments are given for that."""
    if arguments:
        raise WorkerError(
            f"'{label}' is a tf.function, the model itself, and takes no source.arguments",
            where="source.arguments",
            next_step="write a plain function that takes them and returns the tf.function",
        )


def describe(value: Any) -> str:
    """`a list`, `nothing`."""
    return "nothing" if value is None else f"a {type(value).__name__}"


def load_weights(model: Any, request: StepRequest, label: str) -> None:
    """Read a Keras model's weights from `source.weights`; a subclassed model is built on zeros first."""
    if not is_keras(model):
        raise WorkerError(
            f"'{label}' gave {describe(model)}, and source.weights are a Keras model's",
            where="source.weights",
            next_step="restore the weights in the function itself",
        )
    build_on_zeros(model, request, label)
    file = request.inputs["weights"]
    require_contained_weights(file, request.labels["weights"], request.folder, "source.weights")
    try:
        model.load_weights(named_as_keras_wants(file, request.labels["weights"], request.folder))
    except Exception as error:
        raise WorkerError(
            f"the weights of '{request.labels['weights']}' do not fit the model that '{label}' makes",
            where="source.weights",
            why=first_line(error),
            next_step="check source.arguments: the model must be the one whose weights were saved",
        ) from error


def named_as_keras_wants(file: Any, label: str, folder: Any) -> str:
    """Keras tells the format of weights by the end of the file's name."""
    suffix = ".weights.h5" if label.endswith(".weights.h5") else "".join(file.suffixes)
    link = folder / f"named{suffix}"
    link.symlink_to(file.resolve())
    return str(link)


def build_on_zeros(model: Any, request: StepRequest, label: str) -> None:
    """A subclassed model has its variables only after a call."""
    if getattr(model, "built", False) and getattr(model, "inputs", None):
        return
    declared = request.params["signatures"][0]
    entry = object_entry(model, declared["key"], declared["entry"], label, "signature.entry")
    specs = declare(entry.inputs, declared, label)
    entry.call(
        {
            name: tf.constant(np.zeros([size or 1 for size in spec.shape or ()]), spec.dtype)
            for name, spec in specs.items()
        }
    )
