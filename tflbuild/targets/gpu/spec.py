"""The step kind of the GPU delegate: `prove_gpu`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, CacheScope, StepKind

KINDS = (
    # .tflite (+ samples) -> what LiteRT's GPU delegate takes of it and makes of it, on this machine's Vulkan device
    StepKind(
        name="prove_gpu",
        server="litert",
        module="targets.gpu.proof",
        packages=LITERT,
        outputs=("verdict.json",),
        scope=CacheScope.THIS_HOST,
    ),
)
