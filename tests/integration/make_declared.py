"""Tiny models on which faults are planted: make_declared.py FOLDER.

`net.keras` has two inputs and two outputs of one shape; `net.tflite` is its float model. `photo.keras` takes an image
of any batch, and has what behaves otherwise in training, BatchNormalization. `classes.tflite` names the class of a pair
of images; the labels of `classes.npz` are what it names.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

folder = Path(sys.argv[1])
layers = keras.layers
random = np.random.default_rng(3)
keras.utils.set_random_seed(3)

image, extra = keras.Input((6, 6, 3), name="image"), keras.Input((6,), name="extra")
features = layers.DepthwiseConv2D(3, name="depthwise")(
    layers.Conv2D(40, 3, activation="relu", bias_initializer="random_normal", name="convolution")(image)
)
joined = layers.Concatenate()([layers.GlobalAveragePooling2D()(features), extra])
outputs = {name: layers.Dense(8, name=name)(joined) for name in ("zeta", "alpha")}
net = keras.Model([image, extra], outputs)
net.save(folder / "net.keras")
net.export(folder / "net", verbose=False)
(folder / "net.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder / "net")).convert())

photo = keras.Input((6, 6, 3), name="photo")
hidden = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(photo))
scores = layers.Dense(5, bias_initializer="random_normal", name="scores")(layers.Flatten()(hidden))
model = keras.Model(photo, scores)
for layer in model.layers:
    if isinstance(layer, layers.BatchNormalization):
        layer.set_weights([random.uniform(0.5, 2, 4).astype(np.float32) for _ in range(4)])
model.save(folder / "photo.keras")

left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
twins = [layers.Dense(3, name="sum")(left + right * 2.0), layers.Dense(3, name="difference")(left - right)]
keras.Model([left, right], twins).save(folder / "twins.keras")

matrix = random.normal(size=(216, 5)).astype(np.float32)
matrix -= matrix.mean(axis=0)
IMAGE = (1, 6, 6, 3)


class Classes(tf.Module):
    """Names one of five classes."""

    def __init__(self):
        super().__init__()
        self.matrix, self.bias = tf.Variable(matrix), tf.Variable(np.full(5, 0.1, np.float32))

    @tf.function(input_signature=[tf.TensorSpec(IMAGE, tf.float32, name=name) for name in ("first", "second")])
    def serve(self, first, second):
        flat = tf.reshape(tf.concat([first, second], axis=0), (1, 216))
        return {"scores": tf.nn.softmax(flat @ self.matrix + self.bias)}


classes = Classes()
tf.saved_model.save(classes, str(folder / "classes"), signatures={"serving_default": classes.serve})
(folder / "classes.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder / "classes")).convert())
pixels = random.integers(0, 256, (2, 96, 6, 6, 3), dtype=np.uint8)
named = (np.concatenate([side.reshape(96, -1) for side in pixels], axis=1) @ matrix).argmax(axis=-1)
np.savez(folder / "classes.npz", first=pixels[0], second=pixels[1], label=named)


class Noisy(tf.Module):
    """A model that was exported in training mode: its dropout is another one at each call."""

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="x")])
    def serve(self, x):
        return {"y": tf.nn.dropout(x, 0.5)}


noisy = Noisy()
tf.saved_model.save(noisy, str(folder / "noisy"), signatures={"serving_default": noisy.serve})

arrays = {"image": (12, 6, 6, 3), "extra": (12, 6), "photo": (12, 6, 6, 3)}
samples = {name: random.normal(size=shape).astype(np.float32) for name, shape in arrays.items()}
np.savez(folder / "samples.npz", **samples)
np.savez(folder / "bytes.npz", photo=random.integers(0, 256, (12, 6, 6, 3), dtype=np.uint8))
(folder / "labels.txt").write_text("".join(f"class {index}\n" for index in range(8)))
