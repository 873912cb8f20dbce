"""Twelve small models, one for each kind of constant and operator whose bytes once depended on the CPU.

Each function is a `source=function`: `import` runs it on the machine that is tried. All weights are exact results
(integers and one division), so that every machine starts from the same bytes.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

ALONG_BOTH_AXES = 4  # sums of so many uniform integers are nearly normal
RANGE = 2**20
DEVIATION = 1.1547005 * RANGE  # of such a sum


def draw(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Return float32 [*shape], nearly normal with deviation `scale`; exact operations alone make it."""
    integers = np.random.default_rng(seed).integers(-RANGE, RANGE, (ALONG_BOTH_AXES, *shape))
    return (integers.sum(0) * scale / DEVIATION).astype(np.float32)


def set_weights(model: keras.Model) -> keras.Model:
    """Give every weight of a Keras model a drawn value; variances and scales are positive."""
    for seed, variable in enumerate(model.variables):
        shape = tuple(variable.shape)
        if "seed_generator" in variable.path:
            continue
        if variable.path.endswith(("moving_variance", "gamma")):
            variable.assign(0.2 + np.abs(draw(seed, *shape)))
            continue
        fan_in = int(np.prod(shape[:-1])) if len(shape) > 1 else 4
        variable.assign(draw(seed, *shape, scale=fan_in**-0.5))
    return model


def batch_norm() -> keras.Model:
    """Make convolutions with batch normalization."""
    image = keras.Input((12, 12, 3), name="image")
    hidden = image
    for index, filters in enumerate((8, 12)):
        hidden = layers.Conv2D(filters, 3, name=f"convolution_{index}")(hidden)
        hidden = layers.ReLU(name=f"relu_{index}")(layers.BatchNormalization(name=f"normalization_{index}")(hidden))
    pooled = layers.GlobalAveragePooling2D(name="pool")(hidden)
    return set_weights(keras.Model(image, layers.Dense(5, activation="softmax", name="scores")(pooled)))


def dense_norm() -> keras.Model:
    """Make dense layers with batch normalization, one before and one after."""
    x = keras.Input((16,), name="x")
    hidden = layers.BatchNormalization(name="inputs")(x)
    hidden = layers.BatchNormalization(name="normalization")(layers.Dense(24, name="hidden")(hidden))
    return set_weights(keras.Model(x, layers.Dense(6, name="scores")(layers.ReLU(name="relu")(hidden))))


def depthwise() -> keras.Model:
    """Make a depthwise and a pointwise convolution with batch normalization."""
    image = keras.Input((12, 12, 24), name="image")
    hidden = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(image)
    hidden = layers.ReLU(6.0, name="relu")(layers.BatchNormalization(name="normalization")(hidden))
    hidden = layers.Conv2D(16, 1, use_bias=False, name="pointwise")(hidden)
    hidden = layers.BatchNormalization(name="normalization_after", scale=False)(hidden)
    pooled = layers.AveragePooling2D(4, name="pool")(hidden)
    return set_weights(keras.Model(image, layers.Dense(5, name="scores")(layers.Flatten(name="flat")(pooled))))


def layer_norm() -> keras.Model:
    """Make dense layers with layer normalization."""
    x = keras.Input((16,), name="x")
    hidden = layers.LayerNormalization(name="normalization")(layers.Dense(24, name="hidden")(x))
    return set_weights(keras.Model(x, layers.Dense(6, name="scores")(hidden)))


def attention() -> keras.Model:
    """Make a block of attention with a residual connection and layer normalization."""
    words = keras.Input((8, 16), name="words")
    mixed = layers.MultiHeadAttention(2, 8, name="attention")(words, words)
    hidden = layers.LayerNormalization(name="normalization")(layers.Add(name="residual")([words, mixed]))
    pooled = layers.GlobalAveragePooling1D(name="pool")(hidden)
    return set_weights(keras.Model(words, layers.Dense(4, name="scores")(pooled)))


def lstm() -> keras.Model:
    """Make an LSTM."""
    sequence = keras.Input((6, 8), name="sequence")
    return set_weights(keras.Model(sequence, layers.Dense(4, name="scores")(layers.LSTM(8, name="lstm")(sequence))))


