"""Operators with some constant operands. TFLiteConverter replaces each by several others, and folds some."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tflbuild.exact.exact_arithmetic import round_to
from tflbuild.exact.exact_evaluator import evaluate
from tflbuild.steps.folding.flat_graph import FlatNode, NodeOutput, read_attribute
from tflbuild.steps.folding.graph_nodes import make_constant, make_node, output_types

DIVISIONS = ("RealDiv", "Div", "DivNoNan")
# Operator -> the function of the constant operand by which the other operand is multiplied.
PRODUCTS = {"Xlogy": "Log", "Xlog1py": "Log1p", "Xdivy": "Reciprocal"}


def make_product(node: FlatNode, x: NodeOutput, constant: np.ndarray, name: str) -> list[FlatNode] | None:
    """Return nodes for x * f(constant), in place of an operator of `DIVISIONS` or `PRODUCTS`.

    Args:
        node: The operator.
        x: Its first operand in the new graph.
        constant: The value of its second operand.
        name: The name of the factor f(constant), which is rounded once to the type of the result.

    Returns:
        The nodes. None if the product could differ from the operator.
    """
    dtype = next(output_types(node.definition))
    factor = find_factor(node.op, constant, np.dtype(dtype.as_numpy_dtype))
    if factor is None:
        return None
    return [
        FlatNode(make_constant(name, factor), ()),
        make_node(node.name, "Mul", [x, NodeOutput(name)], T=dtype),
    ]


def find_factor(operator: str, constant: np.ndarray, dtype: np.dtype) -> np.ndarray | None:
    """Return the factor of an operator, of the given type. None if zero times the factor is not zero."""
    if operator in PRODUCTS:
        results = evaluate(PRODUCTS[operator], {}, [constant])
        return None if results is None or not np.isfinite(results[0]).all() else results[0]
    nonzero = constant != 0 if operator == "DivNoNan" else True
    with np.errstate(divide="ignore"):
        inverse = np.where(nonzero, 1.0 / constant.astype(np.float64), 0.0)
    return round_to(inverse, dtype)


def split_by_variance(
    node: FlatNode, inputs: Sequence[NodeOutput], variance: np.ndarray, new_name: Callable[[str], str]
) -> list[FlatNode] | None:
    """Return the products and sums of a batch normalization whose variance is the only known parameter.

    Args:
        node: A FusedBatchNorm of any version.
        inputs: x, scale, offset and mean in the new graph.
        variance: The variance, float32 of shape [channels].
        new_name: Returns a name that no node of the graph has, similar to its argument.

    Returns:
        The nodes, which are those that TFLiteConverter would make. None in cases in which it makes others: training
        mode, channels first, and types other than float32.
    """

    attributes = {
        name: read_attribute(node.definition, name) for name in ("T", "data_format", "is_training", "epsilon")
    }
    channels_first = attributes["data_format"].s.startswith(b"NC")
    if attributes["is_training"].b or channels_first or attributes["T"].type != tf.float32.as_datatype_enum:
        return None
    epsilon = float(np.float32(attributes["epsilon"].f))
    inverse = (1.0 / np.sqrt(variance.astype(np.float64) + epsilon)).astype(np.float32)
    constant = FlatNode(make_constant(new_name(f"{node.name}/inverse"), inverse), ())
    x, scale, offset, mean = inputs
    names = {key: new_name(f"{node.name}/{key}") for key in ("factor", "product", "shift", "rest")}
    steps = (
        (names["factor"], "Mul", scale, NodeOutput(constant.name)),
        (names["product"], "Mul", x, NodeOutput(names["factor"])),
        (names["shift"], "Mul", mean, NodeOutput(names["factor"])),
        (names["rest"], "Sub", offset, NodeOutput(names["shift"])),
        (node.name, "AddV2", NodeOutput(names["product"]), NodeOutput(names["rest"])),
    )
    return [constant, *(make_node(name, operator, operands, T=tf.float32) for name, operator, *operands in steps)]
