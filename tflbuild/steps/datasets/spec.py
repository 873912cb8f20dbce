"""The step kinds of the domain `datasets`."""

from __future__ import annotations

from tflbuild.core.step_kind import StepKind

KINDS = (
    # Converts a dataset to the samples that are fed, and checks them against the signature.
    StepKind(
        name="sample",
        server="litert",
        module="steps.datasets.sample",
        packages=("numpy", "pillow"),
        outputs=("samples/",),
    ),
    # Finds the evaluation samples that are also calibration or training samples.
    StepKind(
        name="compare_samples",
        server="litert",
        module="steps.datasets.sample_overlap",
        packages=("numpy",),
        outputs=("overlap.json",),
    ),
)
