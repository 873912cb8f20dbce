"""Operators on constants that are left to TFLiteConverter, as a snapshot keeps them in `tied.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

UNFOLDED = "tied.json"


@dataclass(frozen=True, order=True)
class Unfolded:
    """An operator on constants that we do not fold: what the converter makes of it may differ between CPUs."""

    operator: str
    layer: str
    reason: str


def write_unfolded(place: Path, unfolded: Iterable[Unfolded]) -> None:
    """Keep beside a snapshot which operators on constants are left to TFLiteConverter."""
    (place / UNFOLDED).write_text(json.dumps([asdict(one) for one in sorted(unfolded)], indent=1))


def read_unfolded(snapshot: Path) -> list[dict[str, str]]:
    """Return what `write_unfolded` left: {operator, layer, reason} of each, which tie what is converted to the CPU."""
    return list(json.loads((snapshot / UNFOLDED).read_text()))
