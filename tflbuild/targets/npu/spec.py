"""The step kind of NPUs: `prove_npu`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, CacheScope, StepKind

KINDS = (
    # .tflite -> a model with an NPU's binaries in it, as LiteRT and the vendor's SDK make it. What a version of
    # the SDK makes depends on files that it fetched or not: it holds for this host.
    StepKind(
        name="prove_npu",
        server="litert",
        module="targets.npu.proof",
        packages=LITERT,
        outputs=("verdict.json", "compiled/"),
        scope=CacheScope.THIS_HOST,
    ),
)
