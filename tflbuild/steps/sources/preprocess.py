"""Preprocessing inside the artifact, so that an app can feed raw pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.signature_checks import SourceTensorSpec

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)
IMAGE_RANK = 4


def add_preprocessing(tensor: tf.Tensor, settings: Mapping[str, Any], model: SourceTensorSpec) -> tf.Tensor:
    """Add the operators `(value * scale - mean) / std`, and the change of size, layout and dtype, to a graph.

    Args:
        tensor: The input of the artifact.
        settings: The entry of `signature.preprocess` for this input, as JSON.
        model: The shape and dtype of the input of the source. Shapes are compared in its layout.

    Returns:
        The input of the source. The factor and the offset are computed in float64, and applied in float32 to the last
        axis (channels last).

    Raises:
        WorkerError: The image cannot be resized, or the number of channels or the shape does not fit the source.
    """
    value = tf.cast(tensor, tf.float32)
    if settings["layout"] == "nchw_to_nhwc":
        value = tf.transpose(value, TO_NHWC)
    if settings["resize"] != "none":
        value = resize(value, settings, model)
    factor = np.asarray(settings["scale"], np.float64) / np.asarray(settings["std"], np.float64)
    shift = -np.asarray(settings["mean"], np.float64) / np.asarray(settings["std"], np.float64)
    require_channels(value, factor, shift, settings)
    if (factor != 1).any():
        value = value * tf.constant(factor, tf.float32)
    if (shift != 0).any():
        value = value + tf.constant(shift, tf.float32)
    if settings["layout"] == "nhwc_to_nchw":
        value = tf.transpose(value, TO_NCHW)
    require_size(value, model, settings)
    return tf.cast(value, model.dtype)


def resize(value: tf.Tensor, settings: Mapping[str, Any], model: SourceTensorSpec) -> tf.Tensor:
    """Resize an NHWC image to the height and width of the source. Raise WorkerError if these are not fixed."""
    shape = model.shape or ()
    axes = (2, 3) if settings["layout"] == "nhwc_to_nchw" else (1, 2)
    if len(shape) != IMAGE_RANK or any(shape[axis] is None for axis in axes):
        raise WorkerError(
            f"input '{settings['input']}' cannot be resized",
            where=f"signature.preprocess.{settings['input']}.resize",
            why=f"the model's input is {model.show()}, which has no fixed height and width",
            next_step="remove resize: the model accepts any size",
        )
    return tf.image.resize(value, [shape[axis] for axis in axes], method=settings["resize"])


def require_channels(value: tf.Tensor, factor: Any, shift: Any, settings: Mapping[str, Any]) -> None:
    """Raise WorkerError unless `mean` and `std` have one number, or one number per channel."""
    for key, numbers in (("mean", shift), ("std", factor)):
        if numbers.size not in (1, value.shape[-1]):
            raise WorkerError(
                f"input '{settings['input']}' has {value.shape[-1]} channels, and {key} has {numbers.size} numbers",
                where=f"signature.preprocess.{settings['input']}.{key}",
            )


def require_size(value: tf.Tensor, model: SourceTensorSpec, settings: Mapping[str, Any]) -> None:
    """Raise WorkerError if the preprocessed shape is not the shape of the source's input."""
    if model.shape is None or value.shape.is_compatible_with(model.shape):
        return
    raise WorkerError(
        f"input '{settings['input']}' has shape {value.shape.as_list()} after preprocessing, but the model's input is"
        f" {model.show()}",
        where=f"signature.preprocess.{settings['input']}",
        why="in the model's layout, the declared shape has another size",
        next_step="declare the model's height and width, or set resize: bilinear",
    )
