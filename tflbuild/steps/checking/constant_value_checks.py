"""Checks for unusable constants: NaN, new infinities, and scales that no kernel can divide by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.tflite_model import Model

FLOAT_TYPES: dict[str, Any] = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
LARGEST_FLOAT16 = 65504
# The smallest normal float32.
SMALLEST_SCALE = 2.0**-126


@dataclass(frozen=True)
class NonFiniteConstant:
    """A constant of `count` values, of which `nan` are NaN and `infinite` are infinite."""

    name: str
    type: str
    nan: int
    infinite: int
    count: int


def check_finite(
    model: Model, buffers: Sequence[bytes], source: Model | None, source_buffers: Sequence[bytes]
) -> Iterator[Finding]:
    """Yield constants with NaN, and constants with infinities in an artifact whose float model has none.

    An infinity that the float model contains, such as that of an attention mask, is the source's own. Whether outputs
    are finite is measured where the artifact runs.

    Args:
        model: The artifact.
        buffers: The bytes of its buffers.
        source: The float model from which it was made. None if the artifact is the float model.
        source_buffers: The bytes of the float model's buffers.
    """
    source_constants = [] if source is None else list(count_non_finite(source, source_buffers))
    step = "quantizing made them" if source is not None else "the source holds them, or converting it made them"
    for constant in count_non_finite(model, buffers):
        where = f"of {constant.count:,} values of the constant {constant.name}"
        if constant.nan:
            origin = (
                "the float model holds NaN too: they are the source's"
                if any(other.nan for other in source_constants)
                else step
            )
            yield Finding("finite", f"{constant.nan:,} {where} are NaN; {origin}")
        elif source is not None and not any(other.infinite for other in source_constants):
            reason = f"; a float16 holds at most {LARGEST_FLOAT16}" if constant.type == "float16" else ""
            yield Finding("finite", f"{constant.infinite:,} {where} are infinite{reason}; {step}")


def count_non_finite(model: Model, buffers: Sequence[bytes]) -> Iterator[NonFiniteConstant]:
    """Yield each constant with values that are not finite."""
    checked_buffers = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            dtype = FLOAT_TYPES.get(tensor.type)
            if not tensor.constant or dtype is None or tensor.buffer in checked_buffers:
                continue
            checked_buffers.add(tensor.buffer)
            values = np.frombuffer(buffers[tensor.buffer], dtype)
            if not np.isfinite(values).all():
                nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
                yield NonFiniteConstant(tensor.name, tensor.type, nan, infinite, values.size)


def check_scales(model: Model) -> Iterator[Finding]:
    """Yield scales that are not normal positive numbers. Processors that flush to zero read smaller ones as 0."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            invalid = [scale for scale in tensor.scales if not math.isfinite(scale) or scale < SMALLEST_SCALE]
            if invalid:
                more = f", as {len(invalid) - 1} more of its {len(tensor.scales)}" if len(invalid) > 1 else ""
                yield Finding("scale", f"{tensor.name} has the scale {invalid[0]}{more}")
