"""The file `tied.json` of a snapshot: operators on constants that `import` leaves to TFLiteConverter.

The converter's results for them may differ between CPUs, so artifacts that are made from the snapshot are
CPU-dependent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tflbuild.core.cpu_dependence import CpuDependence, add_cpu_dependence, read_cpu_dependence

UNFOLDED = "tied.json"


def write_unfolded(snapshot: Path, unfolded: Iterable[CpuDependence]) -> None:
    """Write the list of operators on constants that are left to TFLiteConverter to the folder of a snapshot."""
    (snapshot / UNFOLDED).write_text(json.dumps(add_cpu_dependence({}, unfolded), indent=1))


def read_unfolded(snapshot: Path) -> tuple[CpuDependence, ...]:
    """Read the list that `write_unfolded` wrote. It is sorted."""
    return read_cpu_dependence(json.loads((snapshot / UNFOLDED).read_text()))
