"""What was seen when tables were held against the real thing: for the docs, and in no key."""

from __future__ import annotations

from collections.abc import Mapping

from tflbuild.targets.ethos_u import table as ethos_u
from tflbuild.targets.gpu import measured_runs as gpu_measured
from tflbuild.targets.tflm import table as tflm

Cases = Mapping[str, str]  # a case of tests/one_op_cases.py and its like -> what was found

# by table: the cases that it judges otherwise than the real thing does, and why that is let stand
DISAGREEMENTS: dict[str, Cases] = {
    "gpu": gpu_measured.DISAGREEMENTS,
    **ethos_u.DISAGREEMENTS,
    "tflm": tflm.DISAGREEMENTS,
}

# by table: of models drawn at random after its last rule was written, how many it judged right, and how many there were
PREDICTED: dict[str, tuple[int, int]] = {
    "gpu": (404, 453),
    "tflm": (996, 1000),
    "ethos_u55": (999, 1000),
    "ethos_u65": (999, 1000),
    "ethos_u85": (998, 1000),
}

# by table: what else was found, under a heading
FOUND: dict[str, tuple[tuple[str, Cases], ...]] = {
    "gpu": (
        ("Taken, with other results than the CPU's", gpu_measured.SILENTLY_WRONG),
        ("Ends the process", gpu_measured.CRASHED),
    ),
}
