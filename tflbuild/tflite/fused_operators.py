"""What conversion made one operator of: activations, batch norms and biases that are no operators any more.

A fused activation stands in the operator's own options. What was folded into weights stands nowhere but in
the name of the operator's output, which the converter joins from those of all that it replaces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tflbuild.tflite.rules import WEIGHTED, each_operator
from tflbuild.tflite.tflite_model import Model

BATCH_NORM = re.compile(r"(?P<layer>.+?)/(?:batchnorm|FusedBatchNorm\w*)(?:/|\d|$)")
BIAS = re.compile(r"(?P<layer>.+?)/BiasAdd\w*$")


def describe_fusions(model: Model) -> dict[str, Any]:
    """`activations` by name and `batch_norms`, `biases` by count, and the layers whose batch norm `stayed`."""
    folded: dict[str, set[str]] = {"batch_norms": set(), "biases": set()}
    stayed: set[str] = set()
    activations: Counter[str] = Counter()
    for _, op, name in each_operator(model):
        if op.activation:
            activations[op.activation] += 1
        norms = set(layers(BATCH_NORM, name))
        if op.name in WEIGHTED:
            folded["batch_norms"] |= norms
            folded["biases"] |= set(layers(BIAS, name))
        else:
            stayed |= norms
    return {
        "activations": dict(sorted(activations.items())),
        **{what: len(found) for what, found in folded.items()},
        "stayed": sorted(stayed - folded["batch_norms"]),
    }


def layers(pattern: re.Pattern[str], name: str) -> Iterator[str]:
    """The layers that an operator's joined names mention."""
    for part in name.split(";"):
        if found := pattern.match(part):
            yield found["layer"]
