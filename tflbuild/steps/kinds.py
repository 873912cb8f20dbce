"""The kinds of step there are: what each makes, where it runs, what its bytes depend on.

Declarations alone; the work is in `tflbuild/workers/<module>.py`, which runs in a forked child of
a server process that has imported the heavy packages once. To add a step: a row here (or in
`target_kinds`), a module there, and a call in `plan.planner`.
"""

from __future__ import annotations

from tflbuild.steps.kind import LITERT, QUANTIZER, TENSORFLOW, StepKind
from tflbuild.steps.target_kinds import FLATBUFFER, TARGET_KINDS, TIMING

# Packages that not every installation has -> the extra of tflbuild that brings them.
EXTRAS = {
    "tensorflow-model-optimization": "optimize",
    "obstore": "remote",
    "ray": "ray",
    "ethos-u-vela": "ethos-u",
    "tflite-micro": "tflm",
}

# what says which runtimes run an artifact
RUNTIMES = ("core.runtime_evidence", "core.runtime_features", "core.runtime_table")

# what TFLite Metadata are read and written with
METADATA = ("buffers", "metadata", "metadata_codec", "metadata_schema", "model_editing")

# sums, products and functions with the same bits on every CPU
EXACT_ALGEBRA = ("exact_algebra", "exact_constants", "exact_math", "exact_numbers")

# what runs the float model on samples, on the runtime's kernels or in float64
OBSERVER = (
    *("core.model", "exact_special", "exact_trigonometry", *FLATBUFFER, "float64_model", "float64_operators"),
    *("interpreters", "observer", "samples", *EXACT_ALGEBRA),
)

# what says that a result depends on the CPU
TIES = ("core.digest", "core.ties")

# what reads a SavedModel, and says which of its operators reach outside it
GRAPHS = ("graph_operators", "linked_files", "saved_model_file", "tensorflow_operators")

# what reads a Keras file, and says which parts of it may be made
KERAS = ("hdf5_contents", "keras_classes", "keras_file", "time_limit", "keras_parts", "keras_source")

# what measures ranges on samples, and settles those that noise could change
RANGES = (
    *("calibration_methods", "exact_tensors", "range_grid", "settled_ranges", "shards", "signatures"),
    *(*OBSERVER, *TIES),
)

# what constants are folded with
FOLDING = (
    *TIES,
    "batch_norm",
    "constant_folding",
    "converter_folding",
    "decided_branches",
    "exact_algebra",
    "exact_constants",
    "exact_elementwise",
    "exact_fourier",
    "exact_layers",
    "exact_math",
    "exact_moves",
    "exact_numbers",
    "exact_ops",
    "exact_reductions",
    "exact_resize",
    "exact_special",
    "exact_trigonometry",
    "exact_windows",
    "flat_graph",
    "folded_functions",
    "graph_nodes",
    "known_values",
    "partial_constants",
    "unfolded",
)

