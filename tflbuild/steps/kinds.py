"""The kinds of step there are: what each makes, where it runs, what its bytes depend on.

Declarations alone; the work is in `tflbuild/workers/<module>.py`, which runs in a forked child of
a server process that has imported the heavy packages once. To add a step: a row here, a module
there, and a call in `plan.planner`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Packages that not every installation has -> the extra of tflbuild that brings them.
EXTRAS = {"tensorflow-model-optimization": "optimize", "obstore": "remote", "ray": "ray"}

Server = Literal["tensorflow", "litert"]

LOG = "log.txt"  # what a step printed: an output of every kind

COMMON_MODULES = ("server", "contract", "core.work")


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """A kind of step.

    `module` and `uses` are the files of `tflbuild/workers/` (or of `core/`) whose text is part of the key; a test
    holds them against the imports. `outputs` are files by name, or folders where the name ends in
    a slash. Outputs in `unstable` differ from run to run for the same model; they are known by the
    digest of their content that the step tells in its fact `content`, or else by the step's key.
    A step with `network` may reach out; what it brought stays in the store, whatever code brought it.
    What a step that is not `shared` found holds for this host alone, and stays in this machine's store.
    """

    name: str
    server: Server
    module: str
    uses: tuple[str, ...] = ()
    packages: tuple[str, ...]
    outputs: tuple[str, ...]
    unstable: tuple[str, ...] = ()
    network: bool = False
    shared: bool = True

    @property
    def modules(self) -> tuple[str, ...]:
        """Every worker module that the step's result depends on."""
        return (*COMMON_MODULES, self.module, *self.uses)


TENSORFLOW = ("tensorflow", "keras", "numpy")
LITERT = ("ai-edge-litert", "numpy")
QUANTIZER = ("litert-quantizer", "scipy", *LITERT)

# what every step that judges a target reads the artifact with, and answers with
TRIAL = (
    *("core.digest", "core.model", "core.typed_json", "core.verdict", "flatbuffer", "interpreters", "metrics"),
    *("runtimes", "samples", "target_trial"),
)

# the targets' published rules, and what holds an artifact against them
RULES = ("targets.gpu", "targets.gpu_rules", "targets.lint", "targets.rules", "targets.tables")

