"""The step kinds of verification: `predict`, `check_import`, `check_float`, `predict_tflite` and `verify`."""

from __future__ import annotations

from tflbuild.core.step_kind import LITERT, TENSORFLOW, StepKind

KINDS = (
    # SavedModel x samples -> the source's own outputs
    StepKind(
        name="predict",
        server="tensorflow",
        module="steps.verification.tf_predict",
        packages=TENSORFLOW,
        outputs=("predictions.npz",),
    ),
    # SavedModel x the source's own outputs -> whether they are the same; where there is no `predict`
    StepKind(
        name="check_import",
        server="tensorflow",
        module="steps.verification.tf_check_import",
        packages=TENSORFLOW,
        outputs=("import.json",),
    ),
    # float .tflite x the source's own outputs -> whether they are the same
    StepKind(
        name="check_float",
        server="litert",
        module="steps.verification.check_float",
        packages=LITERT,
        outputs=("float.json",),
    ),
    # float .tflite x samples -> its own outputs
    StepKind(
        name="predict_tflite",
        server="litert",
        module="steps.verification.litert_predict",
        packages=LITERT,
        outputs=("predictions.npz",),
    ),
    # .tflite x samples x predictions -> parity and accuracy
    StepKind(
        name="verify",
        server="litert",
        module="steps.verification.litert_verify",
        packages=LITERT,
        outputs=("verify.json",),
    ),
)
