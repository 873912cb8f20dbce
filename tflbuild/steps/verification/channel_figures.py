"""Figures for each channel of an output: an average over a whole tensor hides a channel of small values.

One scale serves a whole tensor, and must cover its largest values. Then a detector's scores in 0..1 next to boxes in
pixels, or a temperature of 300 K that varies by half a degree, are lost, although the error is small compared with the
tensor's values. So the error of a channel is compared with the variation of this channel: its values about their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflbuild.core.figure_rounding import MOST_DIGITS, round_digits, round_parity
from tflbuild.steps.verification.parity_figures import ratio_db

# The tensor's extent over a channel's range from which a channel counts as small: it has three bits fewer.
DIFFERENCE = 8.0
# A channel with a smaller range, in quantization steps, has at most three different values.
STEPS = 2.0
# Below this SNR a channel counts as lost.
LOST_DB = 10.0
# The smallest number of values of a channel for which a range is computed.
FEWEST_VALUES = 8
# Variation below this fraction of a channel's own values is float32 rounding.
ROUNDING = 1e-6
# Variation below this fraction of the whole tensor's extent is ignored.
NEGLIGIBLE = 1e-7
LISTED = 16
CHUNK_VALUES = 1 << 22


@dataclass(frozen=True)
class ChannelSums:
    """Measurements of every channel along an axis: arrays with one value for each channel."""

    low: np.ndarray
    high: np.ndarray
    made_low: np.ndarray
    made_high: np.ndarray
    # The sum of the squared distances of the source's values from their mean.
    signal: np.ndarray
    # The sum of squared errors.
    noise: np.ndarray
    correlation: np.ndarray
    max_abs_error: np.ndarray

    @property
    def range(self) -> np.ndarray:
        """Return the ranges of the source's values."""
        return np.asarray(self.high - self.low)

    @property
    def extent(self) -> float:
        """Return the width of the range that contains all values and zero."""
        return float(max(self.high.max(), 0.0) - min(self.low.min(), 0.0))

    @property
    def varying(self) -> np.ndarray:
        """Return whether a channel's values differ by more than rounding."""
        magnitude = np.maximum(np.abs(self.low), np.abs(self.high))
        return np.asarray(self.range > np.maximum(ROUNDING * magnitude, NEGLIGIBLE * self.extent))

    def weakness_db(self, channel: int) -> float:
        """Return how much smaller a channel's range is than the tensor's extent, in dB."""
        return max(0.0, -ratio_db(float(self.range[channel]) ** 2, self.extent**2))

    @property
    def snr_db(self) -> np.ndarray:
        """Return the ratio of signal about the mean to noise, in dB. It is NaN for a channel that does not vary."""
        pairs = zip(self.signal, self.noise, self.varying, strict=True)
        return np.array([ratio_db(float(s), float(n)) if varies else np.nan for s, n, varies in pairs])


def describe_channels(reference: np.ndarray, actual: np.ndarray, step: float | None) -> dict[str, Any] | None:
    """Compute figures of the channels that an average over the whole tensor would hide.

    Args:
        reference: The source's output, [samples, ...], float.
        actual: The artifact's output as real values, in the same shape.
        step: The distance of two values that the artifact's tensor can represent, None if it is not quantized.

    Returns:
        `axis` (negative: -1 is the last), the number of `channels`, `times` (the tensor's extent over the smallest
        range), `step`, `below` (channels with a range below two steps), `stuck` (channels that are constant only in the
        artifact), and `worst` and `listed`: figures of single channels, the smallest SNR first. None if no channel is
        hidden.
    """
    if reference.dtype.kind != "f" or not reference.size:
        return None
    # Axis 1 of size 1 is the batch axis of single calls.
    if reference.ndim > 2 and reference.shape[1] == 1:
        reference, actual = reference[:, 0], actual[:, 0]
    if reference.ndim == 1:
        reference, actual = reference[:, None], actual[:, None]
    if is_distribution(reference):
        return None
    last_axis = describe_axis(reference, actual, -1, step)
    if last_axis is not None:
        return last_axis
    other_axes = [describe_axis(reference, actual, axis, step) for axis in list_further_axes(reference.shape[1:])]
    lossy = [
        figures
        for figures in other_axes
        if figures is not None and (figures["below"] or figures["worst"]["snr_db"] < LOST_DB)
    ]
    return min(lossy, key=lambda figures: float(figures["worst"]["snr_db"]), default=None)


def is_distribution(values: np.ndarray) -> bool:
    """Return whether values are probabilities with the sum 1 along the last axis, so that all have the same unit."""
    if values.shape[-1] < 2:
        return False
    return bool(values.min() >= 0.0 and np.allclose(values.sum(-1, dtype=np.float64), 1.0, atol=1e-3))


