"""Models as a user would write them; the sources that are code name these functions."""

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers


def functional(units=4):
    keras.utils.set_random_seed(1)
    x = keras.Input((8,), name="x")
    hidden = layers.Dense(16, activation="relu", name="hidden")(x)
    return keras.Model(x, layers.Dense(units, name="scores")(hidden))


def image():
    keras.utils.set_random_seed(2)
    pixels = keras.Input((16, 16, 3), name="image")
    features = layers.Conv2D(8, 3, strides=2, activation="relu")(pixels)
    features = layers.DepthwiseConv2D(3)(layers.BatchNormalization()(features))
    return keras.Model(pixels, {"scores": layers.Dense(5)(layers.GlobalAveragePooling2D()(features))})


class Subclassed(keras.Model):
    def __init__(self, units=3, **options):
        super().__init__(**options)
        self.units = units
        self.dense = layers.Dense(units)

    def call(self, x):
        return tf.nn.relu(self.dense(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def subclassed():
    keras.utils.set_random_seed(3)
    return Subclassed()


def subclassed_built():
    model = subclassed()
    model(np.zeros((1, 8), np.float32))
    return model


def lstm():
    keras.utils.set_random_seed(4)
    sequence = keras.Input((10, 4), name="sequence")
    return keras.Model(sequence, layers.Dense(2, name="scores")(layers.LSTM(6)(sequence)))


def transformer():
    keras.utils.set_random_seed(5)
    tokens = keras.Input((12, 16), name="tokens")
    attended = layers.MultiHeadAttention(2, 8)(tokens, tokens)
    normal = layers.LayerNormalization()(tokens + attended)
    widened = layers.Dense(16)(layers.Dense(32, activation=tanh_gelu)(normal))
    return keras.Model(tokens, layers.LayerNormalization(name="encoded")(normal + widened))


def tanh_gelu(x):
    return tf.nn.gelu(x, approximate=True)


def lookup():
    keras.utils.set_random_seed(6)
    word = [keras.Input((1,), dtype="string", name="word"), layers.StringLookup(vocabulary=["yes", "no"])]
    return keras.Sequential([*word, layers.Embedding(4, 8), layers.Dense(2, name="scores")])


def closure():
    """A function that closes over a model: nothing but the function knows its variables."""
    model = functional()

    @tf.function
    def scale(x):
        return {"scaled": 2.0 * model(x, training=False)}

    return scale


def unsupported():
    keras.utils.set_random_seed(7)
    x = keras.Input((8,), name="x")
    return keras.Model(x, Exotic(name="exotic")(x))


class Exotic(layers.Layer):
    def call(self, x):
        return tf.math.erf(x) + tf.math.lgamma(tf.abs(x) + 1.0)


class Learner(tf.Module):
    """Two signatures over one state: `infer` sees what `train` did."""

    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(tf.ones((8, 2)))
        self.steps = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec((1, 8), name="x"), tf.TensorSpec((1, 2), name="target")])
    def train(self, x, target):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((x @ self.weights - target) ** 2)
        self.weights.assign_sub(0.05 * tape.gradient(loss, self.weights))
        return {"loss": loss, "steps": self.steps.assign_add(1)}

    @tf.function(input_signature=[tf.TensorSpec((1, 8), name="x")])
    def infer(self, x):
        return {"estimate": x @ self.weights}


class Codec(tf.Module):
    """Functions, and no signature."""

    def __init__(self):
        super().__init__()
        self.basis = tf.Variable(np.random.default_rng(8).normal(size=(8, 2)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 8), name="x")])
    def encode(self, x):
        return {"z": tf.tanh(x @ self.basis)}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), name="z")])
    def decode(self, z):
        return {"x": z @ tf.transpose(self.basis)}
