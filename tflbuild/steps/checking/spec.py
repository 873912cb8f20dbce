"""The step kind of checking: `check`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # .tflite -> its contents, compared with what the recipe declares
    StepKind(
        name="check",
        server="litert",
        module="steps.checking.check",
        packages=LITERT,
        outputs=("check.json",),
    ),
)
