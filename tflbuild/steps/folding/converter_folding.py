"""The constant folding of TFLiteConverter: which results it stores, and which operators it computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflbuild.exact import exact_data_movement
from tflbuild.steps.folding.flat_graph import FlatNode
from tflbuild.steps.folding.graph_nodes import output_types

# The converter stores a result of at most 1 MB (2^23 bits), or of at most twice the size of its operands:
# tensorflow/compiler/mlir/tensorflow/transforms/constant_fold_utils
SMALL_BYTES = 2**23 // 8
GROWTH = 2
COMPARISONS = ("Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "NotEqual")
LOGIC = ("LogicalAnd", "LogicalNot", "LogicalOr")
# The converter stores results of these operators whatever their size (tested with 2 MB made of 3 kB). Some are folded
# as TensorFlow's operators, some as TFLite's.
OF_ANY_SIZE = frozenset(
    (
        *("Add", "AddV2", "BiasAdd", "Div", "DivNoNan", "Einsum", "Fill", "LinSpace", "MatMul", "Maximum", "Minimum"),
        *("Mul", "Pow", "Range", "RealDiv", "Sub", "Xdivy", "Xlog1py", "Xlogy", *COMPARISONS, *LOGIC),
    )
)
# The converter does not fold these, since they mark where a model is quantized.
MARKS = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "FakeQuantWithMinMaxArgs")
# TensorFlow's kernels of these operators are bit-exact on every CPU.
EXACT = frozenset(
    (
        *("Abs", "Add", "AddV2", "BiasAdd", "Cast", "Ceil", "ClipByValue", "Floor", "Max", "Maximum", "Merge", "Min"),
        *("Minimum", "Mul", "Neg", "Relu", "Relu6", "Rint", "Round", "Sign", "Sqrt", "Square", "Sub", "Switch"),
        *(*COMPARISONS, *LOGIC, *exact_data_movement.MOVES, *exact_data_movement.SHAPES, *exact_data_movement.INTEGERS),
    )
)


def is_stored(operator: str, outputs: Sequence[np.ndarray], operands: Sequence[np.ndarray]) -> bool:
    """Return whether the converter stores the result of an operator on constants. Otherwise it keeps the operator."""
    if operator in OF_ANY_SIZE or (operator == "Cast" and operands[0].dtype == bool):
        return True
    size = sum(output.nbytes for output in outputs)
    return size <= max(SMALL_BYTES, GROWTH * sum(array.nbytes for array in operands))


def rounds_by_cpu(node: FlatNode) -> bool:
    """Return whether TensorFlow's kernel of an operator may return other floating-point numbers on another CPU."""
    floating = any(dtype.is_floating or dtype.is_complex for dtype in output_types(node.definition))
    return floating and node.op not in EXACT
