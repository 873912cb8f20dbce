"""The step kinds of packaging: `annotate` and `package`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # .tflite (+ label files, calibration tables) -> itself, with metadata; nothing changes its bytes after this
    StepKind(
        name="annotate",
        server="litert",
        module="steps.packaging.annotate",
        packages=(*LITERT, "flatbuffers"),
        outputs=("model.tflite",),
    ),
    # check.json, verify.json -> the card, which says how to feed the artifact, and programs that do
    StepKind(
        name="package",
        server="litert",
        module="steps.packaging.package",
        packages=(),
        outputs=("card.md", "runners/"),
    ),
)
