"""Sources that are Python functions: they return a Keras model, a tf.Module, a tf.function or a concrete function."""

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
    """Call the user's function, and return the model that it makes.

    Raises:
        WorkerError: The function raised an exception, or returned something other than a model.
    """
    params = request.params
    make = load_reference(request, params["call"], KEY)
    label = params["call"]
    # A reference to a tf.function names the model itself.
    if is_entry(make):
        require_no_arguments(params["arguments"], label)
        model = make
    else:
        with convert_user_error(request, f"'{label}' failed", KEY):
            model = make(**params["arguments"])
    if not (is_keras(model) or isinstance(model, tf.Module) or is_entry(model)):
        raise WorkerError(
            f"'{label}' returned {describe_type(model)}",
            where=KEY,
            why="it must return a Keras model, a tf.Module, a tf.function or a concrete function",
            next_step="return the model",
        )
    if "weights" in request.inputs:
        load_weights(model, request, label)

    def entry(key: str, named: str) -> SourceEntryPoint:
        return object_entry(model, key, named, label, "signature.entry")

    function_names = () if is_keras(model) or is_entry(model) else tuple(methods(model))
    return LoadedSource(model, entry, function_names or (DEFAULT_KEY,))


def require_no_arguments(arguments: Any, label: str) -> None:
    """Raise WorkerError if a recipe has arguments for a tf.function, which is not called to make a model."""
    if arguments:
        raise WorkerError(
            f"'{label}' is a tf.function, which is the model itself, so source.arguments cannot be passed to it",
            where="source.arguments",
            next_step="write a plain function that takes the arguments and returns the tf.function",
        )


def describe_type(value: Any) -> str:
    """Return the type of a value for a message: `a list`, or `None`."""
    return "None" if value is None else f"a {type(value).__name__}"


def load_weights(model: Any, request: StepRequest, label: str) -> None:
    """Read the weights of a Keras model from `source.weights`. A subclassed model is built on zeros first.

    Raises:
        WorkerError: The model is not a Keras model, or the weights do not fit it.
    """
    if not is_keras(model):
        raise WorkerError(
            f"'{label}' returned {describe_type(model)}, but source.weights needs a Keras model",
            where="source.weights",
            next_step="restore the weights in the function itself",
        )
    build_on_zeros(model, request, label)
    file = request.inputs["weights"]
    require_contained_weights(file, request.labels["weights"], request.folder, "source.weights")
    try:
        model.load_weights(link_with_suffix(file, request.labels["weights"], request.folder))
    except Exception as error:
        raise WorkerError(
            f"the weights of '{request.labels['weights']}' do not fit the model that '{label}' makes",
            where="source.weights",
            why=first_line(error),
            next_step="check source.arguments: the function must make the model whose weights were saved",
        ) from error


def link_with_suffix(file: Any, label: str, folder: Any) -> str:
    """Return a link to a weights file whose suffix is the original one, from which Keras derives the format."""
    suffix = ".weights.h5" if label.endswith(".weights.h5") else "".join(file.suffixes)
    link = folder / f"named{suffix}"
    link.symlink_to(file.resolve())
    return str(link)


def build_on_zeros(model: Any, request: StepRequest, label: str) -> None:
    """Call a subclassed model with zeros, since it makes its variables in the first call."""
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
