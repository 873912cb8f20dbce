"""The step `import`: every source becomes a SavedModel snapshot with the declared signature.

Beside the signature that is converted, the snapshot has `tflbuild_predict`, the same function with
a free batch, where the model allows one: it makes reference outputs quick to compute.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.signatures import Spec, Specs, declare, require_key, signature_json

PREDICT_KEY = "tflbuild_predict"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass
class Loaded:
    """A model as one function of named tensors; `holder` owns its variables and tables, `note` is for people."""

    holder: Any
    inputs: dict[str, tf.TensorSpec]
    call: Callable[[dict[str, Any]], dict[str, Any]]
    note: str = ""


def run(request: Request) -> Facts:
    """Outputs snapshot/ and signature.json."""
    params = request.params
    label = request.labels["source"]
    loaded = LOADERS[params["kind"]](request.inputs["source"], params, label)
    has = {name: to_spec(spec) for name, spec in loaded.inputs.items()}
    specs = declare(has, params["signature"], label)
    free = can_batch(has, specs)
    key = params["signature"]["key"]
    endpoints = {key: trace(loaded, specs)}
    if free:
        batched = {name: Spec((None, *(spec.shape or ())[1:]), spec.dtype) for name, spec in specs.items()}
        endpoints[PREDICT_KEY] = trace(loaded, batched)
    save(loaded, endpoints, str(request.outputs / "snapshot"))
    outputs = endpoints[key].get_concrete_function().structured_outputs
    made = {name: to_spec(tensor) for name, tensor in outputs.items()}
    signature = signature_json(key, specs, made, PREDICT_KEY if free else key)
    request.write_json("signature.json", signature)
    return {"note": loaded.note} if loaded.note else {}


# loading


def load_keras(path: Path, params: Any, label: str) -> Loaded:
    """A Keras model, inference mode: Keras 3 first, then tf_keras for the HDF5 files of Keras 2."""
    hdf5 = is_hdf5(path)
    if not hdf5 and not zipfile.is_zipfile(path):
        raise WorkerError(
            f"'{label}' is not a Keras model",
            where="source.path",
            why="a .keras file is a zip archive and an .h5 file is HDF5; this is neither, or was cut short",
            next_step="save the model again: model.save('model.keras')",
        )
    try:
        return from_keras(keras.saving.load_model(path, compile=False, safe_mode=True), label)
    except WorkerError:
        raise
    except Exception as error:
        if hdf5:
            return load_with_tf_keras(path, label, error)
        raise WorkerError(
            f"Keras {keras.__version__} cannot load '{label}'",
            where="source.path",
            why=first_line(error),
            next_step="load it by hand with keras.saving.load_model to see more, then save it again",
        ) from error


def load_with_tf_keras(path: Path, label: str, first: Exception) -> Loaded:
    """What Keras 3 could not load. tf_keras takes a second to import, so it is imported here."""
    import tf_keras

    refuse_lambda(path, label)
    try:
        loaded = from_keras(tf_keras.models.load_model(path, compile=False, safe_mode=True), label)
    except WorkerError:
        raise
    except Exception as second:
        raise WorkerError(
            f"neither Keras {keras.__version__} nor tf_keras {tf_keras.__version__} can load '{label}'",
            where="source.path",
            why=f"Keras: {first_line(first)}\ntf_keras: {first_line(second)}",
            next_step="load it by hand to see more, then save it again as .keras",
        ) from second
    loaded.note = f"loaded with tf_keras {tf_keras.__version__}: Keras {keras.__version__} could not"
    return loaded


def refuse_lambda(path: Path, label: str) -> None:
    """tf_keras runs the code that a Lambda layer of an HDF5 file carries, whatever its safe mode."""
    import h5py

    with h5py.File(path) as file:
        config = file.attrs.get("model_config", "")
    text = config.decode() if isinstance(config, bytes) else str(config)
    if re.search(r'"class_name":\s*"Lambda"', text):
        raise WorkerError(
            f"'{label}' has a Lambda layer, which carries code",
            where="source.path",
            why="the code would be run to load the model",
            next_step="write the layer without Lambda, or export the model and use source=saved_model",
        )


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    with open(path, "rb") as file:
        return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC


def first_line(error: Exception) -> str:
    """The start of what an exception says."""
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]


def from_keras(model: Any, label: str) -> Loaded:
    """A model object of either Keras."""
    if not getattr(model, "inputs", None):
        raise WorkerError(
            f"the model of '{label}' has no inputs",
            where="source.path",
            why="a subclassed Keras model has no fixed inputs",
            next_step="export it with its signature (model.export) and use source=saved_model",
        )
    names = list(getattr(model, "input_names", None) or [tensor.name for tensor in model.inputs])
    inputs = {name: tf.TensorSpec(tensor.shape, tensor.dtype) for name, tensor in zip(names, model.inputs, strict=True)}
    output_names = name_outputs(model)

    def call(feeds: dict[str, Any]) -> dict[str, Any]:
        result = model([feeds[name] for name in names] if len(names) > 1 else feeds[names[0]], training=False)
        if isinstance(result, dict):
            return result
        return dict(zip(output_names, tf.nest.flatten(result), strict=True))

    return Loaded(model, inputs, call)


def name_outputs(model: Any) -> list[str]:
    """Outputs by the layers that make them, as a functional model names them."""
    if hasattr(model, "output_names"):
        return list(model.output_names)
    count = len(model.outputs)
    return [model.layers[-1].name] if count == 1 else [f"output_{index}" for index in range(count)]


def load_saved_model(path: Path, params: Any, label: str) -> Loaded:
    """One signature of a SavedModel."""
    try:
        model = tf.saved_model.load(str(path), tags=params["tags"])
    except Exception as error:
        raise WorkerError(
            f"TensorFlow cannot load the SavedModel '{label}'",
            where="source.path",
            why=str(error).strip().split("\n")[0][:500],
            next_step="check source.tags, and that the folder is complete",
        ) from error
    key = params["signature"]["key"]
    signatures = dict(model.signatures)
    require_key(key, signatures, label)
    function = signatures[key]
    inputs = dict(function.structured_input_signature[1])
    return Loaded(model, inputs, lambda feeds: dict(function(**feeds)))


LOADERS = {"keras": load_keras, "saved_model": load_saved_model}


# tracing and saving


def to_spec(spec: tf.TensorSpec) -> Spec:
    """The framework's spec as ours."""
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return Spec(shape, spec.dtype.name)


