"""What `check` read in an artifact, as JSON, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fused_text(contents: Mapping[str, Any]) -> str:
    """`RELU6 x11, batch norm x11, bias x1; batch norm stays in a, b`, "" when nothing was fused and none stays."""
    fused = contents["fused"]
    counts = {**fused["activations"], "batch norm": fused["batch_norms"], "bias": fused["biases"]}
    told = [", ".join(f"{name} x{count}" for name, count in counts.items() if count)]
    told += [f"batch norm stays in {', '.join(fused['stayed'])}"] if fused["stayed"] else []
    return "; ".join(filter(None, told))


def list_unknown_features(contents: Mapping[str, Any]) -> list[str]:
    """Return what the model asks of a runtime and no runtime was tried with: the least runtime leaves it out."""
    return [entry["feature"] for entry in contents["features"] if not entry["runtime"]]


def list_decisive_features(contents: Mapping[str, Any]) -> list[str]:
    """Return the features that the least runtime is the first to run right."""
    return [entry["feature"] for entry in contents["features"] if entry["runtime"] == contents["least_runtime"]]
