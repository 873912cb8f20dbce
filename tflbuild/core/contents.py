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


def unknown_versions(contents: Mapping[str, Any]) -> list[str]:
    """Builtin operators of versions that no known runtime is listed for: the least runtime leaves them out."""
    own = {*contents["flex_operators"], *contents["custom_operators"]}
    return [
        f"{entry['name']} version {entry['version']}"
        for entry in contents["operator_versions"]
        if not entry["runtime"] and entry["name"] not in own
    ]
