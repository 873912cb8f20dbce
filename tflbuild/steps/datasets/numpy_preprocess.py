"""The preprocessing of `signature.preprocess` in NumPy.

It is written from the documentation of the keys and shares nothing with `preprocess`, whose TensorFlow operators end
up in the artifact: each proves the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FROM_NCHW, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def preprocess_values(values: np.ndarray, declared: Mapping[str, Any], shape: Sequence[int | None]) -> np.ndarray:
    """Return (value * scale - mean) / std, in float64, in the layout and size that the model takes.

    Args:
        values: What an app feeds, a batch.
        declared: The recipe's preprocess of this input as JSON.
        shape: The model's own shape of the input; only height and width are used, for `resize`.
    """
    images = values.astype(np.float64)
    if declared["layout"] == "nchw_to_nhwc":
        images = images.transpose(FROM_NCHW)
    if declared["resize"] != "none":
        sides = shape[2:4] if declared["layout"] == "nhwc_to_nchw" else shape[1:3]
        for axis, size in zip((1, 2), sides, strict=True):
            assert size is not None, "`import` refuses to resize to a free size"
            images = RESIZES[declared["resize"]](images, axis, size)
    images = (images * declared["scale"] - np.asarray(declared["mean"])) / np.asarray(declared["std"])
    made: np.ndarray = images.transpose(TO_NCHW) if declared["layout"] == "nhwc_to_nchw" else images
    return made


def resize_nearest(images: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Return the images with one axis at another size: each pixel is the one that its centre lies in."""
    has = images.shape[axis]
    centres = (np.arange(size) + 0.5) * has / size
    made: np.ndarray = np.take(images, np.minimum(np.floor(centres).astype(int), has - 1), axis)
    return made


def resize_bilinear(images: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Return the images with one axis at another size, between the two nearest centres of pixels, not antialiased."""
    has = images.shape[axis]
    centres = np.clip((np.arange(size) + 0.5) * has / size - 0.5, 0, has - 1)
    before = np.floor(centres).astype(int)
    behind = np.minimum(before + 1, has - 1)
    share = (centres - before).reshape([-1 if place == axis else 1 for place in range(images.ndim)])
    made: np.ndarray = np.take(images, before, axis) * (1 - share) + np.take(images, behind, axis) * share
    return made


RESIZES = {"nearest": resize_nearest, "bilinear": resize_bilinear}
