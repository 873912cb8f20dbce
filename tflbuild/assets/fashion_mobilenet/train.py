"""Train the model that tflbuild ships, and cut its calibration and evaluation samples.

    apt-get install dataset-fashion-mnist
    python tflbuild/assets/fashion_mobilenet/train.py

A depthwise-separable network after MobileNetV1 (Howard et al., arXiv:1704.04861), small enough
for 28x28 greyscale images. It takes raw pixels, 0 to 255: the first batch normalisation absorbs
the scale, so a uint8 artifact can be fed bytes as a camera gives them.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LABELS = ("t_shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot")
SEED = 20261121
CALIBRATION_SAMPLES = 256
EVALUATION_SAMPLES = 2000


def read_idx(path: Path) -> np.ndarray:
    """An array from a gzipped IDX file of unsigned bytes (the MNIST family's format)."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape.tolist())


def load(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 28, 28, 1] and labels uint8 [N] of one split, `train` or `t10k`."""
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    return images[..., None], read_idx(folder / f"{split}-labels-idx1-ubyte.gz")


def build_model():
    """The untrained network: image float32 [N, 28, 28, 1] in 0..255 -> probabilities [N, 10]."""
    import keras
    from keras import layers

    def normalise(x, name):
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x)

    def block(x, filters, stride, name):
        x = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
        x = normalise(x, f"{name}_depthwise")
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise")(x)
        return normalise(x, f"{name}_pointwise")

    image = keras.Input((28, 28, 1), name="image")
    x = normalise(layers.Conv2D(32, 3, padding="same", use_bias=False, name="stem")(image), "stem")
    for index, (filters, stride) in enumerate(((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)), 1):
        x = block(x, filters, stride, f"block_{index}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    probabilities = layers.Dense(len(LABELS), activation="softmax", name="probabilities")(x)
    return keras.Model(image, probabilities, name="fashion_mobilenet")


def train(model, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    """Fit in place: mirrored images, AdamW under a cosine schedule with a short warm-up."""
    import keras
    import tensorflow as tf

    def augment(image, label):
        image = tf.cast(tf.image.random_flip_left_right(image), tf.float32)
        return image, label

    batch = 128
    steps = len(images) // batch
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images), seed=SEED)
    data = data.batch(batch, drop_remainder=True).map(augment).prefetch(2)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps * epochs - 200, warmup_target=4e-3, warmup_steps=200, alpha=1e-3
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(data, epochs=epochs, verbose=2)


def save_without_optimizer(model, path: Path) -> None:
    """Write the weights and the architecture alone: a fresh, never compiled copy has no optimizer."""
    fresh = build_model()
    fresh.set_weights(model.get_weights())
    fresh.save(path)


def cut(images: np.ndarray, labels: np.ndarray, count: int, path: Path) -> None:
    """`count` samples drawn without replacement, in a fixed order, as {image, label}."""
    picked = np.sort(np.random.default_rng(SEED).choice(len(images), count, replace=False))
    np.savez_compressed(path, image=images[picked], label=labels[picked])


def main() -> None:
    """Cut the samples, train, measure on all test images, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--only-samples", action="store_true", help="cut the samples, train nothing")
    options = parser.parse_args()

    train_images, train_labels = load(options.data, "train")
    test_images, test_labels = load(options.data, "t10k")
    cut(train_images, train_labels, CALIBRATION_SAMPLES, HERE / "calibration.npz")
    cut(test_images, test_labels, EVALUATION_SAMPLES, HERE / "evaluation.npz")
    (HERE / "labels.txt").write_text("\n".join(LABELS) + "\n")
    if options.only_samples:
        return

    import keras

    keras.utils.set_random_seed(SEED)
    model = build_model()
    train(model, train_images, train_labels, options.epochs)
    predicted = model.predict(test_images.astype(np.float32), batch_size=500, verbose=0).argmax(-1)
    print(f"parameters {model.count_params()}, top-1 on the 10,000 test images {(predicted == test_labels).mean():.4f}")
    save_without_optimizer(model, HERE / "model.keras")


if __name__ == "__main__":
    main()