def gelu() -> keras.Model:
    """Make dense layers with both kinds of GELU."""
    x = keras.Input((16,), name="x")
    hidden = layers.Activation(keras.activations.gelu, name="gelu")(layers.Dense(24, name="hidden")(x))
    hidden = layers.Dense(24, name="middle")(hidden)
    hidden = layers.Lambda(lambda y: tf.nn.gelu(y, approximate=True), name="approximate")(hidden)
    return set_weights(keras.Model(x, layers.Dense(6, name="scores")(hidden)))


class Mel(tf.Module):
    """A mel front end: window, spectrum, mel matrix, logarithm, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(draw(1, 20, 4, scale=0.2))

    @tf.function(input_signature=[tf.TensorSpec((1, 1024), name="sound")])
    def serve(self, sound: tf.Tensor) -> dict[str, tf.Tensor]:
        spectrum = tf.abs(tf.signal.stft(sound, 256, 128, 256))
        bands = spectrum @ tf.signal.linear_to_mel_weight_matrix(20, 129, 16000, 80.0, 7600.0)
        return {"scores": tf.math.log(bands + 1e-3) @ self.weights}


class WeightNormalization(tf.Module):
    """Weights with normalized directions and lengths of their own, dense and convolutional."""

    def __init__(self) -> None:
        super().__init__()
        self.filters, self.lengths = tf.Variable(draw(1, 3, 3, 3, 8)), tf.Variable(0.5 + np.abs(draw(2, 8)))
        self.matrix = tf.Variable(draw(3, 8, 5))

    @tf.function(input_signature=[tf.TensorSpec((1, 12, 12, 3), name="image")])
    def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        length = tf.sqrt(tf.reduce_sum(self.filters**2, [0, 1, 2]))
        hidden = tf.nn.relu(tf.nn.conv2d(image, self.filters * (self.lengths / length), 2, "SAME"))
        return {"scores": tf.reduce_mean(hidden, [1, 2]) @ tf.nn.l2_normalize(self.matrix, 0)}


class Einsum(tf.Module):
    """Weights that are products of constants, and tables that functions of constants make."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = tf.Variable(draw(1, 4, 16, 40)), tf.Variable(draw(2, 4, 40, 24, scale=0.05))
        self.last = tf.Variable(draw(3, 24, 6))

    @tf.function(input_signature=[tf.TensorSpec((1, 16), name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        table = tf.nn.gelu(self.last) + tf.atan(self.last) + tf.math.reciprocal(2.0 + self.last**2)
        return {"scores": tf.nn.relu(x @ tf.einsum("hij,hjk->ik", self.left, self.right)) @ table}


class Signatures(tf.Module):
    """Two signatures that share a normalized matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.basis, self.spread = tf.Variable(draw(1, 16, 24)), tf.Variable(0.1 + np.abs(draw(2, 24)))

    def scaled(self) -> tf.Tensor:
        return self.basis * tf.math.rsqrt(self.spread + 1e-3)

    @tf.function(input_signature=[tf.TensorSpec((1, 16), name="x")])
    def encode(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"code": tf.tanh(x @ self.scaled())}

    @tf.function(input_signature=[tf.TensorSpec((1, 24), name="code")])
    def decode(self, code: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"x": code @ tf.transpose(self.scaled())}


class Trained(tf.Module):
    """A model after quantization-aware training: ranges of activations, and of channels of normalized filters."""

    def __init__(self) -> None:
        super().__init__()
        self.filters, self.matrix = tf.Variable(draw(1, 3, 3, 3, 24, scale=0.2)), tf.Variable(draw(2, 24, 5))
        self.gamma, self.variance = tf.Variable(0.5 + np.abs(draw(3, 24))), tf.Variable(0.5 + np.abs(draw(4, 24)))
        self.limits = tf.Variable(np.full(24, 1.5, np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1, 12, 12, 3), name="image")])
    def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        trained = tf.quantization.fake_quant_with_min_max_vars
        filters = self.filters * (self.gamma * tf.math.rsqrt(self.variance + 1e-3))
        filters = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            filters, -self.limits, self.limits, narrow_range=True
        )
        hidden = tf.nn.relu(tf.nn.conv2d(trained(image, 0.0, 1.0), filters, 2, "SAME"))
        hidden = tf.reshape(trained(hidden, 0.0, 3.0), (1, 864))[:, :24]
        matrix = trained(self.matrix, -2.5, 2.5, narrow_range=True)
        return {"scores": trained(hidden @ matrix, -6.0, 6.0)}