KINDS: dict[str, StepKind] = {
    kind.name: kind
    for kind in (
        # TF Hub handle or archive -> the SavedModel folder behind it
        StepKind(
            name="fetch",
            server="tensorflow",
            module="hub_fetch",
            uses=("archives", "core.addresses"),
            packages=(),
            outputs=("model/",),
            network=True,
        ),
        # source -> SavedModel snapshot with declared signatures. An exported SavedModel is not
        # byte-reproducible (fingerprint, shards), the model in it is.
        StepKind(
            name="import",
            server="tensorflow",
            module="tf_import",
            uses=(
                *("fake_quant", "fused_lstm", "function_source", "graph_content", "keras_source", "preprocess"),
                *("signatures", "tf1_source", "tf_entries", "tf_snapshot", "tf_sources", "user_code"),
            ),
            packages=(*TENSORFLOW, "tf_keras"),
            outputs=("snapshot/", "signature.json"),
            unstable=("snapshot/",),
        ),
        # Keras model x training samples -> the model, trained to be smaller or to bear quantization
        StepKind(
            name="optimize",
            server="tensorflow",
            module="tf_optimize",
            uses=(
                *("function_source", "graph_content", "keras_carry", "keras_source", "model_optimizations"),
                *("preprocess", "samples", "signatures", "tf1_source", "tf_entries", "tf_snapshot", "tf_sources"),
                *("training", "user_code"),
            ),
            packages=(*TENSORFLOW, "tf_keras", "tensorflow-model-optimization"),
            outputs=("model/", "optimized.json"),
            unstable=("model/",),
        ),
        # source -> what it offers, for `inspect`
        StepKind(
            name="describe",
            server="tensorflow",
            module="tf_describe",
            uses=(
                *("function_source", "keras_source", "preprocess", "signatures", "tf1_source", "tf_entries"),
                *("tf_snapshot", "tf_sources", "user_code"),
            ),
            packages=(*TENSORFLOW, "tf_keras"),
            outputs=("signature.json",),
        ),
        # float .tflite -> itself, with declared signatures; no TensorFlow
        StepKind(
            name="import_tflite",
            server="litert",
            module="litert_import",
            uses=("contents", "core.model", "core.schemes", "flatbuffer", "fusions", "rules", "runtimes", "signatures"),
            packages=LITERT,
            outputs=("model.tflite", "signature.json"),
        ),
        # dataset -> the very samples that are fed, checked against the signature
        StepKind(
            name="sample",
            server="litert",
            module="sample",
            uses=(
                *("dataset_arrays", "dataset_audio", "dataset_call", "dataset_csv", "dataset_files", "dataset_images"),
                *("dataset_synthetic", "dataset_tfds", "dataset_tfrecord", "datasets", "feeder", "sample_writer"),
                *("samples", "tfds_features", "tfrecord", "user_code"),
            ),
            packages=("numpy", "pillow"),
            outputs=("samples/",),
        ),
        # calibration or training samples x evaluation samples -> those that are in both
        StepKind(
            name="compare_samples",
            server="litert",
            module="compare_samples",
            uses=("samples",),
            packages=("numpy",),
            outputs=("overlap.json",),
        ),
        # SavedModel -> float .tflite, and ranges where quantization-aware training left some
        StepKind(
            name="convert",
            server="tensorflow",
            module="tf_convert",
            uses=("fake_quant", "preprocess", "signatures", "tf_converter", "tf_entries", "tf_explain", "tf_snapshot"),
            packages=TENSORFLOW,
            outputs=("model.tflite", "trained.json"),
        ),
        # SavedModel x samples -> the source's own outputs
        StepKind(
            name="predict",
            server="tensorflow",
            module="tf_predict",
            uses=("predictions", "probes", "samples", "signatures"),
            packages=TENSORFLOW,
            outputs=("predictions.npz",),
        ),
        # float .tflite x samples -> its own outputs
        StepKind(
            name="predict_tflite",
            server="litert",
            module="litert_predict",
            uses=("artifact", "interpreters", "predictions", "probes", "samples", "shards", "signatures"),
            packages=LITERT,
            outputs=("predictions.npz",),
        ),
        # float .tflite x samples -> activation ranges
        StepKind(
            name="calibrate",
            server="litert",
            module="litert_calibrate",
            uses=(
                "core.model",
                "flatbuffer",
                "interpreters",
                "known_ranges",
                "runtimes",
                "samples",
                "shards",
                "signatures",
            ),
            packages=LITERT,
            outputs=("ranges.json",),
        ),
        # float .tflite x samples -> second moments of what comes into FULLY_CONNECTED
        StepKind(
            name="moments",
            server="litert",
            module="litert_moments",
            uses=(
                *(
                    "core.model",
                    "flatbuffer",
                    "interpreters",
                    "known_ranges",
                    "litert_calibrate",
                    "moments",
                    "runtimes",
                ),
                *("samples", "shards", "signatures"),
            ),
            packages=LITERT,
            outputs=("moments.npz",),
        ),
        # float .tflite (+ ranges, moments) -> quantized .tflite
        StepKind(
            name="quantize",
            server="litert",
            module="litert_quantize",
            uses=(
                *(
                    "core.model",
                    "core.schemes",
                    "flatbuffer",
                    "moments",
                    "prelu",
                    "quantizer_recipe",
                    "rules",
                    "runtimes",
                ),
                "uint8_interface",
            ),
            packages=QUANTIZER,
            outputs=("model.tflite",),
        ),
        # float .tflite x samples x predictions (+ ranges) -> what quantizing each operator alone costs
        StepKind(
            name="sensitivity",
            server="litert",
            module="litert_sensitivity",
            uses=(
                *("artifact", "core.model", "core.schemes", "flatbuffer", "interpreters", "litert_quantize", "metrics"),
                *("moments", "predictions", "prelu", "probes", "quantizer_recipe", "rules", "runtimes", "samples"),
                *("shards", "signatures", "uint8_interface"),
            ),
            packages=QUANTIZER,
            outputs=("sensitivity.json",),
        ),
        # float .tflite x samples (+ evaluation samples, ranges) -> whether the samples are enough
        StepKind(
            name="advise",
            server="litert",
            module="litert_advise",
            uses=(
                *(
                    "core.model",
                    "flatbuffer",
                    "interpreters",
                    "known_ranges",
                    "litert_calibrate",
                    "range_growth",
                    "runtimes",
                ),
                *("samples", "shards", "signatures"),
            ),
            packages=LITERT,
            outputs=("advice.json",),
        ),
        # SavedModel (+ samples) -> quantized .tflite, TFLiteConverter's own way
        StepKind(
            name="quantize_in_converter",
            server="tensorflow",
            module="tf_quantize",
            uses=(
                *("fake_quant", "preprocess", "samples", "signatures", "tf_converter", "tf_entries", "tf_explain"),
                *("tf_snapshot", "uint8_interface"),
            ),
            packages=TENSORFLOW,
            outputs=("model.tflite",),
        ),
        # .tflite -> what it really contains, against what was declared
        StepKind(
            name="check",
            server="litert",
            module="check",
            uses=(
                *(
                    "compression",
                    "contents",
                    "core.model",
                    "core.schemes",
                    "declarations",
                    "flatbuffer",
                    "fusions",
                    "interpreters",
                ),
                *("rules", "runtimes"),
                "samples",
            ),
            packages=LITERT,
            outputs=("check.json",),
        ),
        # .tflite x samples x predictions -> parity and accuracy
        StepKind(
            name="verify",
            server="litert",
            module="litert_verify",
            uses=(
                *("artifact", "interpreters", "metrics", "predictions", "probes", "samples", "shards"),
                *("signatures", "user_code"),
            ),
            packages=LITERT,
            outputs=("verify.json",),
        ),
        # .tflite -> latency on this host
        StepKind(
            name="benchmark",
            server="litert",
            module="litert_benchmark",
            uses=("interpreters",),
            packages=LITERT,
            outputs=("benchmark.json",),
            shared=False,
        ),
        # .tflite -> what a target's published rules say of it
        StepKind(
            name="lint_target",
            server="litert",
            module="target_lint",
            uses=(*TRIAL, *RULES),
            packages=LITERT,
            outputs=("verdict.json",),
        ),
        # .tflite (+ samples) -> what LiteRT's GPU delegate takes of it and makes of it, on this machine's Vulkan device
        StepKind(
            name="prove_gpu",
            server="litert",
            module="target_gpu",
            uses=(
                *TRIAL,
                *("float16_range", "gpu_delegate", "gpu_layers", "slices"),
                *(*RULES, "targets.vulkan"),
            ),
            packages=LITERT,
            outputs=("verdict.json",),
            shared=False,
        ),
        # what was found -> the page that tells a person how to feed the artifact
        StepKind(
            name="package",
            server="litert",
            module="package",
            uses=("core.contents",),
            packages=(),
            outputs=("card.md",),
        ),
    )
}
