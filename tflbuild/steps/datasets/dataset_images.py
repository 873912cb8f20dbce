"""Image folders as datasets. Pillow decodes; an image lies as its EXIF orientation says."""

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
# A file's first bytes decide its format. Pillow knows others: it runs Ghostscript on EPS, whatever the file's name.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
IMAGE_RANK = 4


def open_images(declared: DeclaredDataset) -> OpenDataset:
    """Images as uint8, or as `(pixel * scale + offset - mean) / std` where one of them is declared."""
    spec = declared.only_input()
    channels, size = form(declared, spec)
    files = list_files(declared, SUFFIXES)
    require_channels(declared, channels)
    params, options = declared.params, declared.options
    converted = any((options["mean"], options["std"])) or (params["scale"], params["offset"]) != (None, None)
    shape = (len(files.names), channels, *size) if options["layout"] == "nchw" else (len(files.names), *size, channels)

    def read_one(path: Path) -> np.ndarray:
        pixels = decode(declared, path, channels, size, converted)
        values = normalize(pixels, params) if converted else pixels
        return np.ascontiguousarray(values.transpose(2, 0, 1)) if options["layout"] == "nchw" else values

    held = ArrayHeader(np.dtype(np.float64 if converted else np.uint8), shape)
    return open_files(files, held, read_one, untyped=converted, converted=converted)


def form(declared: DeclaredDataset, spec: Mapping[str, Any]) -> tuple[int, Sequence[int]]:
    """(channels, (height, width)) that the input takes. Raises WorkerError for what takes no images."""
    shape, layout = spec["shape"], declared.options["layout"]
    sides, place = ((2, 3), 1) if layout == "nchw" else ((1, 2), 3)
    if len(shape) != IMAGE_RANK or shape[place] not in MODES:
        raise declared.refuse(
            f"input '{spec['name']}' takes no images: its shape is {shape}",
            "layout" if len(shape) == IMAGE_RANK else "",
            why=f"in layout {layout} axis {place} is the channels, 1 or 3",
            next_step=f"set {declared.section}.layout to the input's, or declare its shape under signature.inputs",
        )
    size = declared.options["size"] or [shape[side] for side in sides]
    if None in size:
        raise declared.refuse(
            f"input '{spec['name']}' leaves the size of images free: {shape}",
            "size",
            next_step=f"{declared.section}.size=[height,width]",
        )
    return shape[place], tuple(size)


def require_channels(declared: DeclaredDataset, channels: int) -> None:
    """Raises WorkerError for means or deviations that are neither one number nor one a channel."""
    for key in ("mean", "std"):
        if len(declared.options[key]) not in (0, 1, channels):
            raise declared.refuse(
                f"images have {channels} channels, and {key} {len(declared.options[key])} numbers",
                key,
                next_step="give one number, or one a channel",
            )


def decode(declared: DeclaredDataset, path: Path, channels: int, size: Sequence[int], deep: bool) -> np.ndarray:
    """[height, width, channels], 0 to 255. Raises WorkerError, with the file's name, for what has no such pixels."""
    try:
        with Image.open(path, formats=FORMATS) as opened:
            return read_pixels(opened, channels, size, declared.options, deep=deep, upright=True)
    except UnfaithfulImageError as error:
        name = path.relative_to(declared.path).as_posix()
        raise unfaithful(declared, f"'{declared.label}/{name}'", error) from error
    except Exception as error:  # damaged files provoke errors of many classes
        raise broken(declared, path, error) from error


def decode_bytes(
    declared: DeclaredDataset, data: bytes, told: str, channels: int, size: Sequence[int] | None
) -> np.ndarray:
    """uint8 [height, width, channels] of an encoded image as its pixels lie, whatever EXIF says; no size: its own.

    Raises WorkerError, with what the image is called, for what has no such pixels.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:
            return read_pixels(opened, channels, size, declared.options, deep=False, upright=False)
    except UnfaithfulImageError as error:
        raise unfaithful(declared, told, error) from error
    except Exception as error:  # damaged files provoke errors of many classes
        why = str(error).split("\n")[0] if not isinstance(error, UnidentifiedImageError) else "its form is not known"
        raise declared.refuse(f"{told} is not a whole image", "path", why=why) from error


def unfaithful(declared: DeclaredDataset, told: str, error: UnfaithfulImageError) -> WorkerError:
    """The error for an image that would be fed as something else than it is."""
    return declared.refuse(f"{told} cannot be fed as it is", "path", why=str(error), next_step=error.next_step)


def broken(declared: DeclaredDataset, path: Path, error: Exception) -> WorkerError:
    """The error for one file of the folder."""
    name = path.relative_to(declared.path).as_posix()
    why = str(error).split("\n")[0].replace(str(path), name) or type(error).__name__
    return declared.refuse(
        f"'{declared.label}/{name}' is not a whole image", "path", why=why, next_step="write it again, or remove it"
    )


def normalize(pixels: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """(pixel * scale + offset - mean) / std in float64."""
    scale = 1.0 if params["scale"] is None else params["scale"]
    values = pixels.astype(np.float64) * scale + (params["offset"] or 0.0)
    mean, std = params["options"]["mean"] or [0.0], params["options"]["std"] or [1.0]
    normal: np.ndarray = (values - np.asarray(mean, np.float64)) / np.asarray(std, np.float64)
    return normal
