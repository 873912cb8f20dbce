"""The support tables of all targets, by name."""

from __future__ import annotations

from tflbuild.targets.common.rules import SupportTable
from tflbuild.targets.coreml import table as coreml
from tflbuild.targets.edgetpu import table as edgetpu
from tflbuild.targets.ethos_u import table as ethos_u
from tflbuild.targets.gpu import table as gpu
from tflbuild.targets.hexagon import table as hexagon
from tflbuild.targets.nnapi import table as nnapi
from tflbuild.targets.tflm import table as tflm

_ALL: tuple[SupportTable, ...] = (
    gpu.TABLE,
    *(ethos_u.U55, ethos_u.U65, ethos_u.U85, tflm.TABLE),
    *(edgetpu.TABLE, nnapi.TABLE, hexagon.TABLE, coreml.TABLE),
)
TABLES = {table.name: table for table in _ALL}
