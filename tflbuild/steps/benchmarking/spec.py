"""The step kinds of benchmarking: `benchmark` and `benchmark_android`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, CacheScope, StepKind

KINDS = (
    # .tflite -> latency on this host with its confidence interval, and the time of each operator
    StepKind(
        name="benchmark",
        server="litert",
        module="steps.benchmarking.litert_benchmark",
        packages=LITERT,
        outputs=("benchmark.json",),
        scope=CacheScope.THIS_HOST,
        timed=True,
    ),
    # .tflite -> latency on an Android device, by its own benchmark_model
    StepKind(
        name="benchmark_android",
        server="litert",
        module="steps.benchmarking.android_benchmark",
        packages=(),
        outputs=("benchmark.json",),
        scope=CacheScope.THIS_HOST,
        timed=True,
    ),
)
