"""Keras files: `.keras` and HDF5, by Keras 3 first, then tf_keras; no code but what the recipe names."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from tflbuild.workers.contract import Request, WorkerError
from tflbuild.workers.tf_entries import Loaded, keras_entry, object_entry
from tflbuild.workers.user_code import first_line, load_reference

WRAPPERS = ("QuantizeWrapper", "QuantizeLayer", "PruneLowMagnitude", "ClusterWeights")
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def load_keras(request: Request) -> Loaded:
    """A Keras model, inference mode. Raises WorkerError for what neither Keras can load."""
    path, label = request.inputs["source"], request.labels["source"]
    hdf5 = is_hdf5(path)
    if not hdf5 and not zipfile.is_zipfile(path):
        raise WorkerError(
            f"'{label}' is not a Keras model",
            where="source.path",
            why="a .keras file is a zip archive and an .h5 file is HDF5; this is neither, or was cut short",
            next_step="save the model again: model.save('model.keras')",
        )
    config = read_config(path, hdf5)
    require_allowed_lambdas(config, request.params.get("lambdas", ()), label)
    objects = load_objects(request)
    require_unwrapped(config, objects, label)
    safe = not request.params.get("lambdas")  # every Lambda that there is has been allowed by name
    try:
        model = keras.saving.load_model(path, custom_objects=objects, compile=False, safe_mode=safe)
        return loaded(model, label)
    except WorkerError:
        raise
    except Exception as error:
        if hdf5:
            return load_with_tf_keras(path, label, objects, safe, error)
        raise explain(error, config, objects, label) from error


def load_with_tf_keras(path: Path, label: str, objects: dict[str, Any], safe: bool, first: Exception) -> Loaded:
    """What Keras 3 could not load. tf_keras takes a second to import, so it is imported here."""
    import tf_keras

    try:
        model = tf_keras.models.load_model(path, custom_objects=objects, compile=False, safe_mode=safe)
    except Exception as second:
        raise WorkerError(
            f"neither Keras {keras.__version__} nor tf_keras {tf_keras.__version__} can load '{label}'",
            where="source.path",
            why=f"Keras: {first_line(first)}\ntf_keras: {first_line(second)}",
            next_step="name its classes in source.custom_objects, or load it by hand to see more",
        ) from second
    found = loaded(model, label)
    why = f"Keras {keras.__version__} could not: {first_line(first)[:100]}"
    found.note = f"loaded with tf_keras {tf_keras.__version__}; {why}"
    return found


def loaded(model: Any, label: str) -> Loaded:
    """A model object of either Keras; a method of its own may be an entry point."""

    def entry(key: str, named: str) -> Any:
        return object_entry(model, key, named, label, "signature.entry") if named else keras_entry(model)

    return Loaded(model, entry)


def load_objects(request: Request) -> dict[str, Any]:
    """The classes that the recipe names, by their names in the file."""
    named = request.params.get("custom_objects", {})
    return {name: load_reference(request, entry, f"source.custom_objects.{name}") for name, entry in named.items()}


# what a file says of itself, before anything of it is run


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    with open(path, "rb") as file:
        return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC


def read_config(path: Path, hdf5: bool) -> Any:
    """The model's configuration, {} when there is none (the loader then says what is missing)."""
    try:
        if hdf5:
            import h5py

            with h5py.File(path) as file:
                text = file.attrs.get("model_config", "{}")
            return json.loads(text)
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError):
        return {}


@dataclass(frozen=True)
class Part:
    """A serialised object of a configuration: `registered` is its name among custom objects, "" for Keras's own."""

    kind: str
    registered: str
    name: str


def each_part(config: Any) -> Iterator[Part]:
    """Everything that a configuration would make, wherever it is nested."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            inner = config.get("config")
            name = inner.get("name", "") if isinstance(inner, dict) else ""
            own = str(config.get("module") or "").split(".")[0] == "keras"
            named = inner if config["class_name"] == "function" else config.get("registered_name")
            registered = "" if own else str(named or "")
            yield Part(config["class_name"], registered, str(name))
        for value in config.values():
            yield from each_part(value)
    elif isinstance(config, list):
        for value in config:
            yield from each_part(value)


def require_allowed_lambdas(config: Any, allowed: Any, label: str) -> None:
    """Both Kerases run the code that a Lambda layer carries; none is run that the recipe does not name.

    tf_keras runs it whatever its safe mode, so the file is read first.
    """
    has = list(dict.fromkeys(part.name for part in each_part(config) if part.kind == "Lambda"))
    refused = [name for name in has if name not in allowed]
    if refused:
        listed = ", ".join(f"'{name}'" for name in refused)
        raise WorkerError(
            f"'{label}' has a Lambda layer, which carries code: {listed}",
            where="source.lambdas",
            why="the code would be run to load the model",
            next_step=f"if you trust the file: source.lambdas=[{','.join(refused)}]; "
            "else write the layer without Lambda, or export the model and use source=saved_model",
        )
    unknown = [name for name in allowed if name not in has]
    if unknown:
        raise WorkerError(
            f"'{label}' has no Lambda layer '{unknown[0]}'",
            where="source.lambdas",
            why=f"its Lambda layers: {', '.join(has) or 'none'}",
        )


def require_unwrapped(config: Any, objects: dict[str, Any], label: str) -> None:
    """Raises WorkerError for layers wrapped by tensorflow-model-optimization, which a Keras file only names."""
    kinds = {part.kind.split(">")[-1] for part in each_part(config)}
    wrapped = sorted(kind for kind in kinds if kind.startswith(WRAPPERS) and kind not in objects)
    if wrapped:
        raise WorkerError(
            f"'{label}' has layers wrapped by tensorflow-model-optimization: {', '.join(wrapped)}",
            where="source.path",
            why="the file names these classes and does not hold what they compute",
            next_step="after quantization-aware training export the model, tf.saved_model.save(model, 'folder'), and\n"
            "use source=saved_model; after pruning or clustering call strip_pruning or strip_clustering and save again",
        )


def explain(error: Exception, config: Any, objects: dict[str, Any], label: str) -> WorkerError:
    """Why Keras 3 could not load a .keras file: custom classes by name where they are the reason."""
    known = {*objects, *keras.saving.get_custom_objects()}
    parts = [part for part in each_part(config) if part.registered]
    custom = sorted({part.registered for part in parts if not known & {part.kind, part.registered}})
    if custom:
        first = custom[0].split(">")[-1]
        return WorkerError(
            f"'{label}' has classes or functions of its own: {', '.join(repr(name) for name in custom)}",
            where="source.custom_objects",
            why=first_line(error),
            next_step=f"say where they are: source.custom_objects.{first}=file.py:{first}; "
            "or export the model (model.export) and use source=saved_model",
        )
    return WorkerError(
        f"Keras {keras.__version__} cannot load '{label}'",
        where="source.path",
        why=first_line(error),
        next_step="load it by hand with keras.saving.load_model to see more, then save it again",
    )
