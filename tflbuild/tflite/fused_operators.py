"""Operators that conversion fused into others: activations, batch norms and biases.

A fused activation is an option of the operator. An operator that was folded into weights is only visible in the name of
the operator's output, which the converter joins from the names of all operators that it replaces.
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
    """Count fused and folded operators.

    Returns:
        `activations` by name, the numbers of `batch_norms` and `biases`, and in `stayed` the layers whose batch norm
        was not folded.
    """
    folded: dict[str, set[str]] = {"batch_norms": set(), "biases": set()}
    stayed: set[str] = set()
    activations: Counter[str] = Counter()
    for _, op, name in each_operator(model):
        if op.activation:
            activations[op.activation] += 1
        norms = set(find_layers(BATCH_NORM, name))
        if op.name in WEIGHTED:
            folded["batch_norms"] |= norms
            folded["biases"] |= set(find_layers(BIAS, name))
        else:
            stayed |= norms
    return {
        "activations": dict(sorted(activations.items())),
        **{kind: len(names) for kind, names in folded.items()},
        "stayed": sorted(stayed - folded["batch_norms"]),
    }


def find_layers(pattern: re.Pattern[str], name: str) -> Iterator[str]:
    """Yield the layers that match a pattern in the joined names of an operator."""
    for part in name.split(";"):
        if match := pattern.match(part):
            yield match["layer"]
