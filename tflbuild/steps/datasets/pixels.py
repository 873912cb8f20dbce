"""Pixels of a decoded image as numbers from 0 to 255, or the reason why it has none that mean the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MODES = {1: "L", 3: "RGB"}
PLAIN = ("1", "L", "P", "RGB", "RGBX", "YCbCr")
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
GREATEST = 255.0
MOST_PIXELS = 50_000_000  # in colour 150 MB, and as much again while it is converted
SEVERAL_PICTURES = "MPO"  # a camera's JPEG with previews behind the picture, which comes first
RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
}


class UnfaithfulImageError(Exception):
    """An image whose pixels cannot be read without a change of meaning; `next_step` is what a person can do."""

    def __init__(self, why: str, next_step: str) -> None:
        super().__init__(why)
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
    """Return [height, width, channels] at `size`, cropped and resized as the options say.

    uint8, or float64 from 0.0 to 255.0 for grey of 12 or 16 bits. Grey becomes three equal channels; colour becomes
    its luminance (ITU-R 601). EXIF orientation is applied where `upright` is set.

    Raises:
        UnfaithfulImageError: For what has no such pixels: several frames, transparency, CMYK, 32-bit integers, floats,
            colour of more than 8 bits, and for grey of more than 8 bits where `deep` is not set.
    """
    bits = stored_bits(image)
    if image.width * image.height > MOST_PIXELS:
        raise UnfaithfulImageError(
            f"it has {image.width} x {image.height} pixels", f"save it with at most {MOST_PIXELS:,}"
        )
    require_one_frame(image)
    image.load()
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        pixels = bring(deep_grey(image, bits, deep), size, options).astype(np.float64)
        return np.clip(pixels, 0.0, GREATEST).repeat(channels, axis=2)
    require_known_colours(image, bits)
    return bring(opaque(image).convert(MODES[channels]), size, options)


def stored_bits(image: Image.Image) -> int:
    """Return the bits of a value in the file, as Pillow's decoder names them: `RGB;16B`; for PNM by the greatest value.

    The number is negative for signed integers and for floats.
    """
    for tile in getattr(image, "tile", ()):
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if tile.codec_name == "ppm":
            return 16 if arguments[1] > GREATEST else 8
        for text in arguments:
            found = re.search(r";(\d+)([A-Z]*)", text) if isinstance(text, str) else None
            if found:
                return int(found[1]) * (-1 if found[2] in ("S", "F") else 1)
    return 8


def require_one_frame(image: Image.Image) -> None:
    """Raise UnfaithfulImageError for an animation, or a file of several pages."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != SEVERAL_PICTURES:
        raise UnfaithfulImageError(f"it has {frames} frames, and a sample is one image", "save each frame as a file")


def deep_grey(image: Image.Image, bits: int, deep: bool) -> Image.Image:
    """Return grey of 12 or 16 bits as floats from 0 to 255."""
    if bits not in (12, 16) or image.mode == "F":
        kind = "floats" if image.mode == "F" else f"integers of {abs(bits)} bits"
        raise UnfaithfulImageError(
            f"its pixels are {kind}, whose range the file does not say",
            "save it as PNG of 8 or 16 bits, or feed the numbers: dataset=npz or callable",
        )
    if "transparency" in image.info:
        raise UnfaithfulImageError("it has transparent pixels", "save it without transparency")
    if not deep:
        raise UnfaithfulImageError(
            f"its pixels have {bits} bits, and without a scale pixels are fed as 8 bits",
            "declare a scale (a pixel counts 0 to 255 whatever its bits), or save it with 8 bits",
        )
    values = np.asarray(image).astype(np.float64) * (GREATEST / (2**bits - 1))
    return Image.fromarray(values.astype(np.float32))


def require_known_colours(image: Image.Image, bits: int) -> None:
    """Raise UnfaithfulImageError for colours that Pillow would change."""
    if abs(bits) > 8:
        raise UnfaithfulImageError(
            f"it is colour of {abs(bits)} bits a channel, of which 8 would be kept",
            "save it with 8 bits a channel, or feed the numbers: dataset=npz or callable",
        )
    if image.mode not in (*PLAIN, *WITH_ALPHA):
        raise UnfaithfulImageError(
            f"its colours are {image.mode}, which become RGB only by a profile", "convert it to RGB and save it again"
        )


def opaque(image: Image.Image) -> Image.Image:
    """Return an image without its alpha channel. Raises UnfaithfulImageError where a pixel is transparent."""
    if image.mode not in WITH_ALPHA and "transparency" not in image.info:
        return image
    with_alpha = image.convert("RGBA")
    least = int(np.asarray(with_alpha.getchannel("A")).min())
    if least < GREATEST:
        raise UnfaithfulImageError(
            "it has transparent pixels, whose colour depends on what lies behind them",
            "save it on a background, without an alpha channel",
        )
    return with_alpha.convert("RGB") if image.mode not in ("L", "LA", "La") else with_alpha.convert("RGB").convert("L")


def bring(image: Image.Image, size: Sequence[int] | None, options: Mapping[str, Any]) -> np.ndarray:
    """Return [height, width, channels] at the size, cropped and resized as the options say; no size: its own."""
    height, width = size or (image.height, image.width)
    method = RESAMPLING[options["resize"]]
    if options["crop"] == "center":
        image = ImageOps.fit(image, (width, height), method)
    elif image.size != (width, height):
        image = image.resize((width, height), method)
    return np.asarray(image).reshape(height, width, len(image.getbands()))
