"""What was seen when tables were held against the real thing: for the docs, and in no key."""

from __future__ import annotations

from collections.abc import Mapping

from tflbuild.targets import ethos_u, gpu_measured, tflm

Cases = Mapping[str, str]  # a case of tests/one_op_cases.py and its like -> what was found

# by table: the cases that it judges otherwise than the real thing does, and why that is let stand
DISAGREEMENTS: dict[str, Cases] = {
    "gpu": gpu_measured.DISAGREEMENTS,
    **ethos_u.DISAGREEMENTS,
    "tflm": tflm.DISAGREEMENTS,
}

# by table: how many models, drawn at random after its last rule was written, it judged as the real thing did
DRAWN = 1000
PREDICTED: dict[str, int] = {"tflm": 996, "ethos_u55": 999, "ethos_u65": 999, "ethos_u85": 998}

# by table: what else was found, under a heading
FOUND: dict[str, tuple[tuple[str, Cases], ...]] = {
    "gpu": (
        ("Taken, with other results than the CPU's", gpu_measured.SILENTLY_WRONG),
        ("Ends the process", gpu_measured.CRASHED),
    ),
}
