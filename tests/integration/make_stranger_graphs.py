"""Save SavedModels that reach outside themselves in the ways that a stranger's could: make_stranger_graphs.py FOLDER.

Each is a folder below FOLDER, and writes or reads FOLDER/canary or FOLDER/secret when it is loaded or called.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

SPEC = tf.TensorSpec((None, 4), name="x")


class Initialised(tf.Module):
    """A model with a resource whose initialiser runs something when the model is loaded."""

    def __init__(self, run):
        super().__init__()
        self.resource = Resource(run)
        self.weights = tf.Variable(tf.ones((4, 2)))

    @tf.function(input_signature=[SPEC])
    def serve(self, x):
        return {"y": x @ self.weights}


class Resource(tf.saved_model.experimental.TrackableResource):
    """A table in name, which is made so that something has to be initialised."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="stranger")

    def _initialize(self):
        self.run()


class Called(tf.Module):
    """A model whose function runs something when it is called."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.weights = tf.Variable(tf.ones((4, 2)))

    @tf.function(input_signature=[SPEC])
    def serve(self, x):
        with tf.control_dependencies([tf.identity(self.run())]):
            return {"y": x @ self.weights}


class Words(tf.Module):
    """A model with a table of an asset file, as many have."""

    def __init__(self, file):
        super().__init__()
        content = tf.lookup.TextFileInitializer(str(file), tf.string, -2, tf.int64, -1)
        self.table = tf.lookup.StaticHashTable(content, 0)
        self.scale = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
    def serve(self, word):
        return {"index": self.table.lookup(word), "scaled": tf.cast(self.table.lookup(word), tf.float32) * self.scale}


def write(canary):
    tf.io.write_file(canary, "written")
    return tf.constant(1.0)


def nested_write(canary):
    """The operator stands in a branch of a function that another calls."""

    @tf.function
    def inner(flag):
        return tf.cond(flag, lambda: write(canary), lambda: tf.constant(0.0))

    return inner(tf.random.uniform(()) < 2.0)


def print_to_file(canary):
    tf.print("written", output_stream=f"file://{canary}")
    return tf.constant(1.0)


def read_text_table(secret):
    table = tf.raw_ops.AnonymousHashTable(key_dtype=tf.string, value_dtype=tf.int64)
    tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=table, filename=secret, key_index=-2, value_index=-1, vocab_size=-1, delimiter="\t", offset=0
    )
    return tf.raw_ops.LookupTableSizeV2(table_handle=table)


def restore(secret):
    return tf.raw_ops.RestoreV2(prefix=secret, tensor_names=["w"], shape_and_slices=[""], dtypes=[tf.float32])[0]


def read_dataset(secret):
    return tf.data.experimental.get_single_element(tf.data.TextLineDataset(secret).take(1))


def read_memory(secret):
    return tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=secret)


def call_python(_):
    return tf.py_function(lambda: 1.0, [], tf.float32)


def save_all(folder: Path):
    """Each model, with the operator that a build names."""
    canary, secret = str(folder / "canary"), str(folder / "secret")
    (folder / "secret").write_text("alpha\nbeta\n")
    runs = {
        "write": (Initialised, lambda: write(canary)),
        "nested": (Initialised, lambda: nested_write(canary)),
        "prints": (Initialised, lambda: print_to_file(canary)),
        "saves": (
            Initialised,
            lambda: tf.raw_ops.SaveV2(prefix=canary, tensor_names=["w"], shape_and_slices=[""], tensors=[tf.ones(1)]),
        ),
        "reads": (Called, lambda: tf.io.read_file(secret)),
        "matches": (Called, lambda: tf.io.matching_files(secret)),
        "table": (Called, lambda: read_text_table(secret)),
        "restores": (Called, lambda: restore(secret)),
        "dataset": (Called, lambda: read_dataset(secret)),
        "memory": (Called, lambda: read_memory(secret)),
        "python": (Called, lambda: call_python(secret)),
    }
    for name, (kind, run) in runs.items():
        save(kind(run), folder / name)
    save(Words(folder / "secret"), folder / "words")
    plant_asset(folder)
    for left in (canary, canary + ".index", canary + ".data-00000-of-00001"):
        Path(left).unlink(missing_ok=True)


def save(model, place):
    tf.saved_model.save(model, str(place), signatures={"serving_default": model.serve})


def plant_asset(folder):
    """The asset of a table is a file of the user's."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(folder / "words", folder / "asset")
    file = folder / "asset" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    (asset,) = model.meta_graphs[0].asset_file_def
    asset.filename = os.path.relpath(folder / "secret", folder / "asset" / "assets")
    file.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    np.random.seed(0)
    save_all(Path(sys.argv[1]))
