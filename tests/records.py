"""tf.train.Example records, and datasets as TensorFlow Datasets prepares them, written by hand."""

from __future__ import annotations

import json

import numpy as np

from tflbuild.steps.datasets import tfrecord


def varint(value):
    out = b""
    while True:
        value, low = value >> 7, value & 127
        out += bytes([low | (128 if value else 0)])
        if not value:
            return out


def field(number, raw):
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def example(**features):
    """A serialized tf.train.Example: bytes, floats or integers by name."""
    entries = b""
    for name, values in features.items():
        if isinstance(values, bytes):
            feature = field(1, field(1, values))
        elif np.asarray(values).dtype.kind == "f":
            feature = field(2, field(1, np.asarray(values, "<f4").tobytes()))
        else:
            feature = field(3, field(1, b"".join(varint(int(one) % 2**64) for one in np.ravel(values))))
        entries += field(1, field(1, name.encode()) + field(2, feature))
    return field(1, entries)


def record_file(folder, *examples, name="data.tfrecord"):
    (folder / name).write_bytes(b"".join(map(tfrecord.frame, examples)))
    return folder / name


# TensorFlow Datasets: as tensorflow-datasets 4.9.10 writes them


def described(kind, dtype="", shape=(), **content):
    """A feature of features.json."""
    where, name = {
        "image": ("image_feature", "Image"),
        "tensor": ("tensor_feature", "Tensor"),
        "audio": ("audio_feature", "Audio"),
        "classLabel": ("class_label_feature", "ClassLabel"),
        "text": ("text_feature", "Text"),
        "video": ("video_feature", "Video"),
        "sequence": ("sequence_feature", "Sequence"),
        "featuresDict": ("features_dict", "FeaturesDict"),
    }[kind]
    if dtype:
        content |= {"dtype": dtype, "shape": {"dimensions": [str(one) for one in shape]} if shape else {}}
    return {"pythonClassName": f"tensorflow_datasets.core.features.{where}.{name}", kind: content}


def prepared(folder, features, names=(), shards=2, **splits):
    """A prepared dataset: features as `described`, examples by split, the names of the classes of `label`."""
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    for split, examples in splits.items():
        parts = [examples[len(examples) * n // shards : len(examples) * (n + 1) // shards] for n in range(shards)]
        for number, part in enumerate(parts):
            record_file(folder, *part, name=f"tiny-{split}.tfrecord-{number:05}-of-{shards:05}")
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        told.append({"filepathTemplate": template, "name": split, "shardLengths": [str(len(part)) for part in parts]})
    info = {"fileFormat": "tfrecord", "moduleName": "tiny", "name": "tiny", "splits": told, "version": "1.0.0"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(json.dumps(described("featuresDict", features=features)))
    if names:
        (folder / "label.labels.txt").write_text("\n".join(names) + "\n")
    return folder
