"""Evaluation of TensorFlow operators on constants, with the same bits on every x86-64 and Arm CPU.

Two kinds of operators are supported. Those that do not round are run by TensorFlow's own kernels
(`exact_data_movement`). The others are computed in float64, from operations that IEEE 754 defines exactly, in a fixed
order, and rounded once to the type of the result (`exact_elementwise`, `exact_reductions`, `exact_layers`).

In some cases TensorFlow's own result depends on the CPU or on the size of the array. This module then does the
following:
- Subnormal numbers stay subnormal, as IEEE 754 defines. TensorFlow's threads replace them by zero.
- Each NaN that is computed is the positive quiet NaN. A maximum is NaN if one of the values is NaN, and so is a
  softmax. Some kernels of TensorFlow lose such a NaN.
- The sign of a zero that a comparison selects (Maximum, Relu) may differ from TensorFlow's.

`evaluate` returns None for an operator that is not in the table, and for inputs that TensorFlow's kernel refuses. These
operators are not in the table on purpose:
- random, stateful and communicating operators, variables, tables, control flow and calls of functions;
- FakeQuant* and Quantize*, Dequantize, QuantizeAndDequantize*: they mark where a model is quantized;
- decompositions whose result is not unique (Qr, Svd, SelfAdjointEig, Eig, Lu), MatrixExponential, MatrixLogarithm,
  MatrixSquareRoot, TridiagonalSolve;
- Bessel* except I0, I0e, I1 and I1e, Betainc, Igamma*, Zeta, Polygamma;
- gradients (*Grad, *BackpropFilter; transposed convolutions are supported) and losses of training, FusedBatchNorm* with
  `is_training`;
- operators with decisions that depend on computed floats (NonMaxSuppression*, CropAndResize, FractionalMaxPool);
- conversion of numbers to text (AsString), and encoded images and sounds.
Some cases of operators in the table are not supported either: a cast of NaN, or of a value outside the type, to an
integer type; the index of a maximum if a value is NaN; complex values in most operators; Einsum with more than two
inputs; and the kernel `box` of ScaleAndTranslate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tflbuild.exact import exact_data_movement, exact_elementwise, exact_layers, exact_reductions
from tflbuild.exact.exact_arithmetic import Array
from tflbuild.exact.exact_elementwise import Operator

ROUNDED: dict[str, Operator] = {
    **exact_elementwise.OPERATORS,
    **exact_reductions.OPERATORS,
    **exact_layers.OPERATORS,
}
MOVED = exact_data_movement.MOVES | exact_data_movement.SHAPES
OPERATORS = frozenset(ROUNDED) | MOVED | exact_data_movement.INTEGERS
# Operators whose results may be float even if all inputs are integers.
FLOAT_RESULTS = frozenset({"Cast", "ResizeArea", "ResizeBicubic", "ResizeBilinear", "ScaleAndTranslate"})


def evaluate(operator: str, attributes: Mapping[str, Any], inputs: Sequence[Array]) -> list[Array] | None:
    """Evaluate an operator on constants.

    Args:
        operator: The name of a TensorFlow operator, such as `Rsqrt`.
        attributes: Plain values, as `read_attributes` returns them. Missing attributes have TensorFlow's defaults.
        inputs: The inputs in the order of the NodeDef, without control inputs.

    Returns:
        One array for each output; None if the operator, or this case of it, is not supported.
    """
    arrays = [np.asarray(array) for array in inputs]
    if operator in MOVED:
        return exact_data_movement.run_kernel(operator, attributes, arrays)
    if operator not in OPERATORS:
        return None
    if operator not in FLOAT_RESULTS and all(exact_data_movement.is_whole(array) for array in arrays):
        return exact_data_movement.run_kernel(operator, attributes, arrays)
    function = ROUNDED.get(operator)
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            results = function(attributes, arrays)
    # TensorFlow's kernel refuses these inputs too, such as shapes that do not match.
    except (ArithmeticError, LookupError, ValueError):
        return None
    return None if results is None else [np.asarray(result) for result in results]


def read_attributes(node: Any) -> dict[str, Any]:
    """Return the attributes of a NodeDef as plain values.

    A type becomes a NumPy type, or its TensorFlow name if NumPy does not have it, such as `resource`. A shape becomes a
    list of sizes (-1 for an unknown size), or None if its rank is unknown. A tensor becomes an array, and a function
    becomes its name.
    """
    return {name: _read_value(value) for name, value in node.attr.items() if not name.startswith("_")}


def _read_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "list":
        return _read_list(value.list)
    return _read_item(kind, getattr(value, kind)) if kind else None


def _read_list(values: Any) -> list[Any]:
    for field, items in values.ListFields():
        return [_read_item(field.name, item) for item in items]
    return []


def _read_item(kind: str, item: Any) -> Any:
    from tensorflow import as_dtype, make_ndarray

    if kind == "type":
        dtype = as_dtype(item)
        try:
            return np.dtype(dtype.as_numpy_dtype)
        except (TypeError, KeyError):
            return dtype.name
    if kind == "shape":
        return None if item.unknown_rank else [int(axis.size) for axis in item.dim]
    if kind == "tensor":
        return make_ndarray(item)
    return item.name if kind == "func" else item
