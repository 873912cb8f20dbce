"""The kinds of step that judge an artifact on a target."""

from __future__ import annotations

from tflbuild.steps.kind import LITERT, StepKind

TARGET_KINDS = (
    # .tflite -> what XNNPACK takes of it on this host's CPU, and how fast that is
    StepKind(
        name="prove_cpu",
        server="litert",
        module="target_cpu",
        packages=LITERT,
        outputs=("verdict.json",),
        shared=False,
        timed=True,
    ),
    # .tflite -> what a target's published rules say of it
    StepKind(
        name="lint_target",
        server="litert",
        module="target_lint",
        packages=LITERT,
        outputs=("verdict.json",),
    ),
    # .tflite (+ samples) -> what LiteRT's GPU delegate takes of it and makes of it, on this machine's Vulkan device
    StepKind(
        name="prove_gpu",
        server="litert",
        module="target_gpu",
        packages=LITERT,
        outputs=("verdict.json",),
        shared=False,
    ),
    # .tflite -> what Vela makes of it for an Ethos-U, and its estimates
    StepKind(
        name="prove_ethos_u",
        server="litert",
        module="target_ethos_u",
        packages=(*LITERT, "ethos-u-vela"),
        outputs=("verdict.json", "compiled/"),
    ),
    # .tflite (+ samples) -> what TensorFlow Lite Micro makes of it, and C source
    StepKind(
        name="prove_tflm",
        server="litert",
        module="target_tflm",
        packages=(*LITERT, "tflite-micro"),
        outputs=("verdict.json", "compiled/"),
    ),
    # .tflite -> Edge TPU model, as Coral's compiler makes it
    StepKind(
        name="prove_edgetpu",
        server="litert",
        module="target_edgetpu",
        packages=LITERT,
        outputs=("verdict.json", "compiled/"),
    ),
    # .tflite -> a model with an NPU's binaries in it, as LiteRT and the vendor's SDK make it. What a version of
    # the SDK makes depends on files that it fetched or not: it holds for this host.
    StepKind(
        name="prove_npu",
        server="litert",
        module="target_npu",
        packages=LITERT,
        outputs=("verdict.json", "compiled/"),
        shared=False,
    ),
)