def list_further_axes(shape: tuple[int, ...]) -> list[int]:
    """Return the axes other than the last that may be channel axes, as negative numbers.

    If the last axis is the shortest, it is the channel axis. Otherwise a channel axis is shorter than the number of
    positions after it, as in [channels, height, width] and [channels, boxes].
    """
    if len(shape) < 2 or shape[-1] <= min(shape):
        return []
    positions_after = {axis: int(np.prod(shape[axis + 1 :])) for axis in range(len(shape) - 1)}
    return [axis - len(shape) for axis, positions in positions_after.items() if 1 < shape[axis] < positions]


def describe_axis(reference: np.ndarray, actual: np.ndarray, axis: int, step: float | None) -> dict[str, Any] | None:
    """Return the figures along one axis, None if no channel is small compared with the tensor's values."""
    if reference.size // reference.shape[axis] < FEWEST_VALUES:
        return None
    sums = measure_channels(reference, actual, axis)
    varying = np.flatnonzero(sums.varying)
    if not len(varying):
        return None
    ranges = sums.range[varying]
    below = varying[ranges < STEPS * step] if step is not None else varying[:0]
    resolved = ranges >= STEPS * step if step is not None else ranges > ROUNDING * sums.extent
    stuck = varying[resolved & (sums.made_high == sums.made_low)[varying]]
    times = sums.extent / float(ranges.min())
    if times <= DIFFERENCE and not len(below) and not len(stuck):
        return None
    order = varying[np.argsort(sums.snr_db[varying], kind="stable")]
    listed = [describe_channel(sums, int(channel)) for channel in order[:LISTED]]
    return {
        "axis": axis,
        "channels": reference.shape[axis],
        "times": round_digits(times, MOST_DIGITS),
        "step": step,
        "below": [int(channel) for channel in below],
        "stuck": [int(channel) for channel in stuck],
        "worst": listed[0],
        "listed": listed,
    }


def describe_channel(sums: ChannelSums, channel: int) -> dict[str, Any]:
    """Return the figures of one channel, rounded to the digits that are equal on every CPU.

    The rounding takes into account that every channel has the noise of the whole tensor.
    """
    values = {
        "low": sums.low,
        "high": sums.high,
        "snr_db": sums.snr_db,
        "cosine": sums.correlation,
        "max_abs_error": sums.max_abs_error,
    }
    figures = {name: float(array[channel]) for name, array in values.items()}
    ends = {name: round_digits(figures[name], MOST_DIGITS) for name in ("low", "high")}
    return {"channel": channel, **round_parity(figures, sums.weakness_db(channel)), **ends}


def measure_channels(reference: np.ndarray, actual: np.ndarray, axis: int) -> ChannelSums:
    """Measure all channels along an axis, in float64 and a limited number of samples at a time."""
    first = np.moveaxis(reference, axis, -1).reshape(-1, reference.shape[axis])[0].astype(np.float64)
    # Sums of x, x^2, y, y^2, xy and (y-x)^2. The first value is subtracted from x and y for precision.
    totals = np.zeros((6, len(first)))
    ends = np.array([first, first]), np.full((2, len(first)), [[np.inf], [-np.inf]])
    worst = np.zeros(len(first))
    count = 0
    for x, y in iterate_chunks(reference, actual, axis):
        for end, values in zip(ends, (x, y), strict=True):
            end[0], end[1] = np.minimum(end[0], values.min(0)), np.maximum(end[1], values.max(0))
        error = y - x
        worst = np.maximum(worst, np.abs(error).max(0))
        x, y = x - first, y - first
        totals += [x.sum(0), (x * x).sum(0), y.sum(0), (y * y).sum(0), (x * y).sum(0), (error * error).sum(0)]
        count += len(x)
    sum_x, sum_xx, sum_y, sum_yy, sum_xy, noise = totals
    signal = np.maximum(0.0, sum_xx - sum_x * sum_x / count)
    power = np.maximum(0.0, sum_yy - sum_y * sum_y / count)
    norms = np.sqrt(signal * power)
    together = sum_xy - sum_x * sum_y / count
    correlation = np.divide(together, norms, out=np.zeros(len(first)), where=norms > 0)
    (low, high), (made_low, made_high) = ends
    return ChannelSums(low, high, made_low, made_high, signal, noise, np.clip(correlation, -1.0, 1.0), worst)


def iterate_chunks(reference: np.ndarray, actual: np.ndarray, axis: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield both arrays as float64 [values, channels], a limited number of values at a time."""
    samples = max(1, CHUNK_VALUES // max(1, reference[0].size))
    for start in range(0, len(reference), samples):
        part = slice(start, start + samples)
        x, y = (np.moveaxis(side[part], axis, -1).astype(np.float64) for side in (reference, actual))
        yield x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
