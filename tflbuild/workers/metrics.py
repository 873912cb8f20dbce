"""Figures of agreement between two sets of outputs, and of accuracy against labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SNR_CEILING_DB = 200.0  # reported for identical outputs, whose ratio is infinite


def parity(reference: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """How far `actual` is from `reference`, both of one shape, computed in float64.

    max_abs_error and rmse are in the output's unit; cosine is of all values as one vector; snr_db is
    10 log10(sum reference^2 / sum error^2).
    """
    a = reference.astype(np.float64).ravel()
    b = actual.astype(np.float64).ravel()
    error = b - a
    signal, noise = float(a @ a), float(error @ error)
    norms = math.sqrt(signal) * math.sqrt(float(b @ b))
    return {
        "max_abs_error": float(np.abs(error).max(initial=0.0)),
        "rmse": math.sqrt(noise / max(1, error.size)),
        "cosine": float(a @ b) / norms if norms else float(not signal and not noise),
        "snr_db": _ratio_db(signal, noise),
    }


def _ratio_db(signal: float, noise: float) -> float:
    if noise == 0.0:
        return SNR_CEILING_DB
    if signal == 0.0:
        return -SNR_CEILING_DB
    return float(np.clip(10.0 * math.log10(signal / noise), -SNR_CEILING_DB, SNR_CEILING_DB))


def classification(reference: np.ndarray, actual: np.ndarray, labels: np.ndarray, top_k: int) -> dict[str, Any]:
    """Accuracy of both score arrays [samples, classes] against labels, and how often their best agree.

    Equal scores count in favour of the lower class index, as an app's arg max would decide.
    """
    best_reference, best_actual = reference.argmax(-1), actual.argmax(-1)
    right_source, right = best_reference == labels, best_actual == labels
    top1_source, top1 = float(right_source.mean()), float(right.mean())
    return {
        "top1": top1,
        "top1_source": top1_source,
        "top1_drop": top1_source - top1,
        "lost": int((right_source & ~right).sum()),
        "gained": int((right & ~right_source).sum()),
        "top_k": top_k,
        "topk": _within(actual, labels, top_k),
        "topk_source": _within(reference, labels, top_k),
        "agreement": float((best_reference == best_actual).mean()),
    }


def _within(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    order = np.argsort(-scores.astype(np.float64), axis=-1, kind="stable")[:, :k]
    return float((order == labels[:, None]).any(-1).mean())
