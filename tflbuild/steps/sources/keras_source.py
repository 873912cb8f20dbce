"""Sources that are Keras files, `.keras` or HDF5. They are loaded with Keras 3, or else with tf_keras.

Loading runs no code except what the recipe names.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.runtime.user_code import first_line, load_reference
from tflbuild.steps.foreign_models.keras_file import open_keras_file, require_contained_weights
from tflbuild.steps.foreign_models.keras_safety import require_allowed
from tflbuild.steps.sources.source_entry_points import LoadedSource, keras_entry, object_entry


def load_keras(request: StepRequest) -> LoadedSource:
    """Load a Keras file as a model in inference mode.

    Keras 3 and tf_keras run code that a file names, and tf_keras does so even in safe mode. Therefore the file is
    checked against the allow list first.

    Raises:
        WorkerError: The file is refused, or neither Keras 3 nor tf_keras can load it.
    """
    file = open_keras_file(request.inputs["source"], request.labels["source"])
    allowed, label = request.params.get("allow", ()), file.label
    objects = load_objects(request)
    require_allowed(file.config, allowed, list_custom(objects), label)
    require_contained_weights(file.path, label, request.folder)
    path, safe = file.link_into(request.folder), not allowed
    try:
        model = keras.saving.load_model(path, custom_objects=objects, compile=False, safe_mode=safe)
        return wrap_model(model, label)
    except WorkerError:
        raise
    except Exception as error:
        if file.hdf5:
            return load_with_tf_keras(path, label, objects, safe, error)
        raise WorkerError(
            f"Keras {keras.__version__} cannot load '{label}'",
            where="source.path",
            why=first_line(error),
            next_step="load it by hand with keras.saving.load_model to see the whole error, then save it again",
        ) from error


def list_custom(objects: dict[str, Any]) -> set[str]:
    """Return the names of custom classes: those in the recipe, and those that user code has registered."""
    legacy = sys.modules.get("tf_keras")
    registered = {} if legacy is None else legacy.saving.get_custom_objects()
    return {*objects, *keras.saving.get_custom_objects(), *registered}


def load_with_tf_keras(path: Path, label: str, objects: dict[str, Any], safe: bool, first: Exception) -> LoadedSource:
    """Load a file with tf_keras, after Keras 3 failed with the exception `first`."""
    # The import of tf_keras takes a second, so it is done only here.
    import tf_keras

    try:
        model = tf_keras.models.load_model(path, custom_objects=objects, compile=False, safe_mode=safe)
    except Exception as second:
        raise WorkerError(
            f"neither Keras {keras.__version__} nor tf_keras {tf_keras.__version__} can load '{label}'",
            where="source.path",
            why=f"Keras: {first_line(first)}\ntf_keras: {first_line(second)}",
            next_step="name its classes in source.custom_objects, or load it by hand to see the whole error",
        ) from second
    source = wrap_model(model, label)
    reason = f"Keras {keras.__version__} could not: {first_line(first)[:100]}"
    source.note = f"loaded with tf_keras {tf_keras.__version__}; {reason}"
    return source


def wrap_model(model: Any, label: str) -> LoadedSource:
    """Return a Keras model as a source. Its entry points are its call and its methods."""

    def entry(key: str, named: str) -> Any:
        return object_entry(model, key, named, label, "signature.entry") if named else keras_entry(model)

    return LoadedSource(model, entry)


def load_objects(request: StepRequest) -> dict[str, Any]:
    """Import the classes in `source.custom_objects`, and return them by their names in the file."""
    references = request.params.get("custom_objects", {})
    return {name: load_reference(request, entry, f"source.custom_objects.{name}") for name, entry in references.items()}
