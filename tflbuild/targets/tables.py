"""The tables by name."""

from __future__ import annotations

from tflbuild.targets import gpu
from tflbuild.targets.rules import Table

_ALL: tuple[Table, ...] = (gpu.TABLE,)
TABLES = {table.name: table for table in _ALL}
