"""Figures of agreement between two sets of outputs."""

from __future__ import annotations

import math

import numpy as np

# The ratio that is reported for identical outputs, for which it is infinite.
SNR_CEILING_DB = 200.0


def parity(reference: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Compare two arrays of the same shape, in float64.

    Args:
        reference: The source's output.
        actual: The artifact's output.

    Returns:
        `max_abs_error` and `rmse` in the unit of the output; `cosine` of all values as one vector; and `snr_db`, 10
        log10(sum reference^2 / sum error^2).
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
        "snr_db": ratio_db(signal, noise),
    }


def ratio_db(signal: float, noise: float) -> float:
    """Return 10 log10(signal / noise), limited to plus and minus SNR_CEILING_DB."""
    if noise == 0.0:
        return SNR_CEILING_DB
    if signal == 0.0:
        return -SNR_CEILING_DB
    return float(np.clip(10.0 * math.log10(signal / noise), -SNR_CEILING_DB, SNR_CEILING_DB))
