"""The step kind of the CPU target: `prove_cpu`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, CacheScope, StepKind

KINDS = (
    # .tflite -> what XNNPACK takes of it on this host's CPU, and how fast that is
    StepKind(
        name="prove_cpu",
        server="litert",
        module="targets.cpu.proof",
        packages=LITERT,
        outputs=("verdict.json",),
        scope=CacheScope.THIS_HOST,
        timed=True,
    ),
)
