"""The agreement of support tables with devices and their compilers. For the docs only, and part of no cache key."""

from __future__ import annotations

from collections.abc import Mapping

from tflbuild.targets.ethos_u import table as ethos_u
from tflbuild.targets.gpu import measured_runs as gpu_measured
from tflbuild.targets.tflm import table as tflm

# A case of tests/one_op_cases.py or a similar file -> the result.
Cases = Mapping[str, str]

# Table -> the cases in which it differs from the device or its compiler, and why this is accepted.
DISAGREEMENTS: dict[str, Cases] = {
    "gpu": gpu_measured.DISAGREEMENTS,
    **ethos_u.DISAGREEMENTS,
    "tflm": tflm.DISAGREEMENTS,
}

# Table -> the number of correct results for random models after its last rule was written, and the number of models.
PREDICTED: dict[str, tuple[int, int]] = {
    "gpu": (404, 453),
    "tflm": (996, 1000),
    "ethos_u55": (999, 1000),
    "ethos_u65": (999, 1000),
    "ethos_u85": (998, 1000),
}

# Table -> other results, each list with a heading.
FOUND: dict[str, tuple[tuple[str, Cases], ...]] = {
    "gpu": (
        ("Supported, with other results than those of the CPU", gpu_measured.SILENTLY_WRONG),
        ("Ends the process", gpu_measured.CRASHED),
    ),
}
