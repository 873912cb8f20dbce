"""The kinds of step of this folder."""

from __future__ import annotations

from tflbuild.core.step_kind import StepKind

KINDS = (
    # Keras file -> what it takes and gives, read in its configuration; nothing of it is built
    StepKind(
        name="describe_keras",
        server="litert",
        module="steps.foreign_models.keras_describe",
        packages=("h5py",),
        outputs=("signature.json",),
    ),
)
