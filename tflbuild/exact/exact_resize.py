"""Resizing of images in float64, with the same bits on every CPU, at TensorFlow's sampling positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tflbuild.exact.exact_algebra import add_up, multiply_matrices
from tflbuild.exact.exact_arithmetic import Array
from tflbuild.exact.exact_constants import PI
from tflbuild.exact.exact_math import exp
from tflbuild.exact.exact_trigonometry import rotate

Kernel = Callable[[Array], Array]

# TensorFlow has a table of weights for bicubic resizing, with this number of positions per pixel.
TABLE = 1024


def _list_positions(old: int, new: int, corners: bool, centers: bool) -> Array:
    """Return the positions of the new pixels in units of the old ones."""
    pixels = np.arange(new, dtype=np.float64)
    if corners and new > 1:
        return pixels * (old - 1) / (new - 1)
    return (pixels + 0.5) * old / new - 0.5 if centers else pixels * old / new


def resize_bilinear(images: Array, size: Sequence[int], corners: bool, centers: bool) -> Array:
    """Resize images of shape (batch, height, width, channels) with linear weights.

    Args:
        images: Images in float64.
        size: The new height and width.
        corners: Whether the centers of the outermost pixels coincide (`align_corners`).
        centers: Whether pixels are squares around their centers (`half_pixel_centers`).
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
    """Resize images with cubic weights. The arguments are those of `resize_bilinear`.

    With `centers`, the weights of pixels outside the image are omitted, and the others are scaled to a sum of one.
    Without it, the pixels at the edges are repeated.
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


def resize_by_area(images: Array, size: Sequence[int], corners: bool, centers: bool) -> Array:
    """Resize images to averages of the areas of the new pixels. The arguments are those of `resize_bilinear`."""
    for axis, new in zip((1, 2), size, strict=True):
        old = images.shape[axis]
        above, below = (old - 1, new - 1) if corners and new > 1 else (old, new)
        length = above / below
        weights = np.zeros((new, old))
        for pixel in range(new):
            start, end = pixel * above / below, (pixel + 1) * above / below
            for index in range(int(np.floor(start)), int(np.ceil(end))):
                weights[pixel, min(index, old - 1)] += (min(index + 1, end) - max(index, start)) / length
        images = _apply_weights(images, weights, axis)
    return images


def _apply_weights(images: Array, weights: Array, axis: int) -> Array:
    """Replace the pixels along an axis by weighted sums of them. Weights have the shape (new, old)."""
    return np.moveaxis(multiply_matrices(weights, np.moveaxis(images, axis, -2)), -2, axis)


def _lanczos(radius: float) -> tuple[float, Kernel]:
    def weigh(x: Array) -> Array:
        inside = np.where((x > 1e-3) & (x <= radius), x, 0.5)
        weights = radius * rotate(inside)[0] * rotate(inside / radius)[0] / (float(PI) * float(PI) * inside * inside)
        return np.where(x > radius, 0.0, np.where(x <= 1e-3, 1.0, weights))

    return radius, weigh


def _mitchell(x: Array) -> Array:
    near = ((7.0 * x / 6.0 - 2.0) * x) * x + 8.0 / 9.0
    far = ((-7.0 * x / 18.0 + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0
    return np.where(x >= 2, 0.0, np.where(x >= 1, far, near))


# Kernel -> its radius, and the weight of a distance (Turkowski 1990; Keys 1981; Mitchell and Netravali 1988).
KERNELS: dict[str, tuple[float, Kernel]] = {
    "gaussian": (1.5, lambda x: np.where(x >= 1.5, 0.0, exp(-2.0 * x * x))),
    "keyscubic": (2.0, lambda x: np.where(x >= 2, 0.0, _weigh(x, -0.5))),
    "lanczos1": _lanczos(1.0),
    "lanczos3": _lanczos(3.0),
    "lanczos5": _lanczos(5.0),
    "mitchellcubic": (2.0, _mitchell),
    "triangle": (1.0, lambda x: np.where(x < 1, 1.0 - x, 0.0)),
}


def scale_and_translate(
    images: Array, size: Sequence[int], scales: Array, shifts: Array, kernel: str, smooth: bool
) -> Array:
    """Resample images with a kernel, like TensorFlow's ScaleAndTranslate.

    Args:
        images: float64 of shape (batch, height, width, channels).
        size: The new height and width.
        scales: The new size of a pixel, for each axis.
        shifts: The translation in new pixels, for each axis.
        kernel: A key of `KERNELS`.
        smooth: Whether to enlarge the kernel if the image becomes smaller (`antialias`).

    Returns:
        float64 of shape (batch, new height, new width, channels).

    Raises:
        ValueError: The last bit of a scale decides whether a pixel has a weight.
    """
    radius, weigh = KERNELS[kernel]
    for axis, new, scale, shift in zip((1, 2), size, scales, shifts, strict=True):
        old = images.shape[axis]
        width = max(1.0 / scale, 1.0) if smooth else 1.0
        samples = (np.arange(new) + 0.5) / scale - shift / scale
        first = np.clip(np.ceil(samples - radius * width - 0.5), 0, old - 1)[:, None]
        last = np.clip(np.floor(samples + radius * width - 0.5), 0, old - 1)[:, None]
        pixels = np.arange(old)[None]
        distances = np.abs(pixels + 0.5 - samples[:, None]) / width
        if kernel == "gaussian" and (np.abs(distances - radius) < 1e-5).any():
            raise ValueError("a pixel is where the kernel ends in a step: rounding decides whether it counts")
        weights = weigh(distances)
        # A sample on the edge of the image is inside, even if the scale was rounded to float32.
        outside = ((samples < -1e-6 * old) | (samples > old + 1e-6 * old))[:, None]
        weights = np.where((pixels < first) | (pixels > last) | outside, 0.0, weights)
        totals = add_up(weights, 1, keep=True)
        images = _apply_weights(images, np.where(totals == 0, 0.0, weights / np.where(totals == 0, 1.0, totals)), axis)
    return images
