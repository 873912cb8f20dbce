"""The step kinds of calibration: `calibrate`, `moments` and `advise`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # float .tflite x samples -> activation ranges
    StepKind(
        name="calibrate",
        server="litert",
        module="steps.calibration.litert_calibrate",
        packages=LITERT,
        outputs=("ranges.json",),
    ),
    # float .tflite x samples -> second moments of the inputs of FULLY_CONNECTED
    StepKind(
        name="moments",
        server="litert",
        module="steps.calibration.litert_moments",
        packages=LITERT,
        outputs=("moments.npz",),
    ),
    # float .tflite x samples (+ evaluation samples, ranges) -> whether the samples are enough
    StepKind(
        name="advise",
        server="litert",
        module="steps.calibration.litert_advise",
        packages=LITERT,
        outputs=("advice.json",),
    ),
)
