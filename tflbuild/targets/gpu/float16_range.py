"""The values of an artifact that 16-bit floats cannot represent.

A GPU computes in 16-bit floats, of which the largest is 65504.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.steps.datasets.sample_files import Arrays
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.tflite_model import Model, Tensor
from tflbuild.tflite.tflite_reader import read_buffers

LARGEST = 65504.0
# The smallest 16-bit float. Below half of it a number becomes 0.
SMALLEST = 2.0**-24
STORED: dict[str, Any] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
FIX = "let the app compile it for 32-bit floats (target.precision=float32), or scale the layer's inputs"


@dataclass(frozen=True)
class Float16Overflow:
    """A tensor with values that 16-bit floats cannot represent.

    Attributes:
        layer: The name of the tensor.
        op: The operator that produces it, "" for a constant.
        value: The largest magnitude.
        stored: Whether it is a constant.
        lost: The fraction of a constant's values that become 0, None if `value` is too large.
    """

    layer: str
    op: str
    value: float
    stored: bool
    lost: float | None = None

    def note(self) -> str:
        """Return the description of the problem as a note."""
        what = f"{self.op} {self.layer}" if self.op else self.layer
        if self.lost is not None:
            return f"{self.lost:.0%} of the constant {self.layer} becomes 0 in 16-bit floats; {FIX}"
        where = "holds" if self.stored else "reaches"
        return f"{what} {where} {self.value:.4g}, more than the {LARGEST:g} of 16-bit floats; {FIX}"


@dataclass(frozen=True)
class Float16Range:
    """The range of an artifact. `largest` is the largest magnitude of all activations, None if none was measured."""

    largest: float | None
    excesses: tuple[Float16Overflow, ...]

    def figures(self) -> dict[str, float]:
        """Return the largest magnitude of activations, and the headroom: the largest 16-bit float relative to it.

        If the headroom is below 1, activations overflow.
        """
        if self.largest is None or not np.isfinite(self.largest):
            return {}
        headroom = {"float16_headroom": LARGEST / self.largest} if self.largest > 0 else {}
        return {"max_abs_activation": self.largest, **headroom}


def float16_range(path: Path, model: Model, key: str, feeds: Sequence[Arrays], kernels: str) -> Float16Range:
    """Run the inputs on this host's CPU with all activations kept, and examine the constants.

    Args:
        path: The artifact.
        model: Its contents.
        key: The signature name.
        feeds: For each call the inputs by name, in the artifact's types.
        kernels: Those of `interpreters.open_signature`.
    """
    runner = open_signature(path, key, kernels, preserve=True)
    graph = model.subgraphs[runner.subgraph]
    producers = {output: op.name for op in graph.ops for output in op.outputs}
    largest: dict[int, float] = {}
    for feed in feeds:
        runner(feed)
        for index, tensor in enumerate(graph.tensors):
            if (index in producers or index in graph.inputs) and _is_real(tensor):
                largest[index] = max(
                    largest.get(index, 0.0), _magnitude(runner.interpreter, runner.subgraph, index, tensor)
                )
    overflows = [
        Float16Overflow(graph.tensors[index].name, producers.get(index, ""), value, stored=False)
        for index, value in largest.items()
        if not value <= LARGEST
    ]
    return Float16Range(max(largest.values(), default=None), (*overflows, *_constants(path, model, runner.subgraph)))


def _is_real(tensor: Tensor) -> bool:
    return not tensor.constant and (tensor.type in STORED or bool(tensor.scales))


def _magnitude(interpreter: object, subgraph: int, index: int, tensor: Tensor) -> float:
    """Return the largest magnitude of a tensor as a real value. It is infinite if there is a NaN."""
    try:
        values = np.asarray(interpreter.get_tensor(index, subgraph), np.float64)  # type: ignore[attr-defined]
    except ValueError:
        # The tensor was not computed: it is a variable, or an optimized graph does not need it.
        return 0.0
    if tensor.scales:
        values = (values - tensor.zero_points[0]) * tensor.scales[0]
    magnitude = float(np.abs(values).max(initial=0.0))
    return magnitude if np.isfinite(magnitude) else float("inf")


def _constants(path: Path, model: Model, subgraph: int) -> list[Float16Overflow]:
    """Return constants that overflow, or of which most values become 0."""
    buffers = read_buffers(path)
    overflows = []
    for tensor in model.subgraphs[subgraph].tensors:
        if not tensor.constant or tensor.type not in STORED:
            continue
        values = np.abs(np.frombuffer(buffers[tensor.buffer], STORED[tensor.type]).astype(np.float64))
        largest = float(values.max(initial=0.0))
        nonzero = int((values > 0).sum())
        lost = float(((values > 0) & (values < SMALLEST / 2)).sum() / nonzero) if nonzero else 0.0
        if largest > LARGEST:
            overflows.append(Float16Overflow(tensor.name, "", largest, stored=True))
        elif lost > 0.5:
            overflows.append(Float16Overflow(tensor.name, "", largest, stored=True, lost=lost))
    return overflows
