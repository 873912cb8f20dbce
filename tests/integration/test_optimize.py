"""Pruning, clustering and quantization-aware training before conversion, and models that bring it along."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from commandline import Project
from sweeps import open_model

pytestmark = pytest.mark.heavy

NETS = '''"""Small nets of both Kerases."""
import numpy as np


def make():
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 4), name="image")
    x = layers.Conv2D(8, 3, use_bias=False, name="first")(image)
    x = layers.ReLU(name="first_relu")(layers.BatchNormalization(momentum=0.8, name="first_norm")(x))
    x = layers.DepthwiseConv2D(3, name="depth")(x)
    x = keras.Sequential([layers.Conv2D(16, 1, activation="relu", name="second"), layers.Flatten()], name="inner")(x)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x), name="small")


def two():
    """Words, and an image of raw pixels that the artifact preprocesses."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    image, words = keras.Input((8, 8, 4), name="image"), keras.Input((3,), dtype="int32", name="words")
    meaning = layers.Flatten()(layers.Embedding(16, 4, name="meaning")(words))
    seen = layers.GlobalAveragePooling2D()(layers.Conv2DTranspose(8, 3, activation="relu", name="wide")(image))
    scores = layers.Dense(3, activation="softmax", name="scores")(layers.Concatenate()([seen, meaning]))
    return keras.Model([words, image], scores)


def upsampled():
    """Two transposed convolutions, whose trained filters stand behind a TRANSPOSE."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 4), name="image")
    x = layers.Conv2DTranspose(8, 2, strides=2, activation="relu", name="wide")(image)
    x = layers.Conv2DTranspose(6, 3, padding="same", use_bias=False, name="wider")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x))


def strange():
    import keras

    image = keras.Input((8, 8, 4), name="image")
    return keras.Model(image, keras.layers.Dense(3, name="scores")(keras.layers.RMSNormalization(name="rms")(image)))


def aware():
    import tf_keras
    import tensorflow_model_optimization as tfmot

    tf_keras.utils.set_random_seed(1)
    image = tf_keras.Input((8, 8, 4), name="image")
    x = tf_keras.layers.Conv2D(8, 3, activation="relu", name="first")(image)
    x = tf_keras.layers.Dense(3, name="scores")(tf_keras.layers.Flatten()(x))
    model = tfmot.quantization.keras.quantize_model(tf_keras.Model(image, x))
    model.compile("adam", "mse")
    pixels = np.random.default_rng(1).uniform(0, 1, (64, 8, 8, 4)).astype(np.float32)
    model.fit(pixels, np.eye(3, dtype=np.float32)[np.arange(64) % 3], epochs=1, verbose=0)
    return model


if __name__ == "__main__":
    import tensorflow as tf
    import tf_keras

    model = aware()
    tf_keras.models.save_model(model, "aware.h5", save_format="h5")
    tf.saved_model.save(model, "aware")
'''
TRAINING = """optimize:
  dataset: {path: train.npz, label: label}
  batch: 32
  epochs: 8
  learning_rate: 0.005
"""
RECIPE = """defaults:
  - override /source: function
  - override /quantization: int8
  - override /dataset: npz
  - override /verify: classification
source: {call: 'nets.py:make'}
dataset: {path: train.npz, count: 64}
verify:
  dataset: {path: test.npz, label: label}
"""


def samples(seed, count):
    """Three classes that a small net can tell apart: which channel is bright."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    image = random.uniform(0, 1, (count, 8, 8, 4)).astype(np.float32)
    image[np.arange(count), ..., labels] += 1
    return {"image": image, "label": labels}


def make_project(base):
    project = Project(base / "project", base / "store")
    project.write("nets.py", NETS)
    np.savez(project.folder / "train.npz", **samples(1, 192))
    np.savez(project.folder / "test.npz", **samples(2, 96))
    np.savez(project.folder / "wide.npz", image=samples(3, 64)["image"] * 10)
    project.write("recipes/net.yaml", RECIPE + TRAINING)
    project.write(
        "recipes/aware.yaml", RECIPE.replace("nets.py:make", "nets.py:aware").replace("train.npz", "wide.npz")
    )
    project.write(
        "recipes/saved.yaml",
        RECIPE.replace("source: function", "source: saved_model")
        .replace("call: 'nets.py:make'", "path: aware")
        .replace("train.npz", "wide.npz"),
    )
    return project


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("optimize"))


def build(project, *arguments):
    done = project.run(*arguments, "--json")
    rows = json.loads(done.out)
    assert [row["error"] for row in rows] == [None] * len(rows), done.err
    return rows


