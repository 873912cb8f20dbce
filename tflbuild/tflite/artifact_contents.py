"""Texts and lists derived from the contents of an artifact, as `check` describes them in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fused_text(contents: Mapping[str, Any]) -> str:
    """Return fused operators as text, "" without any.

    Example: `RELU6 x11, batch norm x11, bias x1; batch norm stays in a, b`.
    """
    fused = contents["fused"]
    counts = {**fused["activations"], "batch norm": fused["batch_norms"], "bias": fused["biases"]}
    parts = [", ".join(f"{name} x{count}" for name, count in counts.items() if count)]
    parts += [f"batch norm stays in {', '.join(fused['stayed'])}"] if fused["stayed"] else []
    return "; ".join(filter(None, parts))


def list_unknown_features(contents: Mapping[str, Any]) -> list[str]:
    """Return the runtime features that no runtime was tested with. The minimum runtime does not include them."""
    return [entry["feature"] for entry in contents["features"] if not entry["runtime"]]


def list_decisive_features(contents: Mapping[str, Any]) -> list[str]:
    """Return the runtime features because of which no runtime before the minimum runtime is sufficient."""
    return [entry["feature"] for entry in contents["features"] if entry["runtime"] == contents["least_runtime"]]
