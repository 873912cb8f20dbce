"""The tables by name."""

from __future__ import annotations

from tflbuild.targets import coreml, edgetpu, ethos_u, gpu, hexagon, nnapi, tflm
from tflbuild.targets.rules import Table

_ALL: tuple[Table, ...] = (
    gpu.TABLE,
    *(ethos_u.U55, ethos_u.U65, ethos_u.U85, tflm.TABLE),
    *(edgetpu.TABLE, nnapi.TABLE, hexagon.TABLE, coreml.TABLE),
)
TABLES = {table.name: table for table in _ALL}
