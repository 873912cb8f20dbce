"""The kinds of step of this folder."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, TENSORFLOW, StepKind

KINDS = (
    # TF Hub handle or archive -> the SavedModel folder behind it
    StepKind(
        name="fetch",
        server="tensorflow",
        module="steps.sources.hub_fetch",
        packages=(),
        outputs=("model/",),
        network=True,
    ),
    # source -> SavedModel snapshot with declared signatures. An exported SavedModel is not
    # byte-reproducible (fingerprint, shards), the model in it is.
    StepKind(
        name="import",
        server="tensorflow",
        module="steps.sources.tf_import",
        packages=(*TENSORFLOW, "tf_keras"),
        outputs=("snapshot/", "signature.json", "witness.npz"),
        unstable=("snapshot/",),
    ),
    # source -> what it offers, for `inspect`
    StepKind(
        name="describe",
        server="tensorflow",
        module="steps.sources.tf_describe",
        packages=(*TENSORFLOW, "tf_keras"),
        outputs=("signature.json",),
    ),
    # float .tflite -> itself, with declared signatures; no TensorFlow
    StepKind(
        name="import_tflite",
        server="litert",
        module="steps.sources.litert_import",
        packages=LITERT,
        outputs=("model.tflite", "signature.json"),
    ),
)
