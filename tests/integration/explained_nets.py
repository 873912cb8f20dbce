"""Models that do not convert, or not as they are: one for each way in which people meet this."""

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers


class Exotic(layers.Layer):
    def call(self, x):
        singular = tf.linalg.svd(tf.reshape(x, (-1, 2, 4)), compute_uv=False)
        return tf.concat([singular, tf.math.erf(x)], -1)


def exotic():
    x = keras.Input((8,), name="x")
    return keras.Model(x, Exotic(name="exotic")(x))


def erf():
    x = keras.Input((8,), name="x")
    return keras.Model(x, layers.Dense(4)(keras.ops.erf(x)))


def lstm():
    keras.utils.set_random_seed(1)
    sequence = keras.Input((10, 4), name="sequence")
    return keras.Model(sequence, layers.Dense(2, name="scores")(layers.LSTM(6)(sequence)))


def unbuilt():
    """A Sequential model whose input shape nobody told: `_get_save_spec` in other tools."""
    return keras.Sequential([layers.Dense(3), layers.Dense(2)])


def two_inputs():
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    return keras.Model([left, right], layers.Dense(2, name="sum")(left) - layers.Dense(2, name="other")(right) * 3.0)


def sine():
    x = keras.Input((8,), name="x")
    return keras.Model(x, layers.Dense(4, name="y")(keras.ops.sin(x)))


class Splat(tf.Module):
    """A large constant of one value, which takes many times the model's size when it is stored."""

    @tf.function(input_signature=[tf.TensorSpec((256,), name="x")])
    def spread(self, x):
        return {"y": tf.concat([tf.reshape(x, (1, 256)), tf.zeros((512, 256))], 0)}


class TooLarge(tf.Module):
    """More than a flatbuffer can address; nothing of it is ever written."""

    def __init__(self):
        super().__init__()
        self.table = tf.Variable(tf.zeros((600, 1000, 1000)))

    @tf.function(input_signature=[tf.TensorSpec((1,), tf.int32, "x")])
    def look(self, x):
        return {"y": tf.gather(self.table, x)}


class Counter(tf.Module):
    """State that changes: a resource variable."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(np.float32(0))

    @tf.function(input_signature=[tf.TensorSpec((1,), name="x")])
    def add(self, x):
        return {"total": tf.identity(self.count.assign_add(x[0]))}


def table():
    """A mutable table: what TFLite has no operator for."""
    module = tf.Module()
    module.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)

    def find(word):
        return {"id": module.table.lookup(word)}

    module.find = tf.function(find, input_signature=[tf.TensorSpec((1,), tf.string, "word")])
    return module
