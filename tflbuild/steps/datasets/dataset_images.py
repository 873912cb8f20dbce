"""Datasets in folders of images. Pillow decodes them, and they are turned by their EXIF orientation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.dataset_files import list_files, open_files
from tflbuild.steps.datasets.dataset_readers import ArrayHeader, DeclaredDataset, OpenDataset
from tflbuild.steps.datasets.pixels import MODES, UnfaithfulImageError, read_pixels

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Pillow recognizes a format by the first bytes of a file. It is limited to these: for EPS it would run Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
IMAGE_RANK = 4


def open_images(declared: DeclaredDataset) -> OpenDataset:
    """Open a folder of images for the only input of the model.

    Values are uint8, or `(pixel * scale + offset - mean) / std` in float64 if one of these four is declared.

    Raises:
        WorkerError: The input is not one of images, or the folder or the options do not fit.
    """
    spec = declared.only_input()
    channels, size = image_form(declared, spec)
    files = list_files(declared, SUFFIXES)
    require_channels(declared, channels)
    params, options = declared.params, declared.options
    converted = any((options["mean"], options["std"])) or (params["scale"], params["offset"]) != (None, None)
    shape = (len(files.names), channels, *size) if options["layout"] == "nchw" else (len(files.names), *size, channels)

    def read_file(path: Path) -> np.ndarray:
        pixels = decode(declared, path, channels, size, converted)
        values = normalize(pixels, params) if converted else pixels
        return np.ascontiguousarray(values.transpose(2, 0, 1)) if options["layout"] == "nchw" else values

    header = ArrayHeader(np.dtype(np.float64 if converted else np.uint8), shape)
    return open_files(files, header, read_file, untyped=converted, converted=converted)


def image_form(declared: DeclaredDataset, spec: Mapping[str, Any]) -> tuple[int, Sequence[int]]:
    """Return the channels, and the height and width, of the images that an input needs.

    Raises:
        WorkerError: The shape of the input is not one of images, or its height or width is dynamic.
    """
    shape, layout = spec["shape"], declared.options["layout"]
    sides, channel_axis = ((2, 3), 1) if layout == "nchw" else ((1, 2), 3)
    if len(shape) != IMAGE_RANK or shape[channel_axis] not in MODES:
        raise declared.refuse(
            f"input '{spec['name']}' takes no images: its shape is {shape}",
            "layout" if len(shape) == IMAGE_RANK else "",
            why=f"in layout {layout}, axis {channel_axis} must be 1 or 3 channels",
            next_step=f"set {declared.section}.layout to that of the input, or declare its shape in signature.inputs",
        )
    size = declared.options["size"] or [shape[side] for side in sides]
    if None in size:
        raise declared.refuse(
            f"input '{spec['name']}' has a dynamic height or width: {shape}",
            "size",
            next_step=f"set {declared.section}.size=[height,width]",
        )
    return shape[channel_axis], tuple(size)


def require_channels(declared: DeclaredDataset, channels: int) -> None:
    """Raise WorkerError unless `mean` and `std` have one number, or one number per channel."""
    for key in ("mean", "std"):
        if len(declared.options[key]) not in (0, 1, channels):
            raise declared.refuse(
                f"images have {channels} channels, and {key} has {len(declared.options[key])} numbers",
                key,
                next_step="write one number, or one number per channel",
            )


def decode(declared: DeclaredDataset, path: Path, channels: int, size: Sequence[int], deep: bool) -> np.ndarray:
    """Read an image file as an array of shape [height, width, channels] with values from 0 to 255.

    Args:
        declared: The dataset.
        path: The file.
        channels: 1 or 3.
        size: Height and width.
        deep: Whether gray images of more than 8 bits are accepted.

    Raises:
        WorkerError: The file is damaged, or has no such pixels.
    """
    try:
        with Image.open(path, formats=FORMATS) as opened:
            return read_pixels(opened, channels, size, declared.options, deep=deep, upright=True)
    except UnfaithfulImageError as error:
        name = path.relative_to(declared.path).as_posix()
        raise unfaithful(declared, f"'{declared.label}/{name}'", error) from error
    # Damaged files cause exceptions of many classes.
    except Exception as error:
        raise broken(declared, path, error) from error


def decode_bytes(
    declared: DeclaredDataset, data: bytes, label: str, channels: int, size: Sequence[int] | None
) -> np.ndarray:
    """Decode an image to uint8 of shape [height, width, channels]. The EXIF orientation is ignored.

    Args:
        declared: The dataset.
        data: The encoded image.
        label: The name of the image in messages.
        channels: 1 or 3.
        size: Height and width; None for those of the image.

    Raises:
        WorkerError: The image is damaged, or has no such pixels.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:
            return read_pixels(opened, channels, size, declared.options, deep=False, upright=False)
    except UnfaithfulImageError as error:
        raise unfaithful(declared, label, error) from error
    # Damaged files cause exceptions of many classes.
    except Exception as error:
        reason = (
            str(error).split("\n")[0]
            if not isinstance(error, UnidentifiedImageError)
            else "its format is not supported"
        )
        raise declared.refuse(f"{label} is not a whole image", "path", why=reason) from error


def unfaithful(declared: DeclaredDataset, label: str, error: UnfaithfulImageError) -> WorkerError:
    """Return the error for an image whose content would change when it is fed."""
    return declared.refuse(f"{label} cannot be fed unchanged", "path", why=str(error), next_step=error.next_step)


def broken(declared: DeclaredDataset, path: Path, error: Exception) -> WorkerError:
    """Return the error for a damaged file of the folder."""
    name = path.relative_to(declared.path).as_posix()
    reason = str(error).split("\n")[0].replace(str(path), name) or type(error).__name__
    return declared.refuse(
        f"'{declared.label}/{name}' is not a whole image", "path", why=reason, next_step="write it again, or remove it"
    )


def normalize(pixels: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """Return (pixel * scale + offset - mean) / std in float64. `mean` and `std` apply to the last axis."""
    scale = 1.0 if params["scale"] is None else params["scale"]
    values = pixels.astype(np.float64) * scale + (params["offset"] or 0.0)
    mean, std = params["options"]["mean"] or [0.0], params["options"]["std"] or [1.0]
    normal: np.ndarray = (values - np.asarray(mean, np.float64)) / np.asarray(std, np.float64)
    return normal
