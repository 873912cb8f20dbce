"""What `features.json` of TensorFlow Datasets says of a feature, and a feature's value out of a tf.train.Example.

The form is `tensorflow_datasets.core.proto.feature_pb2.Feature` as JSON. A tf.train.Example knows int64, float32
and bytes: whole numbers and bools are stored as int64 (uint64 by its bits), floats as float32, and tensors with an
encoding as their bytes, little-endian, packed by zlib or not. More than one free axis adds `<name>/shape`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tflbuild.steps.datasets.tfrecord import MOST_RECORD_BYTES, Feature

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
    """A feature as it is stored; None in `shape` is a free size, `unread` says why it is of no use here."""

    dtype: np.dtype | None = None
    shape: tuple[int | None, ...] = ()
    encoding: str = "none"
    image: bool = False
    classes: bool = False
    unread: str = ""

    @property
    def free(self) -> int:
        """How many axes have a free size."""
        return self.shape.count(None)

    @property
    def channels(self) -> int:
        """Of an image: its last axis, which is never free."""
        return self.shape[-1] or 0


def stored_features(tree: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, TfdsFeature]]:
    """(name, feature) of all, nested ones as `outer/inner`. Raises KeyError, TypeError and the like for other forms."""
    for name, entry in tree["features"].items():
        if "featuresDict" in entry:
            yield from stored_features(entry["featuresDict"], f"{within}{name}/")
        else:
            yield f"{within}{name}", stored(entry)


def stored(entry: Mapping[str, Any]) -> TfdsFeature:
    """One feature; what is not known here says so in `unread`."""
    kind = entry["pythonClassName"]
    if not kind.startswith(OWN):
        return TfdsFeature(unread=f"{kind} is a kind of its own")
    short = kind.rpartition(".")[2]
    if "sequence" in entry:
        return sequence(entry["sequence"])
    if "image" in entry:
        return image(entry["image"])
    if "classLabel" in entry:
        return TfdsFeature(np.dtype(np.int64), classes=True)
    if entry.get("text") == {}:
        return TfdsFeature(np.dtype("S"))
    found = next((entry[name] for name in TENSORS if name in entry), None)
    return TfdsFeature(unread=f"it is a {short}") if found is None else tensor(found, short)


def tensor(content: Mapping[str, Any], kind: str) -> TfdsFeature:
    """Numbers or strings of a shape."""
    name, encoding = content["dtype"], content.get("encoding", "none").lower() or "none"
    if name not in (*NUMBERS, "string") or encoding not in ENCODINGS or content.get("lazyDecode"):
        return TfdsFeature(unread=f"it is a {kind} of {name}, {'encoded' if content.get('lazyDecode') else encoding}")
    return TfdsFeature(np.dtype("S" if name == "string" else name), sizes(content), encoding)


def image(content: Mapping[str, Any]) -> TfdsFeature:
    """An encoded image of bytes, grey or RGB."""
    shape, dtype = sizes(content), content.get("dtype") or "uint8"
    if dtype != "uint8" or len(shape) != 3 or shape[-1] not in IMAGE_CHANNELS:
        return TfdsFeature(unread=f"it is an image of {dtype} {['?' if one is None else one for one in shape]}")
    return TfdsFeature(np.dtype(np.uint8), shape, image=True)


def sequence(content: Mapping[str, Any]) -> TfdsFeature:
    """Plain values one after the other."""
    inner = TfdsFeature(unread="features") if "featuresDict" in content["feature"] else stored(content["feature"])
    plain = not (inner.unread or inner.image or inner.free) and inner.encoding == "none"
    if not plain or "sequence" in content["feature"]:
        return TfdsFeature(unread="it is a Sequence of more than numbers, strings or tensors of one shape")
    return replace(inner, shape=(size(content.get("length", -1)), *inner.shape), classes=False)


def sizes(content: Mapping[str, Any]) -> tuple[int | None, ...]:
    """A shape; none is that of a single value."""
    return tuple(size(one) for one in content.get("shape", {}).get("dimensions", ()))


def size(text: Any) -> int | None:
    """One axis; -1 is a free one."""
    return None if int(text) < 0 else int(text)


def value_of(feature: TfdsFeature, name: str, example: Mapping[str, Feature]) -> np.ndarray:
    """A feature that is no image, in its dtype and shape. Raises ValueError for what is not stored so."""
    if feature.free <= 1:
        return in_a_row(feature, name, example).reshape([-1 if one is None else one for one in feature.shape])
    shape = held(f"{name}/shape", example, "int64").tolist()
    if len(shape) != len(feature.shape):
        raise ValueError(f"its shape is {shape}")
    return in_a_row(feature, f"{name}/value", example).reshape(shape)


def in_a_row(feature: TfdsFeature, name: str, example: Mapping[str, Feature]) -> np.ndarray:
    """The values of any shape, one after the other."""
    dtype = feature.dtype
    assert dtype is not None, "features without one are refused before they are read"
    if feature.encoding != "none":
        return unpacked(one_of_bytes(name, example), feature.encoding, dtype)
    if dtype.kind == "S":
        return np.array(held(name, example, "bytes").tolist(), "S")
    return held(name, example, "float" if dtype.kind == "f" else "int64").astype(dtype)


def one_of_bytes(name: str, example: Mapping[str, Feature]) -> bytes:
    """The bytes of an encoded image or tensor. Raises ValueError for none, or several."""
    values = held(name, example, "bytes")
    if len(values) != 1:
        raise ValueError(f"it has {len(values)} values of bytes, and one is to be stored")
    return bytes(values[0])


def held(name: str, example: Mapping[str, Feature], wanted: str) -> np.ndarray:
    """The values under `name`. Raises ValueError where they are missing, or of another kind."""
    if name not in example:
        raise ValueError(f"the record has no '{name}'")
    kind, values = example[name]
    if kind != wanted:
        raise ValueError(f"it is {kind}, and {wanted} is to be stored")
    return values


def unpacked(data: bytes, encoding: str, dtype: np.dtype) -> np.ndarray:
    """A tensor's bytes as numbers."""
    try:
        if encoding == "zlib":
            unpacking = zlib.decompressobj()
            data = unpacking.decompress(data, MOST_RECORD_BYTES)
            if not unpacking.eof:
                raise ValueError(f"its zlib data is cut short, or longer than {MOST_RECORD_BYTES:,} bytes")
    except zlib.error as error:
        raise ValueError(f"its zlib data is damaged: {error}") from None
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