def can_batch(has: Specs, specs: Specs) -> bool:
    """Whether every input's first dimension is a batch that the model leaves free."""
    return all(
        bool(specs[name].shape) and spec.shape is not None and spec.shape[:1] == (None,) for name, spec in has.items()
    )


def trace(loaded: Loaded, specs: Specs) -> Any:
    """The model as a traced tf.function of tensors with these specs, named."""
    names = list(specs)

    def function(*tensors: Any) -> dict[str, Any]:
        return loaded.call(dict(zip(names, tensors, strict=True)))

    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()]
    traced = tf.function(function, input_signature=signature)
    traced.get_concrete_function()
    return traced


def save(loaded: Loaded, endpoints: dict[str, Any], path: str) -> None:
    """Write the SavedModel: the traced functions and the variables they use, no layer objects.

    Without the layers it is written and read back in half the time. A model with other resources,
    such as lookup tables, is saved whole.
    """
    module = tf.Module()
    module.kept = [getattr(variable, "value", variable) for variable in getattr(loaded.holder, "variables", ())]
    signatures = {key: traced.get_concrete_function() for key, traced in endpoints.items()}
    try:
        tf.saved_model.save(module, path, signatures=signatures)
    except AssertionError as error:
        if "untracked" not in str(error):
            raise
        module.kept = loaded.holder
        tf.saved_model.save(module, path, signatures=signatures)
