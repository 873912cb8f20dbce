"""The step kinds of the domain `foreign_models`."""

from __future__ import annotations

from tflbuild.core.step_kind import StepKind

KINDS = (
    # Reads the inputs and outputs of a Keras file from its configuration. No layer is built.
    StepKind(
        name="describe_keras",
        server="litert",
        module="steps.foreign_models.keras_describe",
        packages=("h5py",),
        outputs=("signature.json",),
    ),
)
