"""The entry points of a model object: functions from named input tensors to named output tensors."""

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
    """An entry point of a source.

    Attributes:
        inputs: The name, shape and dtype of each input; None if the entry point does not fix them.
        call: A function from the inputs to the outputs, both by name.
        parameters: The names of the parameters, if `inputs` is None.
    """

    inputs: Specs | None
    call: Callable[[dict[str, Any]], dict[str, Any]]
    parameters: tuple[str, ...] = ()


@dataclass
class LoadedSource:
    """A model that was loaded.

    Attributes:
        holder: The object that owns the variables and tables.
        entry: A function that finds an entry point by the signature name in the recipe, and by `signature.entry` of the
            recipe ("" if it is not set).
        names: The names of the entry points of the model.
        note: A remark for the user; "" for none.
    """

    holder: Any
    entry: Callable[[str, str], SourceEntryPoint]
    names: tuple[str, ...] = (DEFAULT_KEY,)
    note: str = ""


def to_spec(spec: Any) -> SourceTensorSpec:
    """Convert a TensorSpec, or a tensor, of TensorFlow to a SourceTensorSpec."""
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return SourceTensorSpec(shape, tf.as_dtype(spec.dtype).name)


def name_results(result: Any, names: list[str] | None = None) -> dict[str, Any]:
    """Return the results of a function by name: the keys of a dict, or `names`, or output_0, output_1, ..."""
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    flat = tf.nest.flatten(result)
    result_names = names if names is not None and len(names) == len(flat) else [f"output_{i}" for i in range(len(flat))]
    return dict(zip(result_names, flat, strict=True))


def keras_entry(model: Any) -> SourceEntryPoint:
    """Return the call of a Keras 3 or tf_keras model as an entry point, in inference mode."""
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
    """Return the names of a model's outputs. A model of Keras 3 with one output has the name of its last layer."""
    if hasattr(model, "output_names"):
        return list(model.output_names)
    count = len(model.outputs)
    return [model.layers[-1].name] if count == 1 else [f"output_{index}" for index in range(count)]


def is_keras(model: Any) -> bool:
    """Return whether an object is a model of Keras 3 or tf_keras, without importing tf_keras."""
    return any(
        base.__module__.split(".")[0] in ("keras", "tf_keras") and base.__name__ == "Model"
        for base in type(model).__mro__
    )


def open_entry(function: Any, call: Callable[..., Any] | None = None) -> SourceEntryPoint:
    """Return a function that does not fix its inputs as an entry point.

    The declared inputs are passed by name if the function has parameters of these names. Otherwise a single input is
    passed by position, and several inputs as one dict.

    Args:
        function: The function whose parameters are used.
        call: The function to call, if it is another one.
    """
    parameters = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in (*PASSED_BY_KERAS, "self")
    ]
    run = call or function

    def pass_feeds(feeds: dict[str, Any]) -> dict[str, Any]:
        if feeds.keys() <= set(parameters):
            return name_results(run(**feeds))
        return name_results(run(next(iter(feeds.values())) if len(feeds) == 1 else feeds))

    return SourceEntryPoint(None, pass_feeds, tuple(parameters))


def function_entry(function: Any) -> SourceEntryPoint:
    """Return a tf.function (restored or not), a concrete function, or any callable as an entry point."""
    if hasattr(function, "structured_input_signature"):
        return concrete_entry(function)
    # A function that was restored from a SavedModel works only for the inputs for which it was traced.
    traces = getattr(function, "concrete_functions", None)
    if traces:
        return concrete_entry(min(traces, key=trace_preference), function)
    if getattr(function, "input_signature", None) is not None:
        return concrete_entry(function.get_concrete_function())
    python = getattr(function, "python_function", function)
    return open_entry(python, function)


def trace_preference(concrete: Any) -> tuple[bool, int]:
    """Return a sort key of a trace; the minimum is preferred.

    Traces with an argument that is True, such as `training`, are last. Those with most dynamic shapes are first.
    """
    leaves = tf.nest.flatten(concrete.structured_input_signature)
    shapes = [leaf.shape for leaf in leaves if isinstance(leaf, tf.TensorSpec)]
    dynamic_count = sum(shape.rank is None or None in shape.as_list() for shape in shapes)
    return any(leaf is True for leaf in leaves), -dynamic_count


def concrete_entry(concrete: Any, restored: Any = None) -> SourceEntryPoint:
    """Return a concrete function, whose inputs are fixed, as an entry point.

    Args:
        concrete: The concrete function.
        restored: The restored tf.function that it belongs to, which is called instead. Its arguments that are not
            tensors get the values for which it was traced.
    """
    positional, keyword = concrete.structured_input_signature
    leaves = [leaf for leaf in tf.nest.flatten(positional) if isinstance(leaf, tf.TensorSpec)]
    named = {leaf.name or f"input_{index}": leaf for index, leaf in enumerate(leaves)}
    inputs = {name: to_spec(spec) for name, spec in {**named, **keyword}.items() if isinstance(spec, tf.TensorSpec)}

    def call(feeds: dict[str, Any]) -> dict[str, Any]:
        if restored is None:
            by_name = feeds.keys() <= {*concrete.function_type.parameters, *keyword}
            return name_results(concrete(**feeds) if by_name else concrete(*feeds.values()))
        tensors = iter([feeds[name] for name in named])
        arguments = tf.nest.map_structure(
            lambda leaf: next(tensors) if isinstance(leaf, tf.TensorSpec) else leaf, positional
        )
        others = {name: feeds.get(name, value) for name, value in keyword.items()}
        return name_results(restored(*arguments, **others))

    return SourceEntryPoint(inputs, call)


def object_entry(model: Any, key: str, named: str, label: str, where: str) -> SourceEntryPoint:
    """Return an entry point of an object that user code made, or of a restored SavedModel.

    It is the method `named`. If `named` is empty, it is the method with the name of the signature, or else the call of
    the object.

    Args:
        model: The object.
        key: The signature name.
        named: `signature.entry` of the recipe; "" if it is not set.
        label: The name of the source in messages.
        where: The recipe key for messages.

    Raises:
        WorkerError: The object has no such entry point.
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
    """Return whether a value is a tf.function or a concrete function, and thus meant to be called by others."""
    return hasattr(value, "get_concrete_function") or hasattr(value, "structured_input_signature")


def is_layer_attribute(value: Any) -> bool:
    """Return whether an attribute is a part of the model, such as a layer, and not an entry point."""
    return isinstance(value, tf.Module) or is_keras(value)


def methods(model: Any) -> list[str]:
    """Return the names of the tf.functions of an object."""
    names = {name for name in dir(model) if not name.startswith("_")}
    return sorted(name for name in names if hasattr(getattr(model, name, None), "get_concrete_function"))


def saved_model_entry(model: Any, key: str, named: str, label: str, where: str) -> SourceEntryPoint:
    """Return a signature of a SavedModel as an entry point, or else one of its restored functions.

    Args:
        model: The restored SavedModel.
        key: The signature name.
        named: `signature.entry` of the recipe; "" if it is not set.
        label: The name of the source in messages.
        where: The recipe key for messages.

    Raises:
        WorkerError: The SavedModel has no such signature or function.
    """
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
            why="it contains variables only, and nothing that can be called",
            next_step="save it again with signatures, or save a tf.Module with a tf.function",
        )
    require_key(name, list(dict.fromkeys([*signatures, *functions])), label, where)
    raise AssertionError("require_key raises")
