"""TFRecord files as TensorFlow writes them, read without it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tflbuild.steps.datasets.tfrecord import parse_example, read_records

pytestmark = pytest.mark.heavy

RECIPE = "+recipe=mobilenet_int8"

WRITE = """
import numpy as np, tensorflow as tf
def bytes_of(*v): return tf.train.Feature(bytes_list=tf.train.BytesList(value=v))
def floats(v): return tf.train.Feature(float_list=tf.train.FloatList(value=v))
def integers(v): return tf.train.Feature(int64_list=tf.train.Int64List(value=v))
images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
np.savez("data.npz", image=images)
for name, how in (("plain", None), ("packed", "GZIP")):
    with tf.io.TFRecordWriter(name + ".tfrecord", how) as writer:
        for n, image in enumerate(images):
            features = {"image": bytes_of(image.tobytes()), "pixels": integers(image.ravel())}
            features |= {"text": bytes_of(b"a", b"bc"), "floats": floats(image.ravel() / 7)}
            features |= {"signed": integers([-n, 2**40, -2**63]), "none": integers([])}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
"""


@pytest.fixture
def written(warm):
    subprocess.run([sys.executable, "-c", WRITE], cwd=warm.folder, check=True, capture_output=True)
    return warm


@pytest.mark.parametrize("name", ["plain", "packed"])
def test_every_feature_comes_back(written, name):
    images = np.load(written.folder / "data.npz")["image"]
    records = [parse_example(record) for record in read_records(written.folder / f"{name}.tfrecord")]
    assert len(records) == len(images)
    for n, (record, image) in enumerate(zip(records, images, strict=True)):
        assert record["image"][0] == "bytes" and record["image"][1].tolist() == [image.tobytes()]
        assert np.array_equal(record["pixels"][1], image.ravel())
        assert np.array_equal(record["floats"][1], (image.ravel() / 7).astype(np.float32))
        assert record["signed"][1].tolist() == [-n, 2**40, -(2**63)] and len(record["none"][1]) == 0
        assert record["text"][1].tolist() == [b"a", b"bc"]


def test_the_same_pixels_make_the_same_model(written):
    loose = "verify.gates.top1_drop=null"
    assert written.run(RECIPE, "dataset.path=data.npz", loose).code == 0
    records = ("dataset=tfrecord", "dataset.path=plain.tfrecord", loose)
    for more in (["+dataset.raw.image=uint8"], ["+dataset.arrays.image=pixels"]):
        done = written.run(RECIPE, *records, *more)
        assert done.code == 0 and done.steps["calibrate"] == "hit", done.err
