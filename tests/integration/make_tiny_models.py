"""Models of the kinds that MLPerf Tiny runs, with random weights whose activations keep their size, and samples."""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

SAMPLES = 16


def normalised(inputs, layer, activate=True):
    """A layer, batch normalization and ReLU."""
    made = layers.BatchNormalization()(layer(inputs))
    return layers.ReLU()(made) if activate else made


def convolution(filters, size, strides=1):
    return layers.Conv2D(filters, size, strides=strides, padding="same", kernel_initializer="he_normal")


def depthwise(strides=1):
    """He's initializer counts all channels as inputs of a depthwise filter: its outputs would vanish."""
    spread = keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5)
    return layers.DepthwiseConv2D(3, strides=strides, padding="same", depthwise_initializer=spread)


def keyword_spotting():
    """A DS-CNN: 12 words in 49 frames of 10 MFCCs."""
    given = keras.Input((49, 10, 1), name="sound")
    made = normalised(given, convolution(64, (10, 4), 2))
    for _ in range(4):
        made = normalised(normalised(made, depthwise()), convolution(64, 1))
    made = layers.Flatten()(layers.AveragePooling2D((25, 5))(made))
    return keras.Model(given, layers.Dense(12, activation="softmax")(made))


def image_classification():
    """A ResNet of eight layers on images of 32x32."""
    given = keras.Input((32, 32, 3), name="image")
    made = normalised(given, convolution(16, 3))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        branch = normalised(normalised(made, convolution(filters, 3, strides)), convolution(filters, 3), activate=False)
        around = made if strides == 1 else convolution(filters, 1, strides)(made)
        made = layers.ReLU()(layers.Add()([around, branch]))
    made = layers.Flatten()(layers.AveragePooling2D(8)(made))
    return keras.Model(given, layers.Dense(10, activation="softmax")(made))


def anomaly_detection():
    """An autoencoder of dense layers, whose weights exceed 256 KiB."""
    given = made = keras.Input((640,), name="spectrum")
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        made = normalised(made, layers.Dense(units, kernel_initializer="he_normal"))
    return keras.Model(given, layers.Dense(640)(made))


def visual_wake_words():
    """MobileNetV1 0.25 on images of 96x96, two classes."""
    given = keras.Input((96, 96, 3), name="image")
    made = normalised(given, convolution(8, 3, 2))
    blocks = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1))
    for filters, strides in blocks:
        made = normalised(normalised(made, depthwise(strides)), convolution(filters, 1))
    made = layers.Flatten()(layers.AveragePooling2D(3)(made))
    return keras.Model(given, layers.Dense(2, activation="softmax")(made))


MODELS = (keyword_spotting, image_classification, anomaly_detection, visual_wake_words)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for make in MODELS:
        keras.utils.set_random_seed(13)
        model = make()
        model.save(folder / f"{make.__name__}.keras")
        (entry,) = model.inputs
        values = np.random.default_rng(13).normal(size=(SAMPLES, *entry.shape[1:])).astype(np.float32)
        np.savez(folder / f"{make.__name__}.npz", **{entry.name: values})
