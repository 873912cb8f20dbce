"""What of an artifact 16-bit floats cannot hold: a GPU computes in them, and 65504 is the largest there is."""

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
SMALLEST = 2.0**-24  # below half of it a number becomes 0
STORED: dict[str, Any] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
FIX = "have the app compile it for 32-bit floats (target.precision=float32), or scale what comes into the layer"


@dataclass(frozen=True)
class Float16Overflow:
    """A tensor that 16-bit floats cannot hold. `layer` is its name, `value` the largest magnitude seen or stored.

    `lost` is the share of a stored tensor's values that would become 0, None where `value` is too large.
    """

    layer: str
    op: str
    value: float
    stored: bool
    lost: float | None = None

    def note(self) -> str:
        """For a person."""
        what = f"{self.op} {self.layer}" if self.op else self.layer
        if self.lost is not None:
            return f"{self.lost:.0%} of the constant {self.layer} becomes 0 in 16-bit floats; {FIX}"
        where = "holds" if self.stored else "reaches"
        return f"{what} {where} {self.value:.4g}, more than the {LARGEST:g} of 16-bit floats; {FIX}"


@dataclass(frozen=True)
class Float16Range:
    """`largest`: of all activations' magnitudes as real values, where feeds were run; None where none was kept."""

    largest: float | None
    excesses: tuple[Float16Overflow, ...]

    def figures(self) -> dict[str, float]:
        """How far activations are from what 16-bit floats can hold, as a factor; what is below 1 overflows."""
        if self.largest is None or not np.isfinite(self.largest):
            return {}
        headroom = {"float16_headroom": LARGEST / self.largest} if self.largest > 0 else {}
        return {"max_abs_activation": self.largest, **headroom}


def float16_range(path: Path, model: Model, key: str, feeds: Sequence[Arrays], kernels: str) -> Float16Range:
    """Runs the feeds on this host's CPU with all tensors kept, and looks at what the file stores."""
    running = open_signature(path, key, kernels, preserve=True)
    graph = model.subgraphs[running.subgraph]
    makers = {output: op.name for op in graph.ops for output in op.outputs}
    largest: dict[int, float] = {}
    for feed in feeds:
        running(feed)
        for index, tensor in enumerate(graph.tensors):
            if (index in makers or index in graph.inputs) and _is_real(tensor):
                largest[index] = max(
                    largest.get(index, 0.0), _magnitude(running.interpreter, running.subgraph, index, tensor)
                )
    over = [
        Float16Overflow(graph.tensors[index].name, makers.get(index, ""), value, stored=False)
        for index, value in largest.items()
        if not value <= LARGEST
    ]
    return Float16Range(max(largest.values(), default=None), (*over, *_constants(path, model, running.subgraph)))


def _is_real(tensor: Tensor) -> bool:
    return not tensor.constant and (tensor.type in STORED or bool(tensor.scales))


def _magnitude(interpreter: object, subgraph: int, index: int, tensor: Tensor) -> float:
    """The largest magnitude as a real value; infinite where there is a NaN."""
    try:
        values = np.asarray(interpreter.get_tensor(index, subgraph), np.float64)  # type: ignore[attr-defined]
    except ValueError:
        return 0.0  # it was never computed: a variable's, or one that an optimized graph does without
    if tensor.scales:
        values = (values - tensor.zero_points[0]) * tensor.scales[0]
    found = float(np.abs(values).max(initial=0.0))
    return found if np.isfinite(found) else float("inf")


def _constants(path: Path, model: Model, subgraph: int) -> list[Float16Overflow]:
    """Stored numbers that overflow, or of which most vanish."""
    buffers = read_buffers(path)
    found = []
    for tensor in model.subgraphs[subgraph].tensors:
        if not tensor.constant or tensor.type not in STORED:
            continue
        values = np.abs(np.frombuffer(buffers[tensor.buffer], STORED[tensor.type]).astype(np.float64))
        largest = float(values.max(initial=0.0))
        there = int((values > 0).sum())
        lost = float(((values > 0) & (values < SMALLEST / 2)).sum() / there) if there else 0.0
        if largest > LARGEST:
            found.append(Float16Overflow(tensor.name, "", largest, stored=True))
        elif lost > 0.5:
            found.append(Float16Overflow(tensor.name, "", largest, stored=True, lost=lost))
    return found
