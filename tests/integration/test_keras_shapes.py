"""Names, shapes and types that are read in a Keras file are those of the model that Keras makes of it."""

from __future__ import annotations

import importlib
import json

import pytest

pytestmark = pytest.mark.heavy


def make_models(lib):
    """Models of one of the Kerases, each by a name."""
    layers, x = lib.layers, lib.Input((16, 8), name="s")
    image, a, b = (
        lib.Input((9, 12, 3), name="image"),
        lib.Input((4,), name="a"),
        lib.Input((4,), name="b", dtype="int32"),
    )
    on_steps = {
        "lstm": layers.LSTM(5),
        "gru": layers.GRU(5, return_sequences=True),
        "both_ways": layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        "distributed": layers.TimeDistributed(layers.Dense(2)),
        "conv": layers.Conv1D(4, 3, 2, "same"),
        "causal": layers.Conv1D(4, 3, padding="causal", dilation_rate=2),
        "cropped": layers.Cropping1D(1),
        "permuted": layers.Permute((2, 1)),
        "reshaped": layers.Reshape((-1, 2)),
    }
    on_images = {
        "conv2d": layers.Conv2D(4, (3, 2), strides=2),
        "transposed": layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
        "depthwise": layers.DepthwiseConv2D(3, depth_multiplier=2),
        "separable": layers.SeparableConv2D(5, 3),
        "pooled": layers.MaxPooling2D(),
        "mean": layers.GlobalAveragePooling2D(),
        "padded": layers.ZeroPadding2D(((1, 2), (0, 3))),
        "larger": layers.UpSampling2D((2, 3)),
        "resized": layers.Resizing(7, 5),
        "flat": layers.Flatten(),
    }
    inner = lib.Sequential([lib.Input((4,)), layers.Dense(3)], name="inner")
    two = lib.Model(a, [layers.Dense(3, name="p")(a), layers.Dense(2, name="q")(a)], name="two")
    given = lib.Input((4,), name="c")
    models = {name: lib.Model(x, layer(x)) for name, layer in on_steps.items()}
    models |= {name: lib.Model(image, layer(image)) for name, layer in on_images.items()}
    return models | {
        "attention": lib.Model(x, layers.MultiHeadAttention(2, 4)(x, x)),
        "named": lib.Model({"a": a, "b": b}, {"u": layers.Dense(3)(a), "v": layers.Embedding(10, 6)(b)}),
        "nested": lib.Model(a, inner(a)),
        "nested_two": lib.Model(given, layers.Concatenate()(two(given))),
        "many": two,
        "chain": lib.Sequential([lib.Input((4,), name="first"), layers.Dense(2, activation="relu", name="y")]),
        "mobilenet": lib.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=7),
    }


def described(config):
    from tflbuild.steps.foreign_models.keras_describe import describe_model

    return [{name: (spec.shape, spec.dtype) for name, spec in side.items()} for side in describe_model(config)]


def expected(model, lib):
    """(name -> shape and type) of inputs and outputs, as the model itself has them."""

    def spec(tensor):
        return tuple(tensor.shape), getattr(tensor.dtype, "name", tensor.dtype)

    names = getattr(model, "input_names", None) or [tensor.name for tensor in model.inputs]
    outputs = getattr(model, "_outputs_struct" if lib.__name__ == "keras" else "_nested_outputs", None)
    if not isinstance(outputs, dict):
        own = getattr(model, "output_names", None) or [model.layers[-1].name]
        outputs = dict(zip(own, model.outputs, strict=True))
    inputs = dict(zip(names, model.inputs, strict=True))
    return [{name: spec(tensor) for name, tensor in side.items()} for side in (inputs, outputs)]


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_a_configuration_says_what_the_model_takes_and_gives(package):
    from tflbuild.steps.foreign_models.keras_safety import list_refused

    lib = importlib.import_module(package)
    for name, model in make_models(lib).items():
        written = json.loads(model.to_json())
        made = lib.models.model_from_json(json.dumps(written))  # a name that Keras gave is another than one of a file
        assert described(written) == expected(made, lib), name
        assert list_refused(written, ()) == [], name
