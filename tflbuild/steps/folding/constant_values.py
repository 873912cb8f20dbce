"""Tensors that are known before their graph runs: values, and handles of variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tflbuild.steps.folding.flat_graph import FlatNode


@dataclass(frozen=True)
class VariableHandle:
    """An argument that is the handle of a variable that is never written."""

    variable: Any


@dataclass(frozen=True)
class KnownValue:
    """A tensor whose value is known.

    Attributes:
        read: Returns the value.
        leaf: The node that contains the value; None if the value was computed.
    """

    read: Callable[[], np.ndarray]
    leaf: FlatNode | None = None

    @property
    def array(self) -> np.ndarray:
        """The value. It is read anew each time, so that large weights are not in memory twice."""
        return self.read()


Bound = VariableHandle | KnownValue


def to_value(array: np.ndarray) -> KnownValue:
    """Return a computed array as a known value."""
    return KnownValue(lambda: array)


def read_constant(node: FlatNode) -> KnownValue:
    """Return the value of a Const node."""
    return KnownValue(lambda: tf.make_ndarray(node.definition.attr["value"].tensor), node)
