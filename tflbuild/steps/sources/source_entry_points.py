"""What a model object offers: entry points, each a function of named tensors to named tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.signature_checks import SourceTensorSpec, Specs, require_key

DEFAULT_KEY = "serving_default"
PASSED_BY_KERAS = ("training", "mask")


@dataclass(frozen=True)
class SourceEntryPoint:
    """An entry point. `inputs` is None when it takes what it is given, to `parameters`; `call` maps feeds to
    outputs, by name."""

    inputs: Specs | None
    call: Callable[[dict[str, Any]], dict[str, Any]]
    parameters: tuple[str, ...] = ()


@dataclass
class LoadedSource:
    """A model. `holder` owns its variables and tables; `entry` finds an entry point by its key in the
    recipe and the name that the recipe gives for it, "" where it gives none. `names` are those that the
    model itself tells. `note` is for people."""

    holder: Any
    entry: Callable[[str, str], SourceEntryPoint]
    names: tuple[str, ...] = (DEFAULT_KEY,)
    note: str = ""


def to_spec(spec: Any) -> SourceTensorSpec:
    """The framework's spec as ours."""
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return SourceTensorSpec(shape, tf.as_dtype(spec.dtype).name)


def name_results(result: Any, names: list[str] | None = None) -> dict[str, Any]:
    """What a function gave, by name: its own names, `names`, or output_0, output_1, ..."""
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    flat = tf.nest.flatten(result)
    found = names if names is not None and len(names) == len(flat) else [f"output_{i}" for i in range(len(flat))]
    return dict(zip(found, flat, strict=True))


# Keras


def keras_entry(model: Any) -> SourceEntryPoint:
    """The call of a model of either Keras, inference mode."""
    if not getattr(model, "inputs", None):
        return open_entry(model.call, lambda *args, **kwargs: model(*args, training=False, **kwargs))
    names = list(getattr(model, "input_names", None) or [tensor.name for tensor in model.inputs])
    inputs = {
        name: to_spec(tf.TensorSpec(tensor.shape, tensor.dtype))
        for name, tensor in zip(names, model.inputs, strict=True)
    }
    output_names = name_keras_outputs(model)

    def call(feeds: dict[str, Any]) -> dict[str, Any]:
        result = model([feeds[name] for name in names] if len(names) > 1 else feeds[names[0]], training=False)
        return name_results(result, output_names)

    return SourceEntryPoint(inputs, call)


def name_keras_outputs(model: Any) -> list[str]:
    """Outputs by the layers that make them, as a functional model names them."""
    if hasattr(model, "output_names"):
        return list(model.output_names)
    count = len(model.outputs)
    return [model.layers[-1].name] if count == 1 else [f"output_{index}" for index in range(count)]


def is_keras(model: Any) -> bool:
    """Whether an object is a model of either Keras, told without importing tf_keras."""
    return any(
        base.__module__.split(".")[0] in ("keras", "tf_keras") and base.__name__ == "Model"
        for base in type(model).__mro__
    )


# functions


def open_entry(function: Any, call: Callable[..., Any] | None = None) -> SourceEntryPoint:
    """A function that fixes no inputs: declared ones go to its parameters by name, or all in one dict."""
    parameters = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in (*PASSED_BY_KERAS, "self")
    ]
    run = call or function

    def pass_on(feeds: dict[str, Any]) -> dict[str, Any]:
        if feeds.keys() <= set(parameters):
            return name_results(run(**feeds))
        return name_results(run(next(iter(feeds.values())) if len(feeds) == 1 else feeds))

    return SourceEntryPoint(None, pass_on, tuple(parameters))


def function_entry(function: Any) -> SourceEntryPoint:
    """A tf.function, restored or live, a concrete function, or any callable."""
    if hasattr(function, "structured_input_signature"):
        return concrete_entry(function)
    known = getattr(function, "concrete_functions", None)
    if known:  # restored from a SavedModel: what it was traced for is all it can do
        return concrete_entry(min(known, key=preference), function)
    if getattr(function, "input_signature", None) is not None:
        return concrete_entry(function.get_concrete_function())
    python = getattr(function, "python_function", function)
    return open_entry(python, function)


