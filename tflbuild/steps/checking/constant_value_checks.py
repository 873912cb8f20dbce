"""Unusable stored values: NaN, infinities that the source does not hold, scales that no kernel can divide by."""

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
LEAST_SCALE = 2.0**-126  # the smallest normal float32


@dataclass(frozen=True)
class NonFiniteConstant:
    """A constant of `count` values, some of which are NaN or infinite."""

    name: str
    type: str
    nan: int
    infinite: int
    count: int


def check_finite(
    model: Model, buffers: Sequence[bytes], source: Model | None, source_buffers: Sequence[bytes]
) -> Iterator[Finding]:
    """Yield NaN in any constant, and infinities in a model whose float model has none.

    An infinity that the float model has too, as the mask of an attention, is the source's own; whether outputs are
    finite is measured where the artifact is run.

    Args:
        model: The artifact.
        buffers: The bytes of its buffers.
        source: The float model that it was made of, None where the artifact is that.
        source_buffers: The bytes of the float model's buffers.
    """
    known = [] if source is None else list(count_non_finite(source, source_buffers))
    step = "quantizing made them" if source is not None else "the source holds them, or converting it made them"
    for wrong in count_non_finite(model, buffers):
        where = f"of {wrong.count:,} values of the constant {wrong.name}"
        if wrong.nan:
            whose = "the float model holds NaN too: they are the source's" if any(one.nan for one in known) else step
            yield Finding("finite", f"{wrong.nan:,} {where} are NaN; {whose}")
        elif source is not None and not any(one.infinite for one in known):
            why = f"; a float16 holds at most {LARGEST_FLOAT16}" if wrong.type == "float16" else ""
            yield Finding("finite", f"{wrong.infinite:,} {where} are infinite{why}; {step}")


def count_non_finite(model: Model, buffers: Sequence[bytes]) -> Iterator[NonFiniteConstant]:
    """Yield each constant with values that are not finite, and how many."""
    seen = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            kind = FLOAT_TYPES.get(tensor.type)
            if not tensor.constant or kind is None or tensor.buffer in seen:
                continue
            seen.add(tensor.buffer)
            values = np.frombuffer(buffers[tensor.buffer], kind)
            if not np.isfinite(values).all():
                nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
                yield NonFiniteConstant(tensor.name, tensor.type, nan, infinite, values.size)


def check_scales(model: Model) -> Iterator[Finding]:
    """Yield scales that are no normal number above zero: processors that flush to zero read smaller ones as 0."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            bad = [scale for scale in tensor.scales if not math.isfinite(scale) or scale < LEAST_SCALE]
            if bad:
                more = f", as {len(bad) - 1} more of its {len(tensor.scales)}" if len(bad) > 1 else ""
                yield Finding("scale", f"{tensor.name} has the scale {bad[0]}{more}")
