"""The kinds of step that judge an artifact on a target."""

from __future__ import annotations

from tflbuild.steps.kind import LITERT, StepKind

# what a .tflite is checked and read with
FLATBUFFER = ("flatbuffer", "model_bounds", "model_indices")

# what every step that judges a target reads the artifact with, and answers with
TRIAL = (
    *("core.computing", "core.digest", "core.model", "core.needs", "core.precision", "core.typed_json", "core.verdict"),
    *(*FLATBUFFER, "interpreters", "metrics", "samples", "target_trial", "targets.needs", "targets.rules"),
)

# what every step that measures on this host does it with
TIMING = ("host", "litert_process", "op_profile", "partitions", "timing")

# every table of rules, and what holds a model against one
TABLES = (
    *("targets.coreml", "targets.edgetpu", "targets.ethos_u", "targets.ethos_u_reader", "targets.ethos_u_rules"),
    *("targets.forms", "targets.gpu", "targets.gpu_options", "targets.gpu_rules"),
    *("targets.hexagon", "targets.lint", "targets.nnapi"),
    *("targets.operator_shapes", "targets.tables", "targets.tflm", "targets.tflm_rules"),
)

TARGET_KINDS = (
    # .tflite -> what XNNPACK takes of it on this host's CPU, and how fast that is
    StepKind(
        name="prove_cpu",
        server="litert",
        module="target_cpu",
        uses=(*TRIAL, *TIMING, "cpu_placement", "litert_benchmark", "targets.xnnpack"),
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
        uses=(*TRIAL, *TABLES),
        packages=LITERT,
        outputs=("verdict.json",),
    ),
    # .tflite (+ samples) -> what LiteRT's GPU delegate takes of it and makes of it, on this machine's Vulkan device
    StepKind(
        name="prove_gpu",
        server="litert",
        module="target_gpu",
        uses=(*TRIAL, *TABLES, "float16_range", "gpu_delegate", "gpu_layers", "slices", "targets.vulkan"),
        packages=LITERT,
        outputs=("verdict.json",),
        shared=False,
    ),
    # .tflite -> what Vela makes of it for an Ethos-U, and its estimates
    StepKind(
        name="prove_ethos_u",
        server="litert",
        module="target_ethos_u",
        uses=(*TRIAL, *TABLES, "vela"),
        packages=(*LITERT, "ethos-u-vela"),
        outputs=("verdict.json", "compiled/"),
    ),
    # .tflite (+ samples) -> what TensorFlow Lite Micro makes of it, and C source
    StepKind(
        name="prove_tflm",
        server="litert",
        module="target_tflm",
        uses=(*TRIAL, *TABLES, "c_array", "forked", "op_slices", "slices", "tflm_runtime"),
        packages=(*LITERT, "tflite-micro"),
        outputs=("verdict.json", "compiled/"),
    ),
    # .tflite -> Edge TPU model, as Coral's compiler makes it
    StepKind(
        name="prove_edgetpu",
        server="litert",
        module="target_edgetpu",
        uses=(*TRIAL, "targets.edgetpu", "targets.edgetpu_log", "targets.forms", "targets.lint"),
        packages=LITERT,
        outputs=("verdict.json", "compiled/"),
    ),
    # .tflite -> a model with an NPU's binaries in it, as LiteRT and the vendor's SDK make it. What a version of
    # the SDK makes depends on files that it fetched or not: it holds for this host.
    StepKind(
        name="prove_npu",
        server="litert",
        module="target_npu",
        uses=(*TRIAL, "targets.npu"),
        packages=LITERT,
        outputs=("verdict.json", "compiled/"),
        shared=False,
    ),
)
