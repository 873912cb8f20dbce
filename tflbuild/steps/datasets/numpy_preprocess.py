"""The preprocessing of `signature.preprocess` in NumPy.

It is written from the documentation of the recipe keys. It shares no code with `steps/sources/preprocess.py`, whose
TensorFlow operators become a part of the artifact, so that each of the two can prove the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FROM_NCHW, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def preprocess_values(values: np.ndarray, declared: Mapping[str, Any], shape: Sequence[int | None]) -> np.ndarray:
    """Return (value * scale - mean) / std in the layout and size of the source.

    Args:
        values: A batch of values that an app feeds.
        declared: The entry of `signature.preprocess` for this input, as JSON.
        shape: The shape of the input of the source. Only height and width are used, for `resize`.

    Returns:
        A batch in float64.
    """
    images = values.astype(np.float64)
    if declared["layout"] == "nchw_to_nhwc":
        images = images.transpose(FROM_NCHW)
    if declared["resize"] != "none":
        sides = shape[2:4] if declared["layout"] == "nhwc_to_nchw" else shape[1:3]
        for axis, size in zip((1, 2), sides, strict=True):
            assert size is not None, "`import` refuses to resize to a dynamic size"
            images = RESIZES[declared["resize"]](images, axis, size)
    images = (images * declared["scale"] - np.asarray(declared["mean"])) / np.asarray(declared["std"])
    result: np.ndarray = images.transpose(TO_NCHW) if declared["layout"] == "nhwc_to_nchw" else images
    return result


def resize_nearest(images: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Resize images along one axis: each new pixel is the old pixel that contains its centre."""
    old_size = images.shape[axis]
    centres = (np.arange(size) + 0.5) * old_size / size
    result: np.ndarray = np.take(images, np.minimum(np.floor(centres).astype(int), old_size - 1), axis)
    return result


def resize_bilinear(images: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Resize images along one axis: interpolate linearly between the two nearest centres, without antialiasing."""
    old_size = images.shape[axis]
    centres = np.clip((np.arange(size) + 0.5) * old_size / size - 0.5, 0, old_size - 1)
    before = np.floor(centres).astype(int)
    after = np.minimum(before + 1, old_size - 1)
    fraction = (centres - before).reshape([-1 if index == axis else 1 for index in range(images.ndim)])
    result: np.ndarray = np.take(images, before, axis) * (1 - fraction) + np.take(images, after, axis) * fraction
    return result


RESIZES = {"nearest": resize_nearest, "bilinear": resize_bilinear}
