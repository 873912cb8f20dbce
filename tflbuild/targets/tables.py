"""The tables by name."""

from __future__ import annotations

from tflbuild.targets.coreml import TABLE as COREML
from tflbuild.targets.edgetpu import TABLE as EDGETPU
from tflbuild.targets.hexagon import TABLE as HEXAGON
from tflbuild.targets.nnapi import TABLE as NNAPI
from tflbuild.targets.rules import Table

_ALL: tuple[Table, ...] = (COREML, EDGETPU, HEXAGON, NNAPI)
TABLES = {table.name: table for table in _ALL}
