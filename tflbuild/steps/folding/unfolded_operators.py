"""Write and read the list of operators on constants that `import` leaves to TFLiteConverter: a snapshot's `tied.json`.

The converter's results for them may differ between CPUs, so they are ties of each artifact that is made of the
snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tflbuild.core.cpu_dependence import CpuDependence, add_cpu_dependence, read_cpu_dependence

UNFOLDED = "tied.json"


def write_unfolded(snapshot: Path, unfolded: Iterable[CpuDependence]) -> None:
    """Write into a snapshot's folder which operators on constants are left to TFLiteConverter."""
    (snapshot / UNFOLDED).write_text(json.dumps(add_cpu_dependence({}, unfolded), indent=1))


def read_unfolded(snapshot: Path) -> tuple[CpuDependence, ...]:
    """Return what `write_unfolded` wrote, sorted."""
    return read_cpu_dependence(json.loads((snapshot / UNFOLDED).read_text()))
