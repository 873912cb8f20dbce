"""Conversion of images to numbers from 0 to 255. An image whose content would change in this is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MODES = {1: "L", 3: "RGB"}
PLAIN = ("1", "L", "P", "RGB", "RGBX", "YCbCr")
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
MAX_VALUE = 255.0
# In color 150 MB, and the same again while the image is converted.
MAX_PIXELS = 50_000_000
# A JPEG of a camera, in which previews follow the picture.
MULTI_PICTURE_FORMAT = "MPO"
RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
}


class UnfaithfulImageError(Exception):
    """An image whose pixels cannot be read without a change of their meaning. `next_step` is what the user can do."""

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.next_step = next_step


def read_pixels(
    image: Image.Image,
    channels: int,
    size: Sequence[int] | None,
    options: Mapping[str, Any],
    *,
    deep: bool,
    upright: bool,
) -> np.ndarray:
    """Return the pixels of an image, cropped and resized.

    Gray becomes three equal channels if three are needed. Color becomes its luminance (ITU-R 601) if one is needed.

    Args:
        image: The image.
        channels: 1 or 3.
        size: Height and width; None for those of the image.
        options: `crop` and `resize` of the dataset.
        deep: Whether gray images of more than 8 bits are accepted.
        upright: Whether to apply the EXIF orientation.

    Returns:
        An array of shape [height, width, channels]: uint8, or float64 from 0.0 to 255.0 for gray of 12 or 16 bits.

    Raises:
        UnfaithfulImageError: The image has several frames, transparency, CMYK, 32-bit integers, floats, color of more
            than 8 bits, or (unless `deep` is set) gray of more than 8 bits.
    """
    bits = stored_bits(image)
    if image.width * image.height > MAX_PIXELS:
        raise UnfaithfulImageError(
            f"it has {image.width} x {image.height} pixels", f"save it with at most {MAX_PIXELS:,}"
        )
    require_one_frame(image)
    image.load()
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        pixels = fit_to_size(deep_grey(image, bits, deep), size, options).astype(np.float64)
        return np.clip(pixels, 0.0, MAX_VALUE).repeat(channels, axis=2)
    require_known_colours(image, bits)
    return fit_to_size(opaque(image).convert(MODES[channels]), size, options)


def stored_bits(image: Image.Image) -> int:
    """Return the bits of a value in the file. The number is negative for signed integers and for floats.

    It is a part of the name of Pillow's decoder, such as `RGB;16B`. For PNM, it follows from the maximum value.
    """
    for tile in getattr(image, "tile", ()):
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if tile.codec_name == "ppm":
            return 16 if arguments[1] > MAX_VALUE else 8
        for text in arguments:
            match = re.search(r";(\d+)([A-Z]*)", text) if isinstance(text, str) else None
            if match:
                return int(match[1]) * (-1 if match[2] in ("S", "F") else 1)
    return 8


def require_one_frame(image: Image.Image) -> None:
    """Raise UnfaithfulImageError for an animation, or a file of several pages."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != MULTI_PICTURE_FORMAT:
        raise UnfaithfulImageError(f"it has {frames} frames, and a sample is one image", "save each frame as a file")


def deep_grey(image: Image.Image, bits: int, deep: bool) -> Image.Image:
    """Return gray of 12 or 16 bits as floats from 0 to 255. Raise UnfaithfulImageError for other images."""
    if bits not in (12, 16) or image.mode == "F":
        kind = "floats" if image.mode == "F" else f"integers of {abs(bits)} bits"
        raise UnfaithfulImageError(
            f"its pixels are {kind}, and the file does not state their range",
            "save it as PNG with 8 or 16 bits, or feed the numbers: dataset=npz or callable",
        )
    if "transparency" in image.info:
        raise UnfaithfulImageError("it has transparent pixels", "save it without transparency")
    if not deep:
        raise UnfaithfulImageError(
            f"its pixels have {bits} bits, but without a scale, pixels are fed as 8 bits",
            "declare a scale (a pixel is then 0 to 255, whatever its bits), or save it with 8 bits",
        )
    values = np.asarray(image).astype(np.float64) * (MAX_VALUE / (2**bits - 1))
    return Image.fromarray(values.astype(np.float32))


def require_known_colours(image: Image.Image, bits: int) -> None:
    """Raise UnfaithfulImageError for colors that Pillow would change."""
    if abs(bits) > 8:
        raise UnfaithfulImageError(
            f"its colors have {abs(bits)} bits per channel, of which only 8 would be used",
            "save it with 8 bits per channel, or feed the numbers: dataset=npz or callable",
        )
    if image.mode not in (*PLAIN, *WITH_ALPHA):
        raise UnfaithfulImageError(
            f"its colors are {image.mode}, which need a color profile to become RGB",
            "convert it to RGB and save it again",
        )


def opaque(image: Image.Image) -> Image.Image:
    """Return an image without its alpha channel. Raise UnfaithfulImageError if a pixel is transparent."""
    if image.mode not in WITH_ALPHA and "transparency" not in image.info:
        return image
    with_alpha = image.convert("RGBA")
    min_alpha = int(np.asarray(with_alpha.getchannel("A")).min())
    if min_alpha < MAX_VALUE:
        raise UnfaithfulImageError(
            "it has transparent pixels, whose color depends on the background",
            "save it on a background, without an alpha channel",
        )
    return with_alpha.convert("RGB") if image.mode not in ("L", "LA", "La") else with_alpha.convert("RGB").convert("L")


def fit_to_size(image: Image.Image, size: Sequence[int] | None, options: Mapping[str, Any]) -> np.ndarray:
    """Crop and resize an image to a height and width, and return an array of shape [height, width, channels].

    If `size` is None, the image keeps its size.
    """
    height, width = size or (image.height, image.width)
    method = RESAMPLING[options["resize"]]
    if options["crop"] == "center":
        image = ImageOps.fit(image, (width, height), method)
    elif image.size != (width, height):
        image = image.resize((width, height), method)
    return np.asarray(image).reshape(height, width, len(image.getbands()))
