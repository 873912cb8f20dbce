"""Batch normalization with constant parameters, replaced by a product and a sum.

TFLiteConverter would do the same, but with a division and a square root whose results differ between CPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tflbuild.exact.exact_arithmetic import round_to
from tflbuild.steps.folding.flat_graph import FlatNode, NodeOutput, read_attribute
from tflbuild.steps.folding.graph_nodes import make_constant, make_node

BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


@dataclass(frozen=True)
class SplitNorm:
    """The replacement of a batch normalization.

    Attributes:
        nodes: The new nodes. The last one has the name of the batch normalization.
        statistics: The other outputs of the batch normalization, by index. They are constants.
    """

    nodes: tuple[FlatNode, ...]
    statistics: Mapping[int, np.ndarray] = field(default_factory=dict)


def split_batch_norm(
    node: FlatNode,
    x: NodeOutput,
    parameters: list[np.ndarray],
    read_rank: Callable[[], int | None],
    new_name: Callable[[str], str],
) -> SplitNorm | None:
    """Return nodes for x * m + b, with m = scale / sqrt(variance + epsilon) and b = offset - mean * m.

    Both constants are computed in float64, and rounded once to the type of x.

    Args:
        node: A FusedBatchNorm of any version.
        x: Its first input in the new graph.
        parameters: Scale, offset, mean and variance, each float32 of shape [channels].
        read_rank: Returns the number of dimensions of x, or None if it is not known. It is called only if the layout
            is channels first.
        new_name: Returns a name that no node of the graph has, similar to its argument.

    Returns:
        The nodes. None in training mode, or if the layout is channels first and the rank of x is not known.
    """

    def read(name: str) -> Any:
        return read_attribute(node.definition, name)

    if read("is_training").b:
        return None
    scale, offset, mean, variance = (array.astype(np.float64) for array in parameters)
    epsilon = float(np.float32(read("epsilon").f))
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + epsilon)
        values = {"mul": factor, "add": offset - mean * factor}
    dtype = tf.dtypes.as_dtype(read("T").type)
    if read("data_format").s.startswith(b"NC"):
        rank = read_rank()
        if rank is None:
            return None
        values = {name: array.reshape(-1, *[1] * (rank - 2)) for name, array in values.items()}
    constants = {
        name: FlatNode(
            make_constant(new_name(f"{node.name}/{name}/y"), round_to(array, np.dtype(dtype.as_numpy_dtype))), ()
        )
        for name, array in values.items()
    }
    product = make_node(new_name(f"{node.name}/mul"), "Mul", [x, NodeOutput(constants["mul"].name)], T=dtype)
    total = make_node(node.name, "AddV2", [NodeOutput(product.name), NodeOutput(constants["add"].name)], T=dtype)
    # In inference mode, outputs 1 and 3 are the mean, and outputs 2 and 4 are the variance.
    statistics = {index: parameters[2 if index % 2 else 3] for index in range(1, 5)}
    return SplitNorm((constants["mul"], product, constants["add"], total), statistics)
