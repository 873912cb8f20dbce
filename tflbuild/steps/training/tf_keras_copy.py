"""Conversion of a Keras 3 model to tf_keras, layer by layer: tensorflow-model-optimization needs tf_keras models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.runtime.user_code import first_line

# The maximum difference between the two models on the same input, as a fraction of the largest output value (of 1 if
# all values are smaller).
TOLERANCE = 1e-5
# Weights are copied, so initializers do not matter.
INITIALIZER_SUFFIX = "_initializer"
RANDOM_SAMPLES = 4
# The size for dynamic dimensions other than the batch.
DYNAMIC_SIZE = 32

Arrays = Mapping[str, np.ndarray]


def copy_to_tf_keras(model: Any, label: str, samples: Arrays) -> Any:
    """Convert a functional or sequential model of Keras 3 to tf_keras. A model of tf_keras is returned unchanged.

    The two models are compared on random inputs and on samples.

    Args:
        model: The model.
        label: Its name in messages.
        samples: The arrays by input name. Their first axis is the samples.

    Returns:
        The tf_keras model.

    Raises:
        WorkerError: The model is not functional or sequential, or tf_keras does not have one of its layers, or computes
            it differently. The message names the layer.
    """
    if type(model).__module__.split(".")[0] == "tf_keras" or not is_keras_3(model):
        return require_graph(model, label)
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_run_through_graph") or not getattr(model, "inputs", None):
        raise no_graph(model, label)
    converter = _LayerConverter(label)
    copy = converter.model(model, graph)
    for feed in ({name: random_input(tensor) for name, tensor in named_inputs(model)}, samples):
        if difference(model, copy, feed) > TOLERANCE:
            raise converter.differs(model, copy, feed)
    return copy


def is_keras_3(model: Any) -> bool:
    """Return whether a model is one of Keras 3."""
    return any(base.__module__.split(".")[0] == "keras" for base in type(model).__mro__)


def require_graph(model: Any, label: str) -> Any:
    """Return a model of tf_keras that is a graph of layers. Raise WorkerError for a subclassed model."""
    if not getattr(model, "_is_graph_network", False) or not getattr(model, "inputs", None):
        raise no_graph(model, label)
    return model


def no_graph(model: Any, label: str) -> WorkerError:
    """Return the error for a model that is not a graph of layers."""
    return WorkerError(
        f"'{label}' cannot be optimized",
        where="optimize",
        why=f"it is a {type(model).__name__} and not a functional or sequential model: code connects its layers",
        next_step="write it as a functional model, or remove optimize",
    )


class _LayerConverter:
    """A conversion of layers. `layers` are those of Keras 3 and their copies, in the order of their first calls."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.layers: dict[Any, Any] = {}

    def model(self, model: Any, graph: Any) -> Any:
        """Return the tf_keras copy of a model, with its weights."""
        import tf_keras

        inputs = [tf_keras.Input(t.shape[1:], dtype=t.dtype, name=name) for name, t in named_inputs(model)]
        outputs = self.run(graph, inputs if len(inputs) > 1 else inputs[0])
        converted = tf_keras.Model(inputs, outputs, name=model.name)
        for layer, copy in self.layers.items():
            try:
                copy.set_weights(layer.get_weights())
            except ValueError as error:
                raise self.refused(layer, first_line(error)) from error
        return converted

    def run(self, graph: Any, inputs: Any) -> Any:
        return graph._run_through_graph(inputs, operation_fn=self.operation)

    def operation(self, layer: Any) -> Callable[..., Any]:
        """Return a function that computes a layer on tensors of tf_keras. A nested model becomes its layers."""
        graph = getattr(layer, "_functional", None) or layer
        if hasattr(graph, "_run_through_graph"):
            return lambda inputs, **_: self.run(graph, inputs)
        if layer not in self.layers:
            self.layers[layer] = self.copy_layer(layer)
        return self.wrap_call(layer, self.layers[layer])

    def wrap_call(self, layer: Any, copy: Any) -> Callable[..., Any]:
        """Return a function that calls the copy of a layer, without options that are None."""

        def call(*inputs: Any, **options: Any) -> Any:
            try:
                return copy(*inputs, **{name: value for name, value in options.items() if value is not None})
            except Exception as error:
                raise self.refused(layer, first_line(error)) from error

        return call

    def copy_layer(self, layer: Any) -> Any:
        """Return the tf_keras layer of the same class and configuration."""
        import tf_keras

        kind = getattr(tf_keras.layers, type(layer).__name__, None)
        if kind is None or not type(layer).__module__.startswith("keras."):
            raise self.refused(layer, f"tf_keras {tf_keras.__version__} has no such layer")
        names = {copy.name for copy in self.layers.values()}
        config = self.configuration(layer, kind)
        # Two nested models may contain layers with equal names.
        if config["name"] in names:
            config["name"] += f"_{len(names)}"
        try:
            return kind.from_config(config)
        except Exception as error:
            raise self.refused(layer, first_line(error)) from error

    def configuration(self, layer: Any, kind: type) -> dict[str, Any]:
        """Return the settings of a layer for tf_keras. Raise WorkerError for one that tf_keras does not support."""
        parameter_names = {"name", "trainable", "dtype", *parameters(kind)}
        defaults = parameters(type(layer))
        config: dict[str, Any] = {}
        for name, value in layer.get_config().items():
            if name.endswith(INITIALIZER_SUFFIX):
                continue
            if name in parameter_names:
                config[name] = value["config"]["name"] if name == "dtype" and isinstance(value, dict) else value
            elif value not in (None, defaults.get(name)):
                raise self.refused(layer, f"it has {name}={value}, which tf_keras does not support")
        return config

    def refused(self, layer: Any, reason: str) -> WorkerError:
        """Return the error for a layer that cannot be converted."""
        return WorkerError(
            f"the layer '{layer.name}' ({type(layer).__name__}) cannot be converted to tf_keras",
            where="optimize",
            why="tensorflow-model-optimization needs tf_keras models, but"
            f" '{self.label}' is a model of Keras 3:\n{reason}",
            next_step="replace the layer by one that Keras 3 and tf_keras have, or remove optimize",
        )

    def differs(self, model: Any, converted: Any, feed: Arrays) -> WorkerError:
        """Return the error for two models with different outputs. It names the first layer that differs."""
        import keras
        import tf_keras

        for layer, copy in self.layers.items():
            source_part = keras.Model(model.inputs, layer.output)
            copied_part = tf_keras.Model(converted.inputs, copy.output)
            if difference(source_part, copied_part, feed) > TOLERANCE:
                return self.refused(layer, f"its outputs differ by {difference(source_part, copied_part, feed):.3g}")
        total = difference(model, converted, feed)
        return self.refused(model, f"the outputs of the model differ by {total:.3g}, but not those of single layers")


