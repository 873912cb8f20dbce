"""Preprocessing that the artifact does itself, so that an app feeds raw pixels."""

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


def add_preprocessing(tensor: tf.Tensor, one: Mapping[str, Any], model: SourceTensorSpec) -> tf.Tensor:
    """(value * scale - mean) / std, channels last; then the model's size, layout and dtype.

    `one` is the recipe's preprocess of this input as JSON, `model` what the model takes.
    """
    value = tf.cast(tensor, tf.float32)
    if one["layout"] == "nchw_to_nhwc":
        value = tf.transpose(value, TO_NHWC)
    if one["resize"] != "none":
        value = resize(value, one, model)
    factor = np.asarray(one["scale"], np.float64) / np.asarray(one["std"], np.float64)
    shift = -np.asarray(one["mean"], np.float64) / np.asarray(one["std"], np.float64)
    require_channels(value, factor, shift, one)
    if (factor != 1).any():
        value = value * tf.constant(factor, tf.float32)
    if (shift != 0).any():
        value = value + tf.constant(shift, tf.float32)
    if one["layout"] == "nhwc_to_nchw":
        value = tf.transpose(value, TO_NCHW)
    require_size(value, model, one)
    return tf.cast(value, model.dtype)


def resize(value: tf.Tensor, one: Mapping[str, Any], model: SourceTensorSpec) -> tf.Tensor:
    """An image (NHWC) at the model's height and width. Raises WorkerError where the model has none."""
    shape = model.shape or ()
    axes = (2, 3) if one["layout"] == "nhwc_to_nchw" else (1, 2)
    if len(shape) != IMAGE_RANK or any(shape[axis] is None for axis in axes):
        raise WorkerError(
            f"input '{one['input']}' cannot be resized",
            where=f"signature.preprocess.{one['input']}.resize",
            why=f"the model takes {model.show()}: no fixed height and width",
            next_step="leave resize out; the model takes any size",
        )
    return tf.image.resize(value, [shape[axis] for axis in axes], method=one["resize"])


def require_channels(value: tf.Tensor, factor: Any, shift: Any, one: Mapping[str, Any]) -> None:
    """One number, or one a channel. Raises WorkerError for any other count."""
    for key, numbers in (("mean", shift), ("std", factor)):
        if numbers.size not in (1, value.shape[-1]):
            raise WorkerError(
                f"input '{one['input']}' has {value.shape[-1]} channels, and {key} {numbers.size} numbers",
                where=f"signature.preprocess.{one['input']}.{key}",
            )


def require_size(value: tf.Tensor, model: SourceTensorSpec, one: Mapping[str, Any]) -> None:
    """What comes out must be what the model takes. Raises WorkerError when it is not."""
    if model.shape is None or value.shape.is_compatible_with(model.shape):
        return
    raise WorkerError(
        f"input '{one['input']}', preprocessed, is {value.shape.as_list()}, and the model takes {model.show()}",
        where=f"signature.preprocess.{one['input']}",
        why="the declared shape, brought to the model's layout, is another size",
        next_step="declare the model's height and width, or set resize: bilinear",
    )
