"""The kinds of step of this folder."""

from __future__ import annotations

from tflbuild.core.step_kind import StepKind

KINDS = (
    # dataset -> the very samples that are fed, checked against the signature
    StepKind(
        name="sample",
        server="litert",
        module="steps.datasets.sample",
        packages=("numpy", "pillow"),
        outputs=("samples/",),
    ),
    # calibration or training samples x evaluation samples -> those that are in both
    StepKind(
        name="compare_samples",
        server="litert",
        module="steps.datasets.sample_overlap",
        packages=("numpy",),
        outputs=("overlap.json",),
    ),
)
