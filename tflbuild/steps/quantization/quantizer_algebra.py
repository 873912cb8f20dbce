"""Fixed-order replacements for the arithmetic of the LiteRT quantizer, so that weights have the same bits on every CPU.

Its algorithms `octav`, `mse`, `gptq`, `oscar` and the Hadamard rotations use sums, matrix products, factorizations,
sorting and functions of NumPy and SciPy, which choose blocks and instructions by CPU. Inside `fixed_order`, these names
in the quantizer's modules refer to functions of `exact_algebra` and `exact_math`. The remaining operations (products,
quotients, square roots, rounding of single values) are defined by IEEE 754.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from litert_quantizer.algorithms.uniform_quantize import gptq, hadamard_rotation, mse, octav, oscar

from tflbuild.exact.exact_algebra import add_up, average, invert_positive, multiply_matrices
from tflbuild.exact.exact_math import exp, log

# np.ndarray. Its element type is only known at run time.
Array = Any


class OrderedArray(np.ndarray):
    """An array whose method `sum` adds in a fixed order. Arrays that are computed from it are of the same kind."""

    def sum(self, axis: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Return sums over axes, float64."""
        if options:
            raise NotImplementedError(f"a sum with {sorted(options)}")
        return add_up(np.asarray(self), axis)


class OrderedNumpy:
    """NumPy with replacements for the functions whose result depends on an order.

    All other functions are NumPy's own.
    """

    def __getattr__(self, name: str) -> Any:
        if name in DEPENDENT:
            raise NotImplementedError(f"numpy.{name} depends on the CPU, and nothing replaces it here")
        return getattr(np, name)

    @staticmethod
    def sum(
        values: Array, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Array | None = None
    ) -> Array:
        """Return sums over axes in the type of the values."""
        values = np.asarray(values)
        chosen = values if where is None else np.where(where, values, values.dtype.type(0))
        return add_up(chosen, axis, keepdims).astype(dtype or values.dtype)

    @staticmethod
    def mean(values: Array, axis: Any = None, keepdims: bool = False) -> Array:
        """Return means over axes in the type of the values."""
        return average(np.asarray(values), axis, keepdims).astype(np.asarray(values).dtype)

    @staticmethod
    def matmul(left: Array, right: Array, /) -> Array:
        """Return the matrix product in the type of the factors."""
        return multiply_matrices(left, right).astype(np.result_type(left, right))

    @staticmethod
    def argsort(values: Array, axis: int = -1) -> Array:
        """Return the indices that sort the values. Equal values keep their order."""
        return np.argsort(values, axis=axis, kind="stable")

    exp = staticmethod(exp)
    log = staticmethod(log)


# Functions that the algorithms do not call today. If a new release calls one, it fails instead of depending on the CPU.
DEPENDENT = frozenset(
    (
        *("dot", "vdot", "inner", "tensordot", "einsum", "linalg", "var", "std", "average", "nansum", "nanmean"),
        *("tanh", "power", "exp2", "expm1", "log2", "log10", "log1p", "sin", "cos", "convolve", "correlate"),
        *("trapezoid", "cov", "corrcoef", "polyfit", "fft", "lexsort", "sort_complex"),
    )
)


def rotate(values: Array, hadamard: Array, /) -> Array:
    """Return rows times a Hadamard matrix of Sylvester's order, by sums and differences of halves.

    Args:
        values: float32 [rows, size], size a power of 2.
        hadamard: The matrix [size, size], whose elements differ only in their signs.

    Returns:
        An array of the shape of `values`.
    """
    size = values.shape[-1]
    rotated = np.asarray(values, np.float64).reshape(-1, size)
    width = 1
    while width < size:
        halves = rotated.reshape(-1, size // (2 * width), 2, width)
        rotated = np.stack([halves[:, :, 0] + halves[:, :, 1], halves[:, :, 0] - halves[:, :, 1]], axis=2)
        rotated = rotated.reshape(-1, size)
        width *= 2
    return (rotated * np.float64(hadamard[0, 0])).reshape(values.shape).astype(np.result_type(values, hadamard))


def invert_hessian(hessian: Array, damp_factor: float = 0.01) -> Array:
    """Return the inverse of a damped Hessian, as `gptq._prepare_hessian_inverse` does. The Hessian is not changed."""
    damped = np.array(hessian, np.float64)
    diagonal = np.diag(damped).copy()
    diagonal = np.where(diagonal, diagonal, 1.0)
    np.fill_diagonal(damped, diagonal + damp_factor * average(diagonal))
    return invert_positive(damped).astype(hessian.dtype)


def _ordered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose array arguments add in a fixed order."""

    def call(*arguments: Any, **options: Any) -> Any:
        arrays = [value.view(OrderedArray) if isinstance(value, np.ndarray) else value for value in arguments]
        return function(*arrays, **options)

    return call


class _Rotation(OrderedNumpy):
    matmul = staticmethod(rotate)


@contextmanager
def fixed_order() -> Iterator[None]:
    """Replace the CPU-dependent functions in the quantizer's algorithms while the context is active."""
    ordered = OrderedNumpy()
    changes: list[tuple[Any, str, Any]] = [
        *((module, "np", ordered) for module in (octav, mse, gptq, oscar)),
        (hadamard_rotation, "np", _Rotation()),
        (gptq, "_prepare_hessian_inverse", invert_hessian),
        *(
            (oscar, name, _ordered(getattr(oscar, name)))
            for name in ("_optimal_group_clip", "_channel_scale_objective", "_compute_channel_scales")
        ),
    ]
    originals = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in originals:
            setattr(module, name, value)
