"""The step kind of targets without a proof: `lint_target`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # .tflite -> the verdict of a target's support table
    StepKind(
        name="lint_target",
        server="litert",
        module="targets.target_lint",
        packages=LITERT,
        outputs=("verdict.json",),
    ),
)
