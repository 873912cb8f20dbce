"""The kinds of step of this folder."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # .tflite -> what a target's published rules say of it
    StepKind(
        name="lint_target",
        server="litert",
        module="targets.target_lint",
        packages=LITERT,
        outputs=("verdict.json",),
    ),
)
