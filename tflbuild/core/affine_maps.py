"""Affine maps from raw values to the inputs of a model: value * gain + offset, for all channels or for each one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Dataset, Preprocess, Recipe

# The smallest and the largest value of a channel of an 8-bit image.
PIXELS = (0.0, 255.0)
# The tolerance of a comparison, relative to the range of mapped pixels. For example, a map to -1..1 is written with
# 127.5 or with 128.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Affine:
    """The map value * gain + offset. Gains and offsets have one number for all channels, or one for each channel."""

    gains: tuple[float, ...] = (1.0,)
    offsets: tuple[float, ...] = (0.0,)

    @property
    def channels(self) -> list[tuple[float, float]]:
        """Return (gain, offset) of each channel."""
        count = max(len(self.gains), len(self.offsets))
        gains, offsets = (side * count if len(side) == 1 else side for side in (self.gains, self.offsets))
        return list(zip(gains, offsets, strict=False))

    @property
    def is_identity(self) -> bool:
        """Return whether the map leaves values unchanged."""
        return self.equals(Affine())

    def scaled(self, factor: float) -> Affine:
        """Return the map for values that are multiplied by `factor` first."""
        return Affine(tuple(gain * factor for gain in self.gains), self.offsets)

    def range_of(self, values: tuple[float, float] = PIXELS) -> tuple[float, float]:
        """Return the smallest and the largest result over a range of values."""
        ends = [gain * value + offset for gain, offset in self.channels for value in values]
        return min(ends), max(ends)

    def equals(self, other: Affine) -> bool:
        """Return whether two maps have equal results for pixels, within TOLERANCE of their range."""
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
    """Return the map that a dataset applies to its values, None if it declares none."""
    mean, std = (list(dataset.options.get(name) or []) for name in ("mean", "std"))
    if dataset.scale is None and dataset.offset is None and not mean and not std:
        return None
    scale = 1.0 if dataset.scale is None else dataset.scale
    return normalization(mean, std, Affine((scale,), (dataset.offset or 0.0,)))


def preprocess_map(preprocess: Preprocess) -> Affine:
    """Return the map that the artifact applies to an input."""
    return normalization(preprocess.mean, preprocess.std, Affine((preprocess.scale,)))


def metadata_maps(recipe: Recipe) -> Mapping[str, tuple[str, Affine]]:
    """Return (content, map) of each input of the main signature that metadata tell an app to normalize."""
    described: Mapping[str, Json] = {} if recipe.metadata is None else recipe.metadata.described.get("inputs", {})
    return {
        name: (str(entry.get("content", "")), normalization(entry.get("mean") or [], entry.get("std") or []))
        for name, entry in described.items()
        if entry.get("mean") or entry.get("std")
    }
