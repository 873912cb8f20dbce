"""The tables by name."""

from __future__ import annotations

from tflbuild.targets import ethos_u, tflm
from tflbuild.targets.rules import Table

_ALL: tuple[Table, ...] = (ethos_u.U55, ethos_u.U65, ethos_u.U85, tflm.TABLE)
TABLES = {table.name: table for table in _ALL}
