"""Small models for the integration tests, made in a process of its own: make_models.py FOLDER."""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tf_keras

folder = Path(sys.argv[1])
keras.utils.set_random_seed(1)
random = np.random.default_rng(1)
layers = keras.layers


def save_function(name, function, shape=(None, 8)):
    """A SavedModel of one function of `x`."""
    module = tf.Module()
    module.weights = tf.Variable(random.normal(size=(8, 8)).astype(np.float32))
    spec = [tf.TensorSpec(shape, tf.float32, name="x")]
    traced = tf.function(lambda x: {"y": function(x @ module.weights)}, input_signature=spec)
    tf.saved_model.save(module, str(folder / name), signatures={"serving_default": traced})


left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
joined = layers.Dense(64, name="a")(left) + layers.Dense(64, name="b")(right) * 3.0
two = keras.Model([left, right], {"total": joined, "small": layers.Dense(2, name="c")(left)})
two.save(folder / "two.keras")
two.export(folder / "two", verbose=False)

words = [keras.Input((1,), dtype="string", name="word"), layers.StringLookup(vocabulary=["yes", "no"])]
keras.Sequential([*words, layers.Embedding(4, 8), layers.Dense(2, name="out")]).save(folder / "lookup.keras")

broken = keras.Sequential([keras.Input((8,), name="x"), layers.Dense(4, name="y")])
broken.layers[0].kernel.assign(np.full((8, 4), np.nan, np.float32))
broken.save(folder / "nan.keras")


class Doubled(layers.Layer):
    def call(self, x):
        return x * 2


keras.Sequential([keras.Input((8,), name="x"), Doubled()]).save(folder / "custom.keras")
keras.Sequential([keras.Input((8,), name="x"), layers.Dense(4, name="y")]).save(folder / "new.h5")

old = tf_keras.layers
image = old.Input((8, 8, 3), name="image")
features = old.Flatten()(old.DepthwiseConv2D(3, name="depthwise")(image))
tf_keras.Model(image, old.Dense(4, name="scores")(features)).save(folder / "old.h5", save_format="h5")
ran = f"__import__('pathlib').Path({str(folder / 'ran')!r}).touch() or x"
touching = [old.Input((8,), name="x"), old.Lambda(eval(f"lambda x: {ran}"))]
tf_keras.Sequential(touching).save(folder / "lambda.h5", save_format="h5")
(folder / "ran").unlink()

save_function("sine", lambda y: tf.sin(y) @ tf.constant(random.normal(size=(8, 4)).astype(np.float32)))
save_function("pool3d", lambda y: tf.nn.avg_pool3d(tf.reshape(y, (-1, 2, 2, 2, 1)), 2, 1, "SAME"))
save_function("svd", lambda y: tf.linalg.svd(tf.reshape(y, (-1, 2, 4)), compute_uv=False))

arrays = {"x": (60, 8), "left": (60, 4), "right": (60, 3)}
np.savez(folder / "data.npz", **{name: random.normal(size=shape).astype(np.float32) for name, shape in arrays.items()})