def named_inputs(model: Any) -> list[tuple[str, Any]]:
    """Return the names and the inputs of a model."""
    return [(tensor.name, tensor) for tensor in model.inputs]


def parameters(kind: type) -> dict[str, Any]:
    """Return the parameters of the constructors of a class and its base classes, with their defaults."""
    defaults: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if "__init__" in vars(base):
            constructor = inspect.signature(vars(base)["__init__"])
            defaults |= {name: parameter.default for name, parameter in constructor.parameters.items()}
    return defaults


def random_input(tensor: Any) -> np.ndarray:
    """Return random numbers from 0 to 1 for an input; 0 or 1 if its type is an integer."""
    shape = [RANDOM_SAMPLES, *(size or DYNAMIC_SIZE for size in tensor.shape[1:])]
    numbers = np.random.default_rng(0).uniform(0, 1, shape)
    return np.asarray(numbers.round() if "int" in str(tensor.dtype) else numbers, str(tensor.dtype))


def difference(model: Any, other_model: Any, feed: Arrays) -> float:
    """Return the maximum difference of outputs, as a fraction of the maximum value (of 1 if all values are smaller)."""
    import tensorflow as tf

    names = [name for name, _ in named_inputs(model)]
    inputs = [tf.constant(feed[name]) for name in names]
    results = [
        compared_model(inputs if len(inputs) > 1 else inputs[0], training=False)
        for compared_model in (model, other_model)
    ]
    worst = 0.0
    for expected, actual in zip(*(tf.nest.flatten(result) for result in results), strict=True):
        a, b = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
        worst = max(worst, float(np.abs(a - b).max(initial=0.0) / max(1.0, np.abs(a).max(initial=0.0))))
    return worst
