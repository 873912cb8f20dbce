"""Evaluation of TensorFlow's elementwise operators on constants, with the same bits on every CPU.

A float result is computed in float64 and rounded once to the type of the tensor. For + - * / and the square root, this
is the result that IEEE 754 defines for the type of the tensor, because float64 has more than twice the bits of the
smaller types. TensorFlow returns the same result, with three exceptions: it may replace subnormal numbers by zero, it
rounds twice from float64 to a 16-bit type, and its maximum of 0.0 and -0.0 may be either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tflbuild.exact import exact_math as elementary
from tflbuild.exact import exact_special as special
from tflbuild.exact import exact_trigonometry as angles
from tflbuild.exact.exact_algebra import choose_larger, choose_smaller
from tflbuild.exact.exact_arithmetic import Array, apply_in_chunks, is_complex, is_float, round_to
from tflbuild.exact.exact_fourier import multiply_complex

Attributes = Mapping[str, Any]
Operator = Callable[[Attributes, Sequence[Array]], list[Array] | None]
Function = Callable[..., Array]


def _floor_mod(x: Array, y: Array) -> Array:
    rest = np.fmod(x, y)
    return np.where((rest != 0) & ((y < 0) != (rest < 0)), rest + y, rest)


def _skip_zero(function: Function) -> Function:
    """Return a function of x and y that is 0 if x is 0, whatever y is."""
    return lambda x, y: np.where(x == 0, 0.0, function(np.where(x == 0, 1.0, x), y))


def _sign(x: Array) -> Array:
    return np.where(x > 0, 1.0, np.where(x < 0, -1.0, np.where(np.isnan(x), np.nan, 0.0)))


def _rectify(x: Array) -> Array:
    return choose_larger(x, np.zeros_like(x))


UNARY: dict[str, Function] = {
    "Abs": np.abs,
    "Acos": angles.acos,
    "Acosh": elementary.acosh,
    "Asin": angles.asin,
    "Asinh": elementary.asinh,
    "Atan": angles.atan,
    "Atanh": elementary.atanh,
    "BesselI0": special.bessel_i0,
    "BesselI0e": special.bessel_i0e,
    "BesselI1": special.bessel_i1,
    "BesselI1e": special.bessel_i1e,
    "Ceil": np.ceil,
    "Cos": angles.cos,
    "Cosh": elementary.cosh,
    "Digamma": special.digamma,
    "Elu": elementary.elu,
    "Erf": special.erf,
    "Erfc": special.erfc,
    "Erfinv": special.erfinv,
    "Exp": elementary.exp,
    "Expm1": elementary.expm1,
    "Floor": np.floor,
    "Inv": lambda x: 1.0 / x,
    "Lgamma": special.lgamma,
    "Log": elementary.log,
    "Log1p": elementary.log1p,
    "Ndtri": special.ndtri,
    "Neg": np.negative,
    "Reciprocal": lambda x: 1.0 / x,
    "Relu": _rectify,
    "Relu6": lambda x: choose_smaller(_rectify(x), np.full_like(x, 6.0)),
    "Rint": np.rint,
    "Round": np.rint,
    "Rsqrt": lambda x: 1.0 / np.sqrt(x),
    "Sigmoid": elementary.sigmoid,
    "Sign": _sign,
    "Sin": angles.sin,
    "Sinh": elementary.sinh,
    "Softplus": elementary.softplus,
    "Softsign": lambda x: x / (1.0 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Square": lambda x: x * x,
    "Tan": angles.tan,
    "Tanh": elementary.tanh,
}

BINARY: dict[str, Function] = {
    "Add": np.add,
    "AddV2": np.add,
    "Atan2": angles.atan2,
    "Div": np.divide,
    "DivNoNan": lambda x, y: np.where(y == 0, 0.0, x / y),
    "FloorMod": _floor_mod,
    "Maximum": choose_larger,
    "Minimum": choose_smaller,
    "Mod": np.fmod,
    "Mul": np.multiply,
    "MulNoNan": lambda x, y: np.where(y == 0, 0.0, x * y),
    "Pow": elementary.power,
    "RealDiv": np.divide,
    "Sub": np.subtract,
    "TruncateMod": np.fmod,
    "Xdivy": _skip_zero(np.divide),
    "Xlog1py": _skip_zero(lambda x, y: x * elementary.log1p(y)),
    "Xlogy": _skip_zero(lambda x, y: x * elementary.log(y)),
}

COMPARISONS: dict[str, Function] = {
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "IsFinite": np.isfinite,
    "IsInf": np.isinf,
    "IsNan": np.isnan,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "NotEqual": np.not_equal,
}


def _apply(function: Function) -> Operator:
    def evaluate(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        if not is_float(inputs[0].dtype):
            return None
        return [apply_in_chunks(function, inputs, inputs[0].dtype)]

    return evaluate


def _compare(function: Function) -> Operator:
    def evaluate(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        if not is_float(inputs[0].dtype):
            return None
        return [apply_in_chunks(function, inputs, np.dtype(bool))]

    return evaluate


def _round_in_between(first: Function, second: Function) -> Operator:
    """Return an operator of two functions that rounds after each of them, like TensorFlow's kernel."""

    def evaluate(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        dtype = inputs[0].dtype
        if not is_float(dtype):
            return None
        return [apply_in_chunks(second, [apply_in_chunks(first, inputs, dtype)], dtype)]

    return evaluate


def _constant(value: float, dtype: np.dtype[Any]) -> float:
    """Return a constant rounded to the type of the tensor, which TensorFlow's kernel uses for it."""
    return float(round_to(np.array(value), dtype))


def _leaky_relu(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    if not is_float(inputs[0].dtype):
        return None
    # An attribute is a float32, and the kernel rounds it to the type of the tensor.
    slope = _constant(_constant(attributes.get("alpha", 0.2), np.dtype(np.float32)), inputs[0].dtype)
    return _apply(lambda x: np.where(x > 0, x, slope * x))(attributes, inputs)


def _selu(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    # Klambauer et al. 2017, equation 14
    factor = _constant(1.0507009873554804934193349852946, inputs[0].dtype)
    slope = _constant(1.7580993408473768599402175208123, inputs[0].dtype)
    return _apply(lambda x: np.where(x > 0, factor * x, slope * elementary.expm1(np.where(x > 0, 0.0, x))))(
        attributes, inputs
    )


def _clip(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    def clip(x: Array, low: Array, high: Array) -> Array:
        # The upper limit is applied first, so that the lower one wins if the limits are exchanged.
        below = np.where(x > high, high, x)
        return np.where(below < low, low, below)

    return _apply(clip)(attributes, inputs)


def _approximate_equal(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    tolerance = _constant(attributes.get("tolerance", 1e-5), np.dtype(np.float32))
    if not is_float(inputs[0].dtype):
        return None
    difference = apply_in_chunks(lambda x, y: np.abs(x - y), inputs, inputs[0].dtype)
    return [difference.astype(np.float64) < tolerance]


def _next_after(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    return [np.nextafter(*inputs)] if inputs[0].dtype in (np.float32, np.float64) else None


def _add_n(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    def add(*terms: Array) -> Array:
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    return _apply(add)(attributes, inputs)


def cast(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    """Evaluate the operator Cast. Return None if a value is outside the integer type, since CPUs differ then."""
    x, dtype = inputs[0], np.dtype(attributes["DstT"])
    if attributes.get("Truncate") or dtype == x.dtype:
        return [x] if dtype == x.dtype else None
    numbers = "biuf"
    are_real = (is_float(x.dtype) or x.dtype.kind in numbers) and (is_float(dtype) or dtype.kind in numbers)
    if not are_real:
        return _cast_complex(x, dtype)
    if dtype.kind == "b":
        return [x != 0]
    if not is_float(x.dtype):
        if dtype in (np.float32, np.float64) or not is_float(dtype):
            return [x.astype(dtype)]
        return [apply_in_chunks(lambda each: each, [x.astype(np.float32)], dtype)]
    if is_float(dtype):
        return [apply_in_chunks(lambda each: each, [x], dtype)]
    whole = np.trunc(x.astype(np.float64))
    limits: Any = np.iinfo(dtype.name)
    if not ((whole >= float(limits.min)) & (whole < float(limits.max) + (1.0 if limits.max < 2**53 else 0.0))).all():
        return None
    return [whole.astype(dtype)]


def _cast_complex(x: Array, dtype: np.dtype[Any]) -> list[Array] | None:
    if is_complex(dtype) and (is_complex(x.dtype) or is_float(x.dtype)):
        return [apply_in_chunks(lambda each: each + 0j if each.dtype.kind == "f" else each, [x], dtype)]
    if is_complex(x.dtype) and is_float(dtype):
        return [apply_in_chunks(lambda each: each.real, [x], dtype)]
    return None


def split_parts(x: Array) -> tuple[Array, Array]:
    """Return the real and the imaginary part in float64."""
    return x.real.astype(np.float64), x.imag.astype(np.float64)


def join_parts(real: Array, imaginary: Array) -> Array:
    """Return a complex128 array of its parts. There is no addition, so infinities and signs of zeros stay."""
    result = np.empty(real.shape, np.complex128)
    result.real, result.imag = real, imaginary
    return result


def _multiply_complex(x: Array, y: Array) -> Array:
    return join_parts(*multiply_complex(split_parts(x), split_parts(y)))


def _divide_complex(x: Array, y: Array) -> Array:
    c, d = split_parts(y)
    real, imaginary = multiply_complex(split_parts(x), (c, -d))
    size = c * c + d * d
    return join_parts(real / size, imaginary / size)


def _exp_complex(x: Array) -> Array:
    real, imaginary = split_parts(x)
    size = elementary.exp(real)
    return join_parts(size * angles.cos(imaginary), size * angles.sin(imaginary))


def _log_complex(x: Array) -> Array:
    real, imaginary = split_parts(x)
    square = elementary.log(real * real + imaginary * imaginary)
    return join_parts(0.5 * square, angles.atan2(imaginary, real))


COMPLEX: dict[str, Function] = {
    "Add": np.add,
    "AddV2": np.add,
    "Conj": np.conjugate,
    "Div": _divide_complex,
    "Exp": _exp_complex,
    "Log": _log_complex,
    "Mul": _multiply_complex,
    "Neg": np.negative,
    "RealDiv": _divide_complex,
    "Square": lambda x: _multiply_complex(x, x),
    "Sub": np.subtract,
}

COMPLEX_TO_REAL: dict[str, Function] = {
    "Angle": lambda x: angles.atan2(*split_parts(x)[::-1]),
    "ComplexAbs": lambda x: np.sqrt(x.real * x.real + x.imag * x.imag),
    "Imag": lambda x: x.imag,
    "Real": lambda x: x.real,
}


def _apply_complex(operator: str) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        if inputs and is_complex(inputs[0].dtype):
            return [apply_in_chunks(COMPLEX[operator], inputs, inputs[0].dtype)]
        own = _apply(UNARY[operator] if operator in UNARY else BINARY[operator]) if operator != "Conj" else None
        return own(attributes, inputs) if own else None

    return evaluate


def _to_real(function: Function) -> Operator:
    def evaluate(attributes: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
        if not is_complex(inputs[0].dtype):
            return None
        return [apply_in_chunks(function, inputs, np.dtype(np.float32 if inputs[0].dtype == "c8" else np.float64))]

    return evaluate


def _make_complex(_: Attributes, inputs: Sequence[Array]) -> list[Array] | None:
    dtype = np.dtype(np.complex64 if inputs[0].dtype == np.float32 else np.complex128)
    return [apply_in_chunks(join_parts, inputs, dtype)]


OPERATORS: dict[str, Operator] = {
    **{name: _apply(function) for name, function in {**UNARY, **BINARY}.items()},
    **{name: _compare(function) for name, function in COMPARISONS.items()},
    **{name: _to_real(function) for name, function in COMPLEX_TO_REAL.items()},
    **{name: _apply_complex(name) for name in COMPLEX},
    "AccumulateNV2": _add_n,
    "AddN": _add_n,
    "ApproximateEqual": _approximate_equal,
    "Cast": cast,
    "ClipByValue": _clip,
    "Complex": _make_complex,
    "FloorDiv": _round_in_between(np.divide, np.floor),
    "LeakyRelu": _leaky_relu,
    "NextAfter": _next_after,
    "Selu": _selu,
    "SquaredDifference": _round_in_between(np.subtract, lambda x: x * x),
}
