"""Features of TensorFlow Datasets: their description in `features.json`, and their values in a tf.train.Example.

The format is `tensorflow_datasets.core.proto.feature_pb2.Feature` as JSON. A tf.train.Example can contain int64,
float32 and bytes. Integers and bools are stored as int64 (uint64 by its bits), floats as float32. Tensors with an
encoding are stored as their bytes, little-endian, with or without zlib. A feature with more than one dynamic dimension
has an additional feature `<name>/shape`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tflbuild.steps.datasets.tfrecord import MAX_RECORD_BYTES, Feature

OWN = "tensorflow_datasets.core.features."
NUMBERS = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
ENCODINGS = ("none", "bytes", "zlib")
TENSORS = ("tensor", "audio", "boundingBox")
IMAGE_CHANNELS = (1, 3)


@dataclass(frozen=True)
class TfdsFeature:
    """The description of a feature.

    Attributes:
        dtype: The type of its values.
        shape: Its shape, with None for a dynamic dimension.
        encoding: `none`, `bytes` or `zlib`.
        image: Whether it is an encoded image.
        classes: Whether it is a class index.
        unread: Why this feature is not supported; "" if it is.
    """

    dtype: np.dtype | None = None
    shape: tuple[int | None, ...] = ()
    encoding: str = "none"
    image: bool = False
    classes: bool = False
    unread: str = ""

    @property
    def free(self) -> int:
        """The number of dynamic dimensions."""
        return self.shape.count(None)

    @property
    def channels(self) -> int:
        """The channels of an image: its last dimension, which is never dynamic."""
        return self.shape[-1] or 0


def stored_features(tree: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, TfdsFeature]]:
    """Yield the name and the description of every feature. The name of a nested one is `outer/inner`.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: The description has an unknown format.
    """
    for name, entry in tree["features"].items():
        if "featuresDict" in entry:
            yield from stored_features(entry["featuresDict"], f"{within}{name}/")
        else:
            yield f"{within}{name}", stored(entry)


def stored(entry: Mapping[str, Any]) -> TfdsFeature:
    """Return the description of one feature. If it is not supported, its `unread` says why."""
    kind = entry["pythonClassName"]
    if not kind.startswith(OWN):
        return TfdsFeature(unread=f"its type {kind} is not one of TensorFlow Datasets")
    short = kind.rpartition(".")[2]
    if "sequence" in entry:
        return sequence(entry["sequence"])
    if "image" in entry:
        return image(entry["image"])
    if "classLabel" in entry:
        return TfdsFeature(np.dtype(np.int64), classes=True)
    if entry.get("text") == {}:
        return TfdsFeature(np.dtype("S"))
    content = next((entry[name] for name in TENSORS if name in entry), None)
    return TfdsFeature(unread=f"it is a {short}") if content is None else tensor(content, short)


def tensor(content: Mapping[str, Any], kind: str) -> TfdsFeature:
    """Return the description of a tensor of numbers or strings."""
    name, encoding = content["dtype"], content.get("encoding", "none").lower() or "none"
    if name not in (*NUMBERS, "string") or encoding not in ENCODINGS or content.get("lazyDecode"):
        return TfdsFeature(unread=f"it is a {kind} of {name}, {'encoded' if content.get('lazyDecode') else encoding}")
    return TfdsFeature(np.dtype("S" if name == "string" else name), sizes(content), encoding)


def image(content: Mapping[str, Any]) -> TfdsFeature:
    """Return the description of an encoded image, gray or RGB."""
    shape, dtype = sizes(content), content.get("dtype") or "uint8"
    if dtype != "uint8" or len(shape) != 3 or shape[-1] not in IMAGE_CHANNELS:
        return TfdsFeature(
            unread=f"it is an image of {dtype} {['?' if length is None else length for length in shape]}"
        )
    return TfdsFeature(np.dtype(np.uint8), shape, image=True)


def sequence(content: Mapping[str, Any]) -> TfdsFeature:
    """Return the description of a sequence of plain values."""
    inner = TfdsFeature(unread="features") if "featuresDict" in content["feature"] else stored(content["feature"])
    plain = not (inner.unread or inner.image or inner.free) and inner.encoding == "none"
    if not plain or "sequence" in content["feature"]:
        return TfdsFeature(unread="it is a Sequence of values other than numbers, strings or tensors of one shape")
    return replace(inner, shape=(size(content.get("length", -1)), *inner.shape), classes=False)


def sizes(content: Mapping[str, Any]) -> tuple[int | None, ...]:
    """Return the shape of a feature. If the description has none, it is that of a single value."""
    return tuple(size(dimension) for dimension in content.get("shape", {}).get("dimensions", ()))


def size(text: Any) -> int | None:
    """Return the size of a dimension. None stands for a dynamic one, which is -1 in the file."""
    return None if int(text) < 0 else int(text)


def value_of(feature: TfdsFeature, name: str, example: Mapping[str, Feature]) -> np.ndarray:
    """Return the value of a feature other than an image, in its dtype and shape.

    Raises:
        ValueError: The record does not contain it in this form.
    """
    if feature.free <= 1:
        shape = [-1 if length is None else length for length in feature.shape]
        return read_flat(feature, name, example).reshape(shape)
    shape = read_values(f"{name}/shape", example, "int64").tolist()
    if len(shape) != len(feature.shape):
        raise ValueError(f"its shape is {shape}")
    return read_flat(feature, f"{name}/value", example).reshape(shape)


def read_flat(feature: TfdsFeature, name: str, example: Mapping[str, Feature]) -> np.ndarray:
    """Return the values of a feature as an array with one dimension."""
    dtype = feature.dtype
    assert dtype is not None, "features without one are refused before they are read"
    if feature.encoding != "none":
        return decode_tensor(read_single_bytes(name, example), feature.encoding, dtype)
    if dtype.kind == "S":
        return np.array(read_values(name, example, "bytes").tolist(), "S")
    return read_values(name, example, "float" if dtype.kind == "f" else "int64").astype(dtype)


def read_single_bytes(name: str, example: Mapping[str, Feature]) -> bytes:
    """Return the bytes of an encoded image or tensor. Raise ValueError unless there is one value."""
    values = read_values(name, example, "bytes")
    if len(values) != 1:
        raise ValueError(f"it has {len(values)} values of bytes instead of one")
    return bytes(values[0])


def read_values(name: str, example: Mapping[str, Feature], expected_kind: str) -> np.ndarray:
    """Return the values of a feature. Raise ValueError if they are missing, or of another kind."""
    if name not in example:
        raise ValueError(f"the record has no '{name}'")
    kind, values = example[name]
    if kind != expected_kind:
        raise ValueError(f"it is stored as {kind} instead of {expected_kind}")
    return values


def decode_tensor(data: bytes, encoding: str, dtype: np.dtype) -> np.ndarray:
    """Return the numbers of an encoded tensor as an array with one dimension. Raise ValueError if it is damaged."""
    try:
        if encoding == "zlib":
            unpacking = zlib.decompressobj()
            data = unpacking.decompress(data, MAX_RECORD_BYTES)
            if not unpacking.eof:
                raise ValueError(f"its zlib data is incomplete, or longer than {MAX_RECORD_BYTES:,} bytes")
    except zlib.error as error:
        raise ValueError(f"its zlib data is damaged: {error}") from None
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
