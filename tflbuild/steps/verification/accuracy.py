"""Accuracy against labels, and how sure the figures of a sample are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tflbuild.core.confidence_intervals import CONFIDENCE, Interval, mcnemar, paired_interval, two_sided_z, wilson
from tflbuild.steps.verification.parity_figures import ratio_db


def snr_interval(reference: np.ndarray, actual: np.ndarray) -> dict[str, float] | None:
    """Return `n`, `low` and `high` of the 95 % interval of the SNR in dB; None where samples cannot give one.

    The SNR is a ratio of sums over samples, [samples, values], which are taken as drawn at random: the delta method
    (Cochran, Sampling Techniques, chapter 6) on its logarithm.
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
    """Return the accuracy of both score arrays [samples, classes] against labels, and how often their best agree.

    Equal scores count in favour of the lower class index, as an app's arg max would decide. `intervals` has one of 95 %
    for every share; that of `top1_drop` is paired and has the p-value of McNemar's exact test.
    """
    best_reference, best_actual = reference.argmax(-1), actual.argmax(-1)
    right_source, right = best_reference == labels, best_actual == labels
    lost, gained = int((right_source & ~right).sum()), int((right & ~right_source).sum())
    counts = {
        "top1": int(right.sum()),
        "top1_source": int(right_source.sum()),
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
    """Return an interval with the number of samples that it rests on."""
    return {"n": samples, "low": interval.low, "high": interval.high}


def count_within(scores: np.ndarray, labels: np.ndarray, k: int) -> int:
    """Return how many labels are among the k best scores."""
    order = np.argsort(-scores.astype(np.float64), axis=-1, kind="stable")[:, :k]
    return int((order == labels[:, None]).any(-1).sum())
