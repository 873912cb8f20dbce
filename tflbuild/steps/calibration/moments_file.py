"""The file `moments.npz`, which the step `moments` writes and `quantize` reads: second moments of operator inputs.

`names` contains the names of the tensors. The array with the number of a tensor is E[x x^T], float32 [width, width], or
its diagonal E[x^2], float64 [width].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

NAMES = "names"

Moments = dict[str, np.ndarray]


def save_moments(path: Path, moments: Moments) -> None:
    """Write moments to a file.

    A matrix is stored as float32, the type in which the quantizer computes, and a diagonal as float64.

    Args:
        path: The file to write.
        moments: Tensor name -> E[x x^T], float64 [width, width], or E[x^2], float64 [width].
    """
    arrays = {
        str(index): moment if moment.ndim == 1 else moment.astype(np.float32)
        for index, moment in enumerate(moments.values())
    }
    np.savez(path, **{NAMES: np.array(list(moments)), **arrays})  # type: ignore[arg-type]


def load_moments(path: Path) -> dict[str, Moments]:
    """Read moments in the form of the quantizer.

    Returns:
        Tensor name -> {`hessian`: 2 E[x x^T]} or {`mu2`: E[x^2]}.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {str(name): file[str(index)] for index, name in enumerate(file[NAMES])}
    return {name: {"mu2": moment} if moment.ndim == 1 else {"hessian": 2 * moment} for name, moment in arrays.items()}
