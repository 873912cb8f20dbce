"""Second moments of what comes into operators: the `moments.npz` between the steps `moments` and `quantize`.

`names`, and under each one's number E[x x^T], float32 [width, width], or its diagonal E[x^2], float64 [width].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

NAMES = "names"

Moments = dict[str, np.ndarray]


def save_moments(path: Path, moments: Moments) -> None:
    """A matrix is kept as float32, which is what the quantizer computes with; a diagonal as float64."""
    kept = {
        str(index): found if found.ndim == 1 else found.astype(np.float32)
        for index, found in enumerate(moments.values())
    }
    np.savez(path, **{NAMES: np.array(list(moments)), **kept})  # type: ignore[arg-type]


def load_moments(path: Path) -> dict[str, Moments]:
    """Tensor -> what the quantizer's algorithms read: `hessian`, 2 E[x x^T], or `mu2`, E[x^2]."""
    with np.load(path, allow_pickle=False) as found:
        arrays = {str(name): found[str(index)] for index, name in enumerate(found[NAMES])}
    return {name: {"mu2": one} if one.ndim == 1 else {"hessian": 2 * one} for name, one in arrays.items()}