def preference(concrete: Any) -> tuple[bool, int]:
    """Traces for some switch turned on, as `training` is, come last; those that leave most sizes free come first."""
    leaves = tf.nest.flatten(concrete.structured_input_signature)
    shapes = [leaf.shape for leaf in leaves if isinstance(leaf, tf.TensorSpec)]
    free = sum(shape.rank is None or None in shape.as_list() for shape in shapes)
    return any(leaf is True for leaf in leaves), -free


def concrete_entry(concrete: Any, restored: Any = None) -> SourceEntryPoint:
    """A function with fixed specs, arguments by name; a restored one is called with what it has seen."""
    positional, keyword = concrete.structured_input_signature
    leaves = [leaf for leaf in tf.nest.flatten(positional) if isinstance(leaf, tf.TensorSpec)]
    named = {leaf.name or f"input_{index}": leaf for index, leaf in enumerate(leaves)}
    inputs = {name: to_spec(spec) for name, spec in {**named, **keyword}.items() if isinstance(spec, tf.TensorSpec)}

    def call(feeds: dict[str, Any]) -> dict[str, Any]:
        if restored is None:
            by_name = feeds.keys() <= {*concrete.function_type.parameters, *keyword}
            return name_results(concrete(**feeds) if by_name else concrete(*feeds.values()))
        filled = iter([feeds[name] for name in named])
        arguments = tf.nest.map_structure(
            lambda leaf: next(filled) if isinstance(leaf, tf.TensorSpec) else leaf, positional
        )
        others = {name: feeds.get(name, value) for name, value in keyword.items()}
        return name_results(restored(*arguments, **others))

    return SourceEntryPoint(inputs, call)


# objects


def object_entry(model: Any, key: str, named: str, label: str, where: str) -> SourceEntryPoint:
    """An entry point of what a user's code made, or of a SavedModel without that signature.

    A named method first; without a name, the method called as the signature is, else the object's call.
    """
    method = getattr(model, named or key, None)
    if is_entry(method) or (named not in ("", "__call__") and callable(method) and not is_layer_attribute(method)):
        return function_entry(method)
    if named and named != "__call__":
        require_key(named, methods(model), label, where)
    if is_keras(model):
        return keras_entry(model)
    if callable(model):
        call = model if not isinstance(model, tf.Module) else type(model).__call__.__get__(model)
        return function_entry(call)
    require_key(named or key, methods(model), label, where)
    raise AssertionError("require_key raises")


def is_entry(value: Any) -> bool:
    """A tf.function or a concrete function: what was meant to be called from outside."""
    return hasattr(value, "get_concrete_function") or hasattr(value, "structured_input_signature")


def is_layer_attribute(value: Any) -> bool:
    """Whether an attribute is a part of the model (a layer) rather than a way into it."""
    return isinstance(value, tf.Module) or is_keras(value)


def methods(model: Any) -> list[str]:
    """Names of the tf.functions that an object carries."""
    names = {name for name in dir(model) if not name.startswith("_")}
    return sorted(name for name in names if hasattr(getattr(model, name, None), "get_concrete_function"))


def saved_model_entry(model: Any, key: str, named: str, label: str, where: str) -> SourceEntryPoint:
    """A signature of a SavedModel; of one that has none, its restored functions."""
    signatures = dict(model.signatures)
    name = named or key
    if name in signatures:
        function = signatures[name]
        inputs = {n: to_spec(spec) for n, spec in function.structured_input_signature[1].items()}
        return SourceEntryPoint(inputs, lambda feeds: dict(function(**feeds)))
    functions = methods(model)
    if name in functions:
        return function_entry(getattr(model, name))
    if callable(model) and (named == "__call__" or (not signatures and name == DEFAULT_KEY)):
        return function_entry(model.__call__)
    if not signatures and not functions:
        raise WorkerError(
            f"'{label}' has no signature and no function",
            where=where,
            why="it holds variables, and nothing that could be called",
            next_step="save it again with signatures, or a tf.Module with a tf.function",
        )
    require_key(name, list(dict.fromkeys([*signatures, *functions])), label, where)
    raise AssertionError("require_key raises")