def manifest_of(project, row):
    file = next(name for name in row["files"] if name.endswith("manifest.json"))
    return json.loads((project.folder / file).read_text())


OPTIONS = ("none", "prune", "prune_2_4", "cluster", "qat", "pqat", "cqat")


@pytest.fixture(scope="module")
def swept(small):
    """Option -> the manifest of its int8 artifact, of one sweep."""
    rows = build(small, "-m", "+recipe=net", f"optimize={','.join(OPTIONS)}", "optimize.clusters=8")
    return {option: manifest_of(small, row) for option, row in zip(OPTIONS, rows, strict=True)}


def weights(manifest):
    return manifest["artifact"]["contents"]["weights"]


@pytest.mark.parametrize("option", ["prune", "pqat"])
def test_half_of_each_layer_s_weights_are_zero_in_the_artifact(swept, option):
    assert all(one["zeros"] >= one["elements"] // 2 for one in weights(swept[option])["tensors"])
    assert {one["layer"] for one in swept[option]["optimized"]["pruned"]} == {"first", "second", "scores"}


def test_two_of_each_four_neighbours_are_zero_in_the_artifact(swept):
    assert weights(swept["prune_2_4"])["in_pairs"] == 1 and weights(swept["prune_2_4"])["zeros"] >= 0.5
    assert weights(swept["prune"])["in_pairs"] < 1


@pytest.mark.parametrize("option", ["cluster", "cqat"])
def test_a_channel_has_as_many_values_as_there_are_clusters(swept, option):
    assert weights(swept[option])["channel_distinct"] <= 8 < weights(swept["qat"])["channel_distinct"]


def test_what_is_pruned_or_clustered_packs_better(swept):
    packed = {option: manifest["artifact"]["gzip_bytes"] for option, manifest in swept.items()}
    for option in ("prune", "prune_2_4", "cluster", "pqat", "cqat"):
        assert packed[option] < packed["none"], option


def test_each_is_trained_to_tell_the_classes_apart(swept):
    for option in OPTIONS[1:]:
        assert swept[option]["metrics"]["verify"]["classification"]["top1"] > 0.9, option
        assert swept[option]["training_overlap"] == {"count": 0, "of": 96}
    assert swept["none"]["optimized"] is None and swept["none"]["training_overlap"] is None


def test_trained_ranges_make_samples_unnecessary(small, swept):
    (row,) = build(small, "+recipe=net", "optimize=qat", "dataset=none")
    assert row["artifact"]["sha256"] == swept["qat"]["artifact"]["sha256"]
    assert manifest_of(small, row)["optimized"]["trained_ranges"] > 5


def test_the_converter_quantizes_by_the_trained_ranges_too(small, swept):
    (row,) = build(small, "+recipe=net", "optimize=qat", "quantization.engine=converter")
    (mine,), (its,) = (one["artifact"]["contents"]["signatures"] for one in (swept["qat"], manifest_of(small, row)))
    assert its["inputs"][0]["scale"] == pytest.approx(mine["inputs"][0]["scale"], rel=1e-4)
    assert row["metrics"]["verify"]["classification"]["top1"] > 0.9


def test_without_labels_training_goes_by_the_source_s_outputs(small):
    overrides = ("optimize=qat", "optimize.loss=source_mse", "optimize.dataset.label=", "optimize.epochs=2")
    (row,) = build(small, "+recipe=net", *overrides)
    assert row["metrics"]["verify"]["outputs"]["scores"]["cosine"] > 0.95


def test_two_inputs_one_of_them_preprocessed_are_trained_as_the_artifact_is_fed(small):
    random = np.random.default_rng(5)
    for name, count in (("two-train", 96), ("two-test", 24)):
        image = random.integers(0, 256, (count, 8, 8, 4), np.uint8)
        words = random.integers(0, 16, (count, 3), np.int32)
        np.savez(small.folder / f"{name}.npz", image=image, words=words, label=words[:, 0] % 3)
    text = (RECIPE + TRAINING).replace("nets.py:make", "nets.py:two")
    text = text.replace("train.npz", "two-train.npz").replace("test.npz", "two-test.npz")
    small.write(
        "recipes/two.yaml",
        text + "signature: {preprocess: {image: {dtype: uint8, scale: 0.00392156862745098}}}\n",
    )
    (row,) = build(small, "+recipe=two", "optimize=prune", "quantization=none")
    manifest = manifest_of(small, row)
    assert {one["layer"] for one in manifest["optimized"]["pruned"]} == {"meaning", "wide", "scores"}
    assert weights(manifest)["zeros"] >= 0.5
    assert {one["operator"] for one in weights(manifest)["tensors"]} >= {"GATHER", "TRANSPOSE_CONV", "FULLY_CONNECTED"}


def test_trained_filters_of_transposed_convolutions_are_constants_again(small):
    """The learning rate keeps the weights, so that the artifact is compared with what it was trained from."""
    still = ("optimize=qat", "optimize.epochs=1", "optimize.learning_rate=1e-9", "source.call='nets.py:upsampled'")
    rows = build(small, "-m", "+recipe=net", "name=upsampled", "quantization.engine=litert,converter", *still)
    for row in rows:
        contents = manifest_of(small, row)["artifact"]["contents"]["operators"]
        assert contents["TRANSPOSE_CONV"] == 2 and {"TRANSPOSE", "QUANTIZE"}.isdisjoint(contents)
        assert row["metrics"]["verify"]["outputs"]["scores"]["snr_db"] > 40


def test_a_layer_that_tf_keras_lacks_is_named(small):
    done = small.run("+recipe=net", "optimize=prune", "source.call='nets.py:strange'", "verify=none")
    assert done.code == 2 and "the layer 'rms' (RMSNormalization) cannot be converted to tf_keras" in done.err


def test_a_learning_rate_that_breaks_the_model_is_refused(small):
    done = small.run("+recipe=net", "optimize=qat", "optimize.learning_rate=1e30")
    assert done.code == 2 and "optimize.learning_rate" in done.err


# models that were trained for quantization elsewhere


def input_range(model):
    (found,) = open_model(model).get_input_details()
    scale, zero = found["quantization"]
    return (-128 - zero) * scale, (127 - zero) * scale


@pytest.fixture(scope="module")
def aware(small):
    """Engine -> the int8 artifact of a model with trained ranges, given samples of ten times the range."""
    rows = build(small, "-m", "+recipe=aware", "verify.gates.agreement=0.8", "quantization.engine=litert,converter")
    return dict(zip(("litert", "converter"), rows, strict=True))


@pytest.mark.parametrize("engine", ["litert", "converter"])
def test_trained_ranges_of_the_source_stand_and_samples_do_not(small, aware, engine):
    model = small.folder / next(name for name in aware[engine]["files"] if name.endswith("model.tflite"))
    assert input_range(model) == pytest.approx((0, 1), abs=0.02)
    manifest = manifest_of(small, aware[engine])
    assert "nodes of quantization-aware training" in manifest["source_note"]
    assert "QUANTIZE" not in manifest["artifact"]["contents"]["operators"]


def test_its_float_model_is_free_of_quantization(small):
    (row,) = build(small, "+recipe=aware", "quantization=none")
    contents = manifest_of(small, row)["artifact"]["contents"]
    assert {"QUANTIZE", "DEQUANTIZE"}.isdisjoint(contents["operators"])
    assert set(contents["tensor_types"]) <= {"float32", "int32"}


@pytest.fixture(scope="module")
def saved(small):
    """Model files with trained ranges, written by their own framework."""
    done = subprocess.run(
        [sys.executable, "nets.py"], cwd=small.folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return small


@pytest.mark.parametrize("engine", ["litert", "converter"])
def test_a_saved_model_brings_its_trained_ranges_along(saved, engine):
    (row,) = build(saved, "+recipe=saved", f"quantization.engine={engine}")
    model = saved.folder / next(name for name in row["files"] if name.endswith("model.tflite"))
    assert input_range(model) == pytest.approx((0, 1), abs=0.02)


def test_a_keras_file_with_quantization_wrappers_says_what_to_do(saved):
    done = saved.run("+recipe=saved", "source=keras", "source.path=aware.h5")
    assert done.code == 2 and "QuantizeWrapperV2" in done.err and "source=saved_model" in done.err


def test_the_converter_is_not_asked_for_what_its_nodes_do_not_say(small):
    done = small.run("+recipe=aware", "quantization=int16x8", "quantization.engine=converter")
    assert done.code == 2 and "cannot make int16x8 of a model with quantization-aware training" in done.err


# the default model

QAT = (
    *("+recipe=mobilenet_int8", "optimize=qat", "optimize.epochs=2", "verify.gates.top1_drop=0.003"),
    *("optimize.dataset.path=tflbuild://fashion_mobilenet/calibration.npz", "optimize.dataset.scale=1.0"),
    "optimize.dataset.label=label",
)


def test_the_default_model_is_trained_to_the_same_bytes_twice_and_loses_nothing(tmp_path):
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        project = Project(tmp_path / name, tmp_path / f"store-{name}")
        (row,) = build(project, *QAT)
        made.append(row["artifact"]["sha256"])
        assert abs(row["metrics"]["verify"]["classification"]["top1_drop"]) <= 0.003
    assert made[0] == made[1]
