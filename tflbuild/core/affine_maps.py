"""Maps from raw values to what a model is fed: value * gain + offset, one pair for all channels or one a channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Dataset, Preprocess, Recipe

PIXELS = (0.0, 255.0)  # the least and the greatest value of a channel of an 8-bit image
TOLERANCE = 0.02  # of the range that pixels are mapped to: 127.5 and 128 are both in use for the same map


@dataclass(frozen=True)
class Affine:
    """value * gain + offset, by channel. Both have one number, or as many as there are channels."""

    gains: tuple[float, ...] = (1.0,)
    offsets: tuple[float, ...] = (0.0,)

    @property
    def channels(self) -> list[tuple[float, float]]:
        """(gain, offset) of each channel."""
        count = max(len(self.gains), len(self.offsets))
        gains, offsets = (side * count if len(side) == 1 else side for side in (self.gains, self.offsets))
        return list(zip(gains, offsets, strict=False))

    @property
    def is_identity(self) -> bool:
        """Return whether values stay as they are."""
        return self.equals(Affine())

    def scaled(self, factor: float) -> Affine:
        """Return the map for values that are multiplied by `factor` first."""
        return Affine(tuple(gain * factor for gain in self.gains), self.offsets)

    def range_of(self, values: tuple[float, float] = PIXELS) -> tuple[float, float]:
        """Return the least and the greatest result over a range of values."""
        ends = [gain * value + offset for gain, offset in self.channels for value in values]
        return min(ends), max(ends)

    def equals(self, other: Affine) -> bool:
        """Return whether two maps give the same for pixels, within TOLERANCE of their range."""
        pairs, others = self.channels, other.channels
        count = max(len(pairs), len(others))
        if len(pairs) != len(others) and 1 not in (len(pairs), len(others)):
            return False
        pairs, others = (side * count if len(side) == 1 else side for side in (pairs, others))
        for (gain, offset), (gain_other, offset_other) in zip(pairs, others, strict=True):
            allowed = TOLERANCE * abs(gain_other) * PIXELS[1]
            if any(abs((gain - gain_other) * pixel + offset - offset_other) > allowed for pixel in PIXELS):
                return False
        return True

    def text(self) -> str:
        """Return `value * 0.00392 - 1`, of several channels each."""
        parts = []
        for gain, offset in dict.fromkeys(self.channels):
            shift = f" {'-' if offset < 0 else '+'} {abs(offset):.4g}" if offset else ""
            parts.append(f"value * {gain:.4g}{shift}")
        return ", ".join(parts)


def normalization(mean: Sequence[float], std: Sequence[float], before: Affine | None = None) -> Affine:
    """Return (value - mean) / std, after `before`; an empty mean is 0, an empty std is 1."""
    first = before or Affine()
    count = max(len(mean), len(std), len(first.channels))
    pairs = first.channels * count if len(first.channels) == 1 else first.channels
    means = list(mean or [0.0]) * (count if len(mean) <= 1 else 1)
    stds = list(std or [1.0]) * (count if len(std) <= 1 else 1)
    rows = list(zip(pairs, means, stds, strict=False))
    return Affine(
        tuple(gain / deviation for (gain, _), _, deviation in rows),
        tuple((offset - middle) / deviation for (_, offset), middle, deviation in rows),
    )


def dataset_map(dataset: Dataset) -> Affine | None:
    """Return what a dataset does to its values, None where it declares nothing."""
    mean, std = (list(dataset.options.get(name) or []) for name in ("mean", "std"))
    if dataset.scale is None and dataset.offset is None and not mean and not std:
        return None
    scale = 1.0 if dataset.scale is None else dataset.scale
    return normalization(mean, std, Affine((scale,), (dataset.offset or 0.0,)))


def preprocess_map(preprocess: Preprocess) -> Affine:
    """Return what the artifact does to an input itself."""
    return normalization(preprocess.mean, preprocess.std, Affine((preprocess.scale,)))


def metadata_maps(recipe: Recipe) -> Mapping[str, tuple[str, Affine]]:
    """Return what metadata tell an app to do to an input, as (content, map), by input of the main signature."""
    described: Mapping[str, Json] = {} if recipe.metadata is None else recipe.metadata.described.get("inputs", {})
    return {
        name: (str(one.get("content", "")), normalization(one.get("mean") or [], one.get("std") or []))
        for name, one in described.items()
        if one.get("mean") or one.get("std")
    }
