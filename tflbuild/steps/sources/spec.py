"""The step kinds of the domain `sources`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, TENSORFLOW, StepKind

KINDS = (
    # Fetches a TF Hub handle, or unpacks an archive, to a SavedModel folder.
    StepKind(
        name="fetch",
        server="tensorflow",
        module="steps.sources.hub_fetch",
        packages=(),
        outputs=("model/",),
        network=True,
    ),
    # Converts a source to a SavedModel snapshot with the declared signatures. The files of a SavedModel are not
    # byte-reproducible (fingerprint, shards), but the model in them is.
    StepKind(
        name="import",
        server="tensorflow",
        module="steps.sources.tf_import",
        packages=(*TENSORFLOW, "tf_keras"),
        outputs=("snapshot/", "signature.json", "witness.npz"),
        unstable=("snapshot/",),
    ),
    # Lists the entry points of a source, for `inspect`.
    StepKind(
        name="describe",
        server="tensorflow",
        module="steps.sources.tf_describe",
        packages=(*TENSORFLOW, "tf_keras"),
        outputs=("signature.json",),
    ),
    # Copies a float .tflite with the declared signatures. It needs no TensorFlow.
    StepKind(
        name="import_tflite",
        server="litert",
        module="steps.sources.litert_import",
        packages=LITERT,
        outputs=("model.tflite", "signature.json"),
    ),
)
