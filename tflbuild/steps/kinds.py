"""The kinds of step there are: what each makes, where it runs, what its bytes depend on.

Declarations alone; the work is in `tflbuild/workers/<module>.py`, which runs in a forked child of
a server process that has imported the heavy packages once. To add a step: a row here (or in
`target_kinds`), a module there, and a call in `plan.planner`.
"""

from __future__ import annotations

from tflbuild.steps.kind import LITERT, QUANTIZER, TENSORFLOW, StepKind
from tflbuild.steps.target_kinds import TARGET_KINDS

# Packages that not every installation has -> the extra of tflbuild that brings them.
EXTRAS = {
    "tensorflow-model-optimization": "optimize",
    "obstore": "remote",
    "ray": "ray",
    "ethos-u-vela": "ethos-u",
    "tflite-micro": "tflm",
}

LOG = "log.txt"  # what a step printed: an output of every kind

KINDS: dict[str, StepKind] = {
    kind.name: kind
    for kind in (
        # TF Hub handle or archive -> the SavedModel folder behind it
        StepKind(
            name="fetch",
            server="tensorflow",
            module="hub_fetch",
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
            packages=(*TENSORFLOW, "tf_keras"),
            outputs=("snapshot/", "signature.json", "witness.npz"),
            unstable=("snapshot/",),
        ),
        # Keras model x training samples -> the model, trained to be smaller or to bear quantization
        StepKind(
            name="optimize",
            server="tensorflow",
            module="tf_optimize",
            packages=(*TENSORFLOW, "tf_keras", "tensorflow-model-optimization"),
            outputs=("model/", "optimized.json"),
            unstable=("model/",),
        ),
        # source -> what it offers, for `inspect`
        StepKind(
            name="describe",
            server="tensorflow",
            module="tf_describe",
            packages=(*TENSORFLOW, "tf_keras"),
            outputs=("signature.json",),
        ),
        # Keras file -> what it takes and gives, read in its configuration; nothing of it is built
        StepKind(
            name="describe_keras",
            server="litert",
            module="keras_describe",
            packages=("h5py",),
            outputs=("signature.json",),
        ),
        # float .tflite -> itself, with declared signatures; no TensorFlow
        StepKind(
            name="import_tflite",
            server="litert",
            module="litert_import",
            packages=LITERT,
            outputs=("model.tflite", "signature.json"),
        ),
        # dataset -> the very samples that are fed, checked against the signature
        StepKind(
            name="sample",
            server="litert",
            module="sample",
            packages=("numpy", "pillow"),
            outputs=("samples/",),
        ),
        # calibration or training samples x evaluation samples -> those that are in both
        StepKind(
            name="compare_samples",
            server="litert",
            module="compare_samples",
            packages=("numpy",),
            outputs=("overlap.json",),
        ),
        # SavedModel -> float .tflite, and ranges where quantization-aware training left some
        StepKind(
            name="convert",
            server="tensorflow",
            module="tf_convert",
            packages=TENSORFLOW,
            outputs=("model.tflite", "trained.json"),
        ),
        # SavedModel x samples -> the source's own outputs
        StepKind(
            name="predict",
            server="tensorflow",
            module="tf_predict",
            packages=TENSORFLOW,
            outputs=("predictions.npz",),
        ),
        # SavedModel x the source's own outputs -> whether they are the same; where there is no `predict`
        StepKind(
            name="check_import",
            server="tensorflow",
            module="tf_check_import",
            packages=TENSORFLOW,
            outputs=("import.json",),
        ),
        # float .tflite x the source's own outputs -> whether they are the same
        StepKind(
            name="check_float",
            server="litert",
            module="check_float",
            packages=LITERT,
            outputs=("float.json",),
        ),
        # float .tflite x samples -> its own outputs
        StepKind(
            name="predict_tflite",
            server="litert",
            module="litert_predict",
            packages=LITERT,
            outputs=("predictions.npz",),
        ),
        # float .tflite x samples -> activation ranges
        StepKind(
            name="calibrate",
            server="litert",
            module="litert_calibrate",
            packages=LITERT,
            outputs=("ranges.json",),
        ),
        # float .tflite x samples -> second moments of what comes into FULLY_CONNECTED
        StepKind(
            name="moments",
            server="litert",
            module="litert_moments",
            packages=LITERT,
            outputs=("moments.npz",),
        ),
        # float .tflite (+ ranges, moments) -> quantized .tflite
        StepKind(
            name="quantize",
            server="litert",
            module="litert_quantize",
            packages=QUANTIZER,
            outputs=("model.tflite",),
        ),
        # float .tflite x samples x predictions (+ ranges) -> what quantizing each operator alone costs
        StepKind(
            name="sensitivity",
            server="litert",
            module="litert_sensitivity",
            packages=QUANTIZER,
            outputs=("sensitivity.json",),
        ),
        # float .tflite x samples (+ evaluation samples, ranges) -> whether the samples are enough
        StepKind(
            name="advise",
            server="litert",
            module="litert_advise",
            packages=LITERT,
            outputs=("advice.json",),
        ),
        # SavedModel (+ samples) -> quantized .tflite, TFLiteConverter's own way
        StepKind(
            name="quantize_in_converter",
            server="tensorflow",
            module="tf_quantize",
            packages=(*TENSORFLOW, "ai-edge-litert"),
            outputs=("model.tflite",),
        ),
        # .tflite (+ label files, calibration tables) -> itself, with metadata; nothing changes its bytes after this
        StepKind(
            name="annotate",
            server="litert",
            module="annotate",
            packages=(*LITERT, "flatbuffers"),
            outputs=("model.tflite",),
        ),
        # .tflite -> what it really contains, against what was declared
        StepKind(
            name="check",
            server="litert",
            module="check",
            packages=LITERT,
            outputs=("check.json",),
        ),
        # .tflite x samples x predictions -> parity and accuracy
        StepKind(
            name="verify",
            server="litert",
            module="litert_verify",
            packages=LITERT,
            outputs=("verify.json",),
        ),
        # .tflite -> latency on this host, how sure it is, its operators' shares
        StepKind(
            name="benchmark",
            server="litert",
            module="litert_benchmark",
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
            packages=(),
            outputs=("card.md", "runners/"),
        ),
        *TARGET_KINDS,
    )
}
