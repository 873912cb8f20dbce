"""Operators on constants that are left to TFLiteConverter, as a snapshot keeps them in `tied.json`.

What the converter makes of them may differ between CPUs, so they are ties of what is converted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tflbuild.core.ties import Tie, add_ties, read_ties

UNFOLDED = "tied.json"


def write_unfolded(snapshot: Path, unfolded: Iterable[Tie]) -> None:
    """Keep beside a snapshot which operators on constants are left to TFLiteConverter."""
    (snapshot / UNFOLDED).write_text(json.dumps(add_ties({}, unfolded), indent=1))


def read_unfolded(snapshot: Path) -> tuple[Tie, ...]:
    """Return what `write_unfolded` kept, sorted."""
    return read_ties(json.loads((snapshot / UNFOLDED).read_text()))
