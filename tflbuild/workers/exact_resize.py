"""Resizing of images in float64, with the same bits on every CPU, at TensorFlow's sampling positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflbuild.workers.exact_numbers import Array

TABLE = 1024  # TensorFlow takes the weights of bicubic resizing from a table of so many fractions of a pixel


def _list_positions(old: int, new: int, corners: bool, centers: bool) -> Array:
    """Return where the new pixels lie among the old ones."""
    pixels = np.arange(new, dtype=np.float64)
    if corners and new > 1:
        return pixels * (old - 1) / (new - 1)
    return (pixels + 0.5) * old / new - 0.5 if centers else pixels * old / new


def resize_bilinear(images: Array, size: Sequence[int], corners: bool, centers: bool) -> Array:
    """Resize images of shape (batch, height, width, channels) with linear weights.

    Args:
        images: float64.
        size: new height and width.
        corners: the outermost pixels' centers coincide (`align_corners`).
        centers: pixels are squares around their centers (`half_pixel_centers`).
    """
    for axis, new in zip((1, 2), size, strict=True):
        last = images.shape[axis] - 1
        positions = _list_positions(last + 1, new, corners, centers)
        floor = np.floor(positions)
        weight = positions - floor
        low = np.clip(floor, 0, last).astype(np.int64)
        high = np.clip(np.ceil(positions), 0, last).astype(np.int64)
        shape = [1, 1, 1, 1]
        shape[axis] = new
        weight = weight.reshape(shape)
        before, after = np.take(images, low, axis), np.take(images, high, axis)
        images = before + (after - before) * weight
    return images


def _weigh(distance: Array, sharpness: float) -> Array:
    """Return the weight of a pixel at a distance from 0 to 2 (Keys 1981, equation 4)."""
    near = ((sharpness + 2) * distance - (sharpness + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * sharpness - 4 * sharpness
    return np.where(distance <= 1, near, far)


def resize_bicubic(images: Array, size: Sequence[int], corners: bool, centers: bool) -> Array:
    """Resize images of shape (batch, height, width, channels) with cubic weights; arguments as in `resize_bilinear`.

    With `centers` the weights of pixels outside the image are left out and the others are scaled to a sum of one;
    else the pixels at the border are repeated.
    """
    sharpness = -0.5 if centers else -0.75
    for axis, new in zip((1, 2), size, strict=True):
        last = images.shape[axis] - 1
        positions = _list_positions(last + 1, new, corners, centers)
        floor = np.floor(positions)
        offset = np.rint((positions - floor) * TABLE) / TABLE
        total, weights = np.zeros(1), np.zeros(new)
        shape = [1, 1, 1, 1]
        shape[axis] = new
        for step in (-1, 0, 1, 2):
            weight = _weigh(np.abs(offset - step), sharpness)
            index = floor + step
            inside = np.clip(index, 0, last)
            if centers:
                weight = np.where(inside == index, weight, 0.0)
            weights = weights + weight
            total = total + np.take(images, inside.astype(np.int64), axis) * weight.reshape(shape)
        images = total / weights.reshape(shape) if centers else total
    return images
