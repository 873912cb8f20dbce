"""Accuracy against labels, and the confidence intervals of figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tflbuild.core.confidence_intervals import CONFIDENCE, Interval, mcnemar, paired_interval, two_sided_z, wilson
from tflbuild.steps.verification.parity_figures import ratio_db


def snr_interval(reference: np.ndarray, actual: np.ndarray) -> dict[str, float] | None:
    """Compute the 95 % confidence interval of the signal-to-noise ratio.

    The ratio is one of sums over samples, which are assumed to be drawn at random. The delta method (Cochran, Sampling
    Techniques, chapter 6) is applied to its logarithm.

    Args:
        reference: The source's output, [samples, ...].
        actual: The artifact's output, of the same shape.

    Returns:
        `n`, the number of samples, and `low` and `high` in dB. None for fewer than two samples, or without signal or
        noise.
    """
    samples = len(reference)
    if samples < 2:
        return None
    signals, noises = np.empty(samples), np.empty(samples)
    for index in range(samples):
        values = reference[index].astype(np.float64).ravel()
        error = actual[index].astype(np.float64).ravel() - values
        signals[index], noises[index] = values @ values, error @ error
    signal, noise = float(signals.mean()), float(noises.mean())
    if signal == 0.0 or noise == 0.0:
        return None
    deviation = float((signals / signal - noises / noise).std(ddof=1)) / math.sqrt(samples)
    half = two_sided_z(CONFIDENCE) * deviation * 10.0 / math.log(10.0)
    middle = ratio_db(signal, noise)
    return {"n": samples, "low": middle - half, "high": middle + half}


def classification(reference: np.ndarray, actual: np.ndarray, labels: np.ndarray, top_k: int) -> dict[str, Any]:
    """Compute the accuracy of source and artifact against labels, and their agreement.

    Of equal scores, the one with the lower class index counts as better, like the arg max of an app.

    Args:
        reference: The source's scores, [samples, classes].
        actual: The artifact's scores, [samples, classes].
        labels: Class indices, [samples].
        top_k: The number of best classes that `topk` counts.

    Returns:
        The fractions, the numbers of samples that the artifact `lost` and `gained`, and in `intervals` a 95 % interval
        for each fraction. That of `top1_drop` is paired, and has the p-value `p` of McNemar's exact test.
    """
    best_reference, best_actual = reference.argmax(-1), actual.argmax(-1)
    source_is_correct, is_correct = best_reference == labels, best_actual == labels
    lost, gained = int((source_is_correct & ~is_correct).sum()), int((is_correct & ~source_is_correct).sum())
    counts = {
        "top1": int(is_correct.sum()),
        "top1_source": int(source_is_correct.sum()),
        "topk": count_within(actual, labels, top_k),
        "topk_source": count_within(reference, labels, top_k),
        "agreement": int((best_reference == best_actual).sum()),
    }
    samples = len(labels)
    shares = {name: count / samples for name, count in counts.items()}
    intervals = {name: as_json(wilson(count, samples), samples) for name, count in counts.items()}
    drop = as_json(paired_interval(lost, gained, samples), samples) | {"p": mcnemar(lost, gained)}
    return {
        **shares,
        "top1_drop": shares["top1_source"] - shares["top1"],
        "lost": lost,
        "gained": gained,
        "top_k": top_k,
        "intervals": intervals | {"top1_drop": drop},
    }


def as_json(interval: Interval, samples: int) -> dict[str, float]:
    """Return an interval as JSON, with the number of samples."""
    return {"n": samples, "low": interval.low, "high": interval.high}


def count_within(scores: np.ndarray, labels: np.ndarray, k: int) -> int:
    """Return how many labels are among the k best scores of their sample."""
    order = np.argsort(-scores.astype(np.float64), axis=-1, kind="stable")[:, :k]
    return int((order == labels[:, None]).any(-1).sum())
