"""What is known of a tensor before its graph runs: its value, or the variable that it is the handle of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tflbuild.steps.folding.flat_graph import FlatNode


@dataclass(frozen=True)
class VariableHandle:
    """A variable that nothing writes, as an argument."""

    variable: Any


@dataclass(frozen=True)
class KnownValue:
    """A tensor whose value is known. `leaf` is the node that holds it, None for one that was computed."""

    read: Callable[[], np.ndarray]
    leaf: FlatNode | None = None

    @property
    def array(self) -> np.ndarray:
        """The value itself. What is read from a variable is not kept: large weights would be held twice."""
        return self.read()


Bound = VariableHandle | KnownValue


def to_value(array: np.ndarray) -> KnownValue:
    """Return the value of a tensor that was computed."""
    return KnownValue(lambda: array)


def read_constant(node: FlatNode) -> KnownValue:
    """Return the value of a Const node."""
    return KnownValue(lambda: tf.make_ndarray(node.definition.attr["value"].tensor), node)
