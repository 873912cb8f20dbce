"""What `check` read in an artifact, as JSON, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unknown_versions(contents: Mapping[str, Any]) -> list[str]:
    """Builtin operators of versions that no known runtime is listed for: the least runtime leaves them out."""
    own = {*contents["flex_operators"], *contents["custom_operators"]}
    return [
        f"{entry['name']} version {entry['version']}"
        for entry in contents["operator_versions"]
        if not entry["runtime"] and entry["name"] not in own
    ]
