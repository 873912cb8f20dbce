"""The step kind of Ethos-U: `prove_ethos_u`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, StepKind

KINDS = (
    # .tflite -> what Vela makes of it for an Ethos-U, and its estimates
    StepKind(
        name="prove_ethos_u",
        server="litert",
        module="targets.ethos_u.proof",
        packages=(*LITERT, "ethos-u-vela"),
        outputs=("verdict.json", "compiled/"),
    ),
)
