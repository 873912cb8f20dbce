"""Evaluate TensorFlow operators on constants so that the results have the same bits on every x86-64 and Arm CPU.

Two kinds of operators are covered. Those that round nothing are run by TensorFlow's own kernels (`exact_moves`). The
others are computed in float64 from operations that IEEE 754 defines exactly, in a fixed order, and rounded once to the
type of the result (`exact_elementwise`, `exact_reductions`, `exact_layers`).

Where TensorFlow's own result depends on the CPU or on the size of the array, a choice is made here:
- Subnormal numbers are kept, as IEEE 754 says; TensorFlow's threads take them for zero.
- Each NaN that is computed is the positive quiet NaN. The largest of values is NaN if one of them is, and so is a
  softmax; some kernels of TensorFlow lose such a NaN.
- The sign of a zero that a comparison chooses (Maximum, Relu) may be another one than TensorFlow's.

For an operator outside the table, and for inputs that TensorFlow's kernel refuses, `evaluate` returns None. Outside on
purpose:
- random, stateful and communicating operators, variables, tables, control flow and calls of functions;
- FakeQuant* and Quantize*, Dequantize, QuantizeAndDequantize*: they mark where a model is quantized;
- decompositions whose answer is not unique (Qr, Svd, SelfAdjointEig, Eig, Lu), MatrixExponential, MatrixLogarithm,
  MatrixSquareRoot, TridiagonalSolve;
- Bessel* but for I0, I0e, I1 and I1e, Betainc, Igamma*, Zeta, Polygamma;
- gradients (*Grad, *BackpropFilter, but transposed convolutions are covered) and losses of training, FusedBatchNorm*
  with `is_training`;
- operators that decide by computed floats (NonMaxSuppression*, CropAndResize, FractionalMaxPool);
- text of numbers (AsString), and encoded images and sounds.
Some cases of operators in the table are outside too: a cast to an integer type of NaN or of a value that the type does
not have, the index of the largest of values with a NaN, complex values in most operators, Einsum with more than two
inputs, and ScaleAndTranslate's kernel `box`.
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
# Results are float even where all inputs are integers.
FLOAT_RESULTS = frozenset({"Cast", "ResizeArea", "ResizeBicubic", "ResizeBilinear", "ScaleAndTranslate"})


def evaluate(operator: str, attributes: Mapping[str, Any], inputs: Sequence[Array]) -> list[Array] | None:
    """Evaluate an operator on constants.

    Args:
        operator: name of a TensorFlow operator, such as `Rsqrt`.
        attributes: plain values, as `read_attributes` returns them; missing ones have TensorFlow's defaults.
        inputs: the operator's inputs in the order of the NodeDef, without control inputs.

    Returns:
        One array for each output, or None where the operator, or this case of it, is outside the table.
    """
    arrays = [np.asarray(each) for each in inputs]
    if operator in MOVED:
        return exact_data_movement.run_kernel(operator, attributes, arrays)
    if operator not in OPERATORS:
        return None
    if operator not in FLOAT_RESULTS and all(exact_data_movement.is_whole(each) for each in arrays):
        return exact_data_movement.run_kernel(operator, attributes, arrays)
    function = ROUNDED.get(operator)
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            results = function(attributes, arrays)
    except (ArithmeticError, LookupError, ValueError):
        return None  # inputs that TensorFlow's kernel refuses too, such as shapes that do not fit each other
    return None if results is None else [np.asarray(result) for result in results]


def read_attributes(node: Any) -> dict[str, Any]:
    """Return the attributes of a NodeDef as plain values.

    Types become NumPy types, shapes lists of sizes (-1 where unknown; None for an unknown rank), tensors arrays, and
    functions their names. Types without a NumPy type, such as `resource`, become TensorFlow's names for them.
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
