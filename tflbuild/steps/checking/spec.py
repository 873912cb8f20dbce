"""The kinds of step of this folder."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # .tflite -> what it really contains, against what was declared
    StepKind(
        name="check",
        server="litert",
        module="steps.checking.check",
        packages=LITERT,
        outputs=("check.json",),
    ),
)
