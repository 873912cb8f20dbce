"""A model of Keras 3 carried over to tf_keras, layer by layer: what optimizes models knows tf_keras alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.runtime.user_code import first_line

TOLERANCE = 1e-5  # of the greatest output value, 1 at least; measured between the two on the same input
FILLED_LATER = "_initializer"  # weights are copied: how they began does not matter
RANDOM_SAMPLES = 4
FREE_SIZE = 32  # what a free dimension but the batch is tried with

Arrays = Mapping[str, np.ndarray]


def copy_to_tf_keras(model: Any, label: str, samples: Arrays) -> Any:
    """The same functional or sequential model in tf_keras; one of tf_keras is given back as it is.

    Raises WorkerError, with the layer's name, for a layer that tf_keras lacks or computes otherwise: both
    models run on random input and on `samples` (arrays by input name, samples first).
    """
    if type(model).__module__.split(".")[0] == "tf_keras" or not is_keras_3(model):
        return require_graph(model, label)
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_run_through_graph") or not getattr(model, "inputs", None):
        raise no_graph(model, label)
    carried = _Carried(label)
    made = carried.model(model, graph)
    for feed in ({name: random_input(tensor) for name, tensor in named_inputs(model)}, samples):
        if difference(model, made, feed) > TOLERANCE:
            raise carried.differs(model, made, feed)
    return made


def is_keras_3(model: Any) -> bool:
    """Whether a model is one of Keras 3."""
    return any(base.__module__.split(".")[0] == "keras" for base in type(model).__mro__)


def require_graph(model: Any, label: str) -> Any:
    """A model of tf_keras that is a graph of layers. Raises WorkerError for a subclassed one."""
    if not getattr(model, "_is_graph_network", False) or not getattr(model, "inputs", None):
        raise no_graph(model, label)
    return model


def no_graph(model: Any, label: str) -> WorkerError:
    """The error for a model whose layers cannot be told from outside."""
    return WorkerError(
        f"'{label}' cannot be optimized",
        where="optimize",
        why=f"it is a {type(model).__name__}, no functional or sequential model: its layers' connections are code",
        next_step="write it as a functional model, or leave optimize out",
    )


class _Carried:
    """Layers of Keras 3 and what they became, in the order they were met."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.layers: dict[Any, Any] = {}

    def model(self, model: Any, graph: Any) -> Any:
        import tf_keras

        inputs = [tf_keras.Input(t.shape[1:], dtype=t.dtype, name=name) for name, t in named_inputs(model)]
        outputs = self.run(graph, inputs if len(inputs) > 1 else inputs[0])
        made = tf_keras.Model(inputs, outputs, name=model.name)
        for layer, twin in self.layers.items():
            try:
                twin.set_weights(layer.get_weights())
            except ValueError as error:
                raise self.refused(layer, first_line(error)) from error
        return made

    def run(self, graph: Any, inputs: Any) -> Any:
        return graph._run_through_graph(inputs, operation_fn=self.operation)

    def operation(self, layer: Any) -> Callable[..., Any]:
        """What computes the same on tensors of tf_keras; a model within the model is taken apart."""
        graph = getattr(layer, "_functional", None) or layer
        if hasattr(graph, "_run_through_graph"):
            return lambda inputs, **_: self.run(graph, inputs)
        if layer not in self.layers:
            self.layers[layer] = self.twin(layer)
        return self.called(layer, self.layers[layer])

    def called(self, layer: Any, twin: Any) -> Callable[..., Any]:
        def call(*inputs: Any, **options: Any) -> Any:
            try:
                return twin(*inputs, **{name: value for name, value in options.items() if value is not None})
            except Exception as error:
                raise self.refused(layer, first_line(error)) from error

        return call

    def twin(self, layer: Any) -> Any:
        """The layer of the same class and configuration in tf_keras."""
        import tf_keras

        kind = getattr(tf_keras.layers, type(layer).__name__, None)
        if kind is None or not type(layer).__module__.startswith("keras."):
            raise self.refused(layer, f"tf_keras {tf_keras.__version__} has no such layer")
        taken = {twin.name for twin in self.layers.values()}
        config = self.configuration(layer, kind)
        if config["name"] in taken:  # of two models within the model
            config["name"] += f"_{len(taken)}"
        try:
            return kind.from_config(config)
        except Exception as error:
            raise self.refused(layer, first_line(error)) from error

    def configuration(self, layer: Any, kind: type) -> dict[str, Any]:
        """What tf_keras knows of the layer's settings; of what it does not know nothing may be set."""
        known = {"name", "trainable", "dtype", *parameters(kind)}
        usual = parameters(type(layer))
        config: dict[str, Any] = {}
        for name, value in layer.get_config().items():
            if name.endswith(FILLED_LATER):
                continue
            if name in known:
                config[name] = value["config"]["name"] if name == "dtype" and isinstance(value, dict) else value
            elif value not in (None, usual.get(name)):
                raise self.refused(layer, f"it has {name}={value}, which tf_keras does not know")
        return config

    def refused(self, layer: Any, why: str) -> WorkerError:
        return WorkerError(
            f"the layer '{layer.name}' ({type(layer).__name__}) cannot be carried over to tf_keras",
            where="optimize",
            why=f"tensorflow-model-optimization takes tf_keras models, and '{self.label}' is one of Keras 3:\n{why}",
            next_step="replace the layer by one that both have, or leave optimize out",
        )

    def differs(self, model: Any, made: Any, feed: Arrays) -> WorkerError:
        """The first layer that computes something else in tf_keras."""
        import keras
        import tf_keras

        for layer, twin in self.layers.items():
            one = keras.Model(model.inputs, layer.output)
            other = tf_keras.Model(made.inputs, twin.output)
            if difference(one, other, feed) > TOLERANCE:
                return self.refused(layer, f"its outputs differ by {difference(one, other, feed):.3g}")
        total = difference(model, made, feed)
        return self.refused(model, f"the outputs of the whole differ by {total:.3g}, and of each layer alone do not")


def named_inputs(model: Any) -> list[tuple[str, Any]]:
    """Inputs of a model of Keras 3 by name."""
    return [(tensor.name, tensor) for tensor in model.inputs]


def parameters(kind: type) -> dict[str, Any]:
    """Parameters of a class's constructors, its ancestors' included, with their defaults."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if "__init__" in vars(base):
            found |= {name: one.default for name, one in inspect.signature(vars(base)["__init__"]).parameters.items()}
    return found


def random_input(tensor: Any) -> np.ndarray:
    """Numbers from 0 to 1 of an input's shape; whole ones for integers."""
    shape = [RANDOM_SAMPLES, *(size or FREE_SIZE for size in tensor.shape[1:])]
    numbers = np.random.default_rng(0).uniform(0, 1, shape)
    return np.asarray(numbers.round() if "int" in str(tensor.dtype) else numbers, str(tensor.dtype))


def difference(model: Any, made: Any, feed: Arrays) -> float:
    """The greatest difference of any output, as a share of the greatest value (of 1 where all are smaller)."""
    import tensorflow as tf

    names = [name for name, _ in named_inputs(model)]
    fed = [tf.constant(feed[name]) for name in names]
    results = [one(fed if len(fed) > 1 else fed[0], training=False) for one in (model, made)]
    worst = 0.0
    for wanted, got in zip(*(tf.nest.flatten(result) for result in results), strict=True):
        a, b = np.asarray(wanted, np.float64), np.asarray(got, np.float64)
        worst = max(worst, float(np.abs(a - b).max(initial=0.0) / max(1.0, np.abs(a).max(initial=0.0))))
    return worst
