"""The step kind of the Edge TPU: `prove_edgetpu`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # .tflite -> Edge TPU model, as Coral's compiler makes it
    StepKind(
        name="prove_edgetpu",
        server="litert",
        module="targets.edgetpu.proof",
        packages=LITERT,
        outputs=("verdict.json", "compiled/"),
    ),
)
