"""Figures per channel of an output: an average over a whole tensor hides a channel of small values beside large ones.

One scale serves a whole tensor, and has to span its largest values. A detector's boxes in pixels beside its scores in
0..1, or a temperature of 300 K that varies by half a degree, are then lost, although the error is small beside the
tensor's values. So a channel's error is compared with what varies in this channel: its values about their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflbuild.core.figure_rounding import MOST_DIGITS, round_digits, round_parity
from tflbuild.steps.verification.parity_figures import ratio_db

DIFFERENCE = 8.0  # times that the tensor's extent exceeds a channel's range: three bits fewer for the channel
STEPS = 2.0  # of the scale: a channel with a smaller range has at most three values left
LOST_DB = 10.0  # below it a channel counts as lost
LEAST_VALUES = 8  # of a channel, to speak of its range
ROUNDING = 1e-6  # of a channel's own values: what varies less is float32 rounding
NEGLIGIBLE = 1e-7  # of the whole tensor's extent
LISTED = 16
CHUNK_VALUES = 1 << 22


@dataclass(frozen=True)
class ChannelSums:
    """What was measured of every channel along an axis: arrays of one value a channel."""

    low: np.ndarray
    high: np.ndarray
    made_low: np.ndarray
    made_high: np.ndarray
    signal: np.ndarray  # squared distance of the source's values from their mean, summed
    noise: np.ndarray  # squared error, summed
    correlation: np.ndarray
    max_abs_error: np.ndarray

    @property
    def range(self) -> np.ndarray:
        """Return what the source's values span."""
        return np.asarray(self.high - self.low)

    @property
    def extent(self) -> float:
        """Return what a scale has to span that represents all of these values, and zero."""
        return float(max(self.high.max(), 0.0) - min(self.low.min(), 0.0))

    @property
    def varying(self) -> np.ndarray:
        """Return whether a channel's values differ by more than rounding."""
        magnitude = np.maximum(np.abs(self.low), np.abs(self.high))
        return np.asarray(self.range > np.maximum(ROUNDING * magnitude, NEGLIGIBLE * self.extent))

    def weakness_db(self, channel: int) -> float:
        """Return how much less a channel varies than its tensor's values, in dB."""
        return max(0.0, -ratio_db(float(self.range[channel]) ** 2, self.extent**2))

    @property
    def snr_db(self) -> np.ndarray:
        """Return the ratio of signal about the mean to noise, in dB; NaN for a channel that does not vary."""
        pairs = zip(self.signal, self.noise, self.varying, strict=True)
        return np.array([ratio_db(float(s), float(n)) if varies else np.nan for s, n, varies in pairs])


def describe_channels(reference: np.ndarray, actual: np.ndarray, step: float | None) -> dict[str, Any] | None:
    """Return figures of the channels that a whole-tensor average would hide; None where there are none.

    Args:
        reference: the source's output, [samples, ...], float.
        actual: the artifact's, in the same shape, real values.
        step: the distance of two values that the artifact's tensor can represent, None where it is not quantized.

    Returns:
        `axis` (negative: -1 is the last), the number of `channels`, `times` (the tensor's extent over the least range),
        `step`, `below` (channels with a range below two steps), `stuck` (constant in the artifact alone), and `worst`
        and `listed`: figures of single channels, the least SNR first.
    """
    if reference.dtype.kind != "f" or not reference.size:
        return None
    if reference.ndim > 2 and reference.shape[1] == 1:  # the batch axis of single calls
        reference, actual = reference[:, 0], actual[:, 0]
    if reference.ndim == 1:
        reference, actual = reference[:, None], actual[:, None]
    if is_distribution(reference):
        return None
    last = describe_axis(reference, actual, -1, step)
    if last is not None:
        return last
    others = [describe_axis(reference, actual, axis, step) for axis in further_axes(reference.shape[1:])]
    lost = [one for one in others if one is not None and (one["below"] or one["worst"]["snr_db"] < LOST_DB)]
    return min(lost, key=lambda one: float(one["worst"]["snr_db"]), default=None)


def is_distribution(values: np.ndarray) -> bool:
    """Return whether values are probabilities that add up to one along the last axis: they have one unit."""
    if values.shape[-1] < 2:
        return False
    return bool(values.min() >= 0.0 and np.allclose(values.sum(-1, dtype=np.float64), 1.0, atol=1e-3))


def further_axes(shape: tuple[int, ...]) -> list[int]:
    """Return the axes besides the last that may be those of channels, as negative numbers.

    Where the last axis is the shortest, it is the channels'. Else channels are fewer than the positions behind them,
    as in [channels, height, width] and [channels, boxes].
    """
    if len(shape) < 2 or shape[-1] <= min(shape):
        return []
    behind = {axis: int(np.prod(shape[axis + 1 :])) for axis in range(len(shape) - 1)}
    return [axis - len(shape) for axis, positions in behind.items() if 1 < shape[axis] < positions]


def describe_axis(reference: np.ndarray, actual: np.ndarray, axis: int, step: float | None) -> dict[str, Any] | None:
    """Return the figures along one axis; None where no channel is small beside the tensor's values."""
    if reference.size // reference.shape[axis] < LEAST_VALUES:
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
    """Return the figures of one channel, to the digits that hold on every CPU: each has the noise of its tensor."""
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
    """Return sums over all other axes, in float64, some samples at a time."""
    first = np.moveaxis(reference, axis, -1).reshape(-1, reference.shape[axis])[0].astype(np.float64)
    totals = np.zeros((6, len(first)))  # of x, x^2, y, y^2, xy and (y-x)^2, both taken from the first value
    ends = np.array([first, first]), np.full((2, len(first)), [[np.inf], [-np.inf]])
    worst = np.zeros(len(first))
    count = 0
    for x, y in chunks(reference, actual, axis):
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


def chunks(reference: np.ndarray, actual: np.ndarray, axis: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield both sides as [values, channels] in float64, a bounded number of values at a time."""
    samples = max(1, CHUNK_VALUES // max(1, reference[0].size))
    for start in range(0, len(reference), samples):
        part = slice(start, start + samples)
        x, y = (np.moveaxis(side[part], axis, -1).astype(np.float64) for side in (reference, actual))
        yield x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
