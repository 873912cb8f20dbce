"""Digests of what the exact functions and operators return: the same on every machine.

    python tests/exact_battery.py            compare with the digests in exact_digests.json; exit code 1 if any differs
    python tests/exact_battery.py --write    write them, after a change of a function

NumPy and tflbuild are all that it needs, so it runs where TensorFlow does not, such as under an emulated old CPU.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from exact_cases import DOMAINS, EDGES, UNARY, WIDE, list_cases, make_values, name_cases

from tflbuild.exact import exact_algebra as algebra
from tflbuild.exact import exact_fourier as fourier
from tflbuild.exact import exact_math as elementary
from tflbuild.exact import exact_special as special
from tflbuild.exact import exact_trigonometry as angles
from tflbuild.exact.exact_arithmetic import round_to
from tflbuild.exact.exact_evaluator import evaluate

GOLDEN = Path(__file__).with_name("exact_digests.json")
FUNCTIONS = {
    elementary: (
        *("exp", "expm1", "log", "log1p", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "sigmoid", "softplus"),
        "elu",
    ),
    angles: ("sin", "cos", "tan", "asin", "acos", "atan"),
    special: (
        "erf",
        "erfc",
        "erfinv",
        "ndtri",
        "lgamma",
        "digamma",
        "bessel_i0",
        "bessel_i0e",
        "bessel_i1",
        "bessel_i1e",
    ),
}
HUGE = np.array([1e5, 1.3e5, -7e7, 1e15, 3e22, -1e100, 1.7e308, 5e-324, -2.3e-308, 700.1, -744.9, 89.5, 171.3])


def digest(arrays):
    """Sixteen hexadecimal digits of the SHA-256 of types, shapes and bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.name}{array.shape}".encode() + array.tobytes())
    return total.hexdigest()[:16]


def list_functions():
    """Yield names and results of the functions in float64."""
    points = np.concatenate([EDGES, WIDE, WIDE * 1e-3, WIDE * 11, HUGE]).astype(np.float64) * 1.000000123
    points = np.concatenate([points, EDGES.astype(np.float64)])
    other = points[::-1].copy()
    with np.errstate(all="ignore"):
        for module, names in FUNCTIONS.items():
            for name in names:
                yield name, [round_to(getattr(module, name)(points), np.dtype(np.float64))]
        for name, function in (("power", elementary.power), ("atan2", angles.atan2)):
            yield name, [round_to(function(points, other), np.dtype(np.float64))]
            yield f"{name} of roots", [round_to(function(np.sqrt(np.abs(points)), other), np.dtype(np.float64))]


def list_algebra():
    """Yield names and results of linear algebra in float64, at sizes that are cut into several blocks."""
    a = make_values((130, 301), seed=31, dtype=np.float64)
    b = make_values((301, 1100), seed=32, dtype=np.float64)
    yield "product", [algebra.multiply_matrices(a, b)]
    yield "product of a vector", [algebra.multiply_matrices(a, b[:, :1])]
    batch = make_values((40, 17, 23), seed=33, dtype=np.float64)
    yield "products", [algebra.multiply_matrices(batch, np.swapaxes(batch, 1, 2))]
    square = algebra.multiply_matrices(a, a.T)
    yield "cholesky", [algebra.factor_cholesky(square)]
    yield "inverses", [algebra.invert_positive(square), algebra.invert(square)]
    yield "determinant", [algebra.find_determinants(square[:60, :60])]
    yield "sums", [algebra.add_up(b), algebra.add_up(b, 0), algebra.add_up(batch, (0, 2)), algebra.average(b, -1)]
    yield "moments", [*algebra.measure_moments(batch, (0, 1))]
    yield "running sums", [algebra.accumulate(b, 1)]
    yield "softmax", [algebra.softmax(b), algebra.log_softmax(b, 0)]
    for size in (97, 400, 512):
        yield f"fourier {size}", [*fourier.transform(b[:3, :size], b[3:6, :size])]


def list_operators():
    """Yield names and results of all cases of operators, and of the elementwise ones in other types."""
    for (operator, attributes, inputs), name in zip(list_cases(), name_cases(), strict=True):
        yield name, evaluate(operator, attributes, inputs)
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
        for operator in UNARY:
            with np.errstate(over="ignore"):
                values = np.concatenate([DOMAINS.get(operator, WIDE), EDGES]).astype(dtype)
            yield f"{operator} {np.dtype(dtype).name}", evaluate(operator, {}, [values])


def measure_digests():
    """Return the digest of each function, operator and algorithm."""
    groups = (list_functions(), list_algebra(), list_operators())
    return {name: digest(results) for group in groups for name, results in group}


def read_golden():
    """Return the digests that every machine must come to."""
    return json.loads(GOLDEN.read_text())


def main():
    digests = measure_digests()
    if sys.argv[1:] == ["--write"]:
        GOLDEN.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
        return 0
    golden = read_golden()
    different = sorted(name for name in golden.keys() | digests.keys() if golden.get(name) != digests.get(name))
    print(f"{len(digests)} digests, {len(different)} differ from {GOLDEN.name}", *different, sep="\n")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