LOG = "log.txt"  # what a step printed: an output of every kind

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
                *("fake_quant", "function_source", "fused_lstm", "graph_content", *KERAS, *GRAPHS),
                *("model_editing", "numpy_preprocess", "preprocess", "signatures", "tf1_source", "tf_entries"),
                *("tf_snapshot", "tf_sources", "tf_witness", "undeclared_reads", "user_code", "witness", *FOLDING),
            ),
            packages=(*TENSORFLOW, "tf_keras"),
            outputs=("snapshot/", "signature.json", "witness.npz"),
            unstable=("snapshot/",),
        ),
        # Keras model x training samples -> the model, trained to be smaller or to bear quantization
        StepKind(
            name="optimize",
            server="tensorflow",
            module="tf_optimize",
            uses=(
                *(
                    "flat_graph",
                    "function_source",
                    "graph_content",
                    "keras_carry",
                    "model_optimizations",
                ),
                *("preprocess", "samples", "signatures", "tf1_source", "tf_entries", "tf_snapshot", "tf_sources"),
                *("training", "undeclared_reads", "user_code", *KERAS, *GRAPHS),
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
                *("function_source", "preprocess", "signatures", "tf1_source", *KERAS, *GRAPHS),
                *("tf_entries", "tf_snapshot", "tf_sources", "undeclared_reads", "user_code"),
            ),
            packages=(*TENSORFLOW, "tf_keras"),
            outputs=("signature.json",),
        ),
        # Keras file -> what it takes and gives, read in its configuration; nothing of it is built
        StepKind(
            name="describe_keras",
            server="litert",
            module="keras_describe",
            uses=(
                "hdf5_contents",
                "keras_classes",
                "keras_file",
                "time_limit",
                "keras_parts",
                "keras_shapes",
                "signatures",
            ),
            packages=("h5py",),
            outputs=("signature.json",),
        ),
        # float .tflite -> itself, with declared signatures; no TensorFlow
        StepKind(
            name="import_tflite",
            server="litert",
            module="litert_import",
            uses=(
                *("contents", "core.computing", "core.model", "core.rules", "core.schemes", *FLATBUFFER, "fusions"),
                *("rules", "signatures", *METADATA, *RUNTIMES),
            ),
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
                *("dataset_synthetic", "dataset_tfds", "dataset_tfrecord", "datasets", "feeder", "pixels"),
                *("sample_statistics", "sample_writer", "samples", "tfds_features", "tfrecord", "undeclared_reads"),
                *("linked_files", "user_code"),
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
            uses=(
                *("buffers", "constant_layout", "fake_quant", "interface_order", "model_editing", "preprocess"),
                *("signatures", "stored_tensors", "tf_converter", "tf_entries", "tf_explain", "tf_snapshot"),
                *("unfolded", *TIES),
            ),
            packages=TENSORFLOW,
            outputs=("model.tflite", "trained.json"),
        ),
        # SavedModel x samples -> the source's own outputs
        StepKind(
            name="predict",
            server="tensorflow",
            module="tf_predict",
            uses=("predictions", "probes", "samples", "signatures", "tf_check_import", "witness"),
            packages=TENSORFLOW,
            outputs=("predictions.npz",),
        ),
        # SavedModel x the source's own outputs -> whether they are the same; where there is no `predict`
        StepKind(
            name="check_import",
            server="tensorflow",
            module="tf_check_import",
            uses=("signatures", "witness"),
            packages=TENSORFLOW,
            outputs=("import.json",),
        ),
        # float .tflite x the source's own outputs -> whether they are the same
        StepKind(
            name="check_float",
            server="litert",
            module="check_float",
            uses=(
                *("artifact", "core.model", *FLATBUFFER, "interpreters", "predictions", "probes", "samples", "shards"),
                *("signatures", "witness"),
            ),
            packages=LITERT,
            outputs=("float.json",),
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
            uses=("known_ranges", *RANGES),
            packages=LITERT,
            outputs=("ranges.json",),
        ),
        # float .tflite x samples -> second moments of what comes into FULLY_CONNECTED
        StepKind(
            name="moments",
            server="litert",
            module="litert_moments",
            uses=("moments", *RANGES),
            packages=LITERT,
            outputs=("moments.npz",),
        ),
        # float .tflite (+ ranges, moments) -> quantized .tflite
        StepKind(
            name="quantize",
            server="litert",
            module="litert_quantize",
            uses=(
                *("buffers", "computed_filters", "core.computing", "core.kernels", "core.model", "core.rules"),
                *("core.schemes", *FLATBUFFER, "idle_interface", "least_scales", "model_editing", "moments"),
                *("dead_channels", "mask_constants", "narrow_constants", "prelu", "quantizer_algebra"),
                *("quantizer_recipe", "rules", "stored_tensors", "uint8_interface", *EXACT_ALGEBRA),
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
                *("artifact", "buffers", "computed_filters", "core.computing", "core.kernels", "core.model"),
                *("core.precision", "core.rules", "core.schemes", "evaluation_parts", *FLATBUFFER, "idle_interface"),
                *("interpreters", "least_scales", "litert_quantize", "metrics", "model_editing", "moments"),
                *("narrow_constants",),
                *("predictions", "prelu", "probes", "quantizer_recipe", "rules", "samples", "shards", "signatures"),
                *("dead_channels", "mask_constants", "quantizer_algebra", "stored_tensors", "uint8_interface"),
                *EXACT_ALGEBRA,
            ),
            packages=QUANTIZER,
            outputs=("sensitivity.json",),
        ),
        # float .tflite x samples (+ evaluation samples, ranges) -> whether the samples are enough
        StepKind(
            name="advise",
            server="litert",
            module="litert_advise",
            uses=(*("range_growth", "shards", "signatures", *OBSERVER),),
            packages=LITERT,
            outputs=("advice.json",),
        ),
        # SavedModel (+ samples) -> quantized .tflite, TFLiteConverter's own way
        StepKind(
            name="quantize_in_converter",
            server="tensorflow",
            module="tf_quantize",
            uses=(
                *("buffers", "computed_filters", "core.kernels", "core.model", "core.schemes", "fake_quant"),
                *(*FLATBUFFER, "idle_interface", "interface_order", "least_scales", "model_editing"),
                *("narrow_constants", "preprocess", "samples", "signatures", "stored_tensors", "tf_converter"),
                *("tf_entries", "tf_explain", "tf_snapshot", "uint8_interface", "converter_ranges", "range_process"),
                *("calibrated_model", "unfolded"),
                *("litert_calibrate", "known_ranges", *RANGES),
            ),
            packages=(*TENSORFLOW, "ai-edge-litert"),
            outputs=("model.tflite",),
        ),
        # .tflite (+ label files, calibration tables) -> itself, with metadata; nothing changes its bytes after this
        StepKind(
            name="annotate",
            server="litert",
            module="annotate",
            uses=("annotations", "calibration_table", "core.model", *FLATBUFFER, *METADATA),
            packages=(*LITERT, "flatbuffers"),
            outputs=("model.tflite",),
        ),
        # .tflite -> what it really contains, against what was declared
        StepKind(
            name="check",
            server="litert",
            module="check",
            uses=(
                *("artifact", "calibrated_inputs", "compression", "constant_budget", "contents", "core.computing"),
                *("core.kernels", "core.model", "core.rules", "core.schemes", "declarations", "declared_layout"),
                *("declared_metadata", "findings", "finite_constants", *FLATBUFFER, "float_agreement", "fusions"),
                *("interpreters", "kernel_rules", "lost_values", "mask_constants", "predictions", "probes"),
                *("repeatability", "rules", "samples", "shards", "signatures", *METADATA, *RUNTIMES),
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
                *("accuracy", "artifact", "channels", "core.intervals", "core.model", "core.precision"),
                *("evaluation_parts", *FLATBUFFER),
                *("interpreters", "labels", "metrics", "output_steps", "predictions", "probes"),
                *("repeatability", "samples", "shards", "signatures", "undeclared_reads", "user_code"),
            ),
            packages=LITERT,
            outputs=("verify.json",),
        ),
        # .tflite -> latency on this host, how sure it is, its operators' shares
        StepKind(
            name="benchmark",
            server="litert",
            module="litert_benchmark",
            uses=("core.digest", "core.model", *FLATBUFFER, "interpreters", *TIMING),
            packages=LITERT,
            outputs=("benchmark.json",),
            shared=False,
            timed=True,
        ),
        # .tflite -> latency on an Android device, by its own benchmark_model
        StepKind(
            name="benchmark_android",
            server="litert",
            module="adb",
            uses=("benchmark_output", "core.digest"),
            packages=(),
            outputs=("benchmark.json",),
            shared=False,
            timed=True,
        ),
        # what was found -> the page that tells a person how to feed the artifact, and programs that do
        StepKind(
            name="package",
            server="litert",
            module="package",
            uses=(
                *("core.contents", "core.digest", "core.gates", "core.intervals", "core.precision"),
                *("core.printable", "core.quality"),
                "metadata_schema",
                *("runner_cc", "runner_contract", "runner_kotlin", "runner_python", "runner_swift", "runners"),
            ),
            packages=(),
            outputs=("card.md", "runners/"),
        ),
        *TARGET_KINDS,
    )
}
