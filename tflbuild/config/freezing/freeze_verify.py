"""Freeze the section of a recipe that describes what is measured, and its gates."""

from __future__ import annotations

import math
from dataclasses import replace

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.freeze_data import freeze_dataset
from tflbuild.config.freezing.freeze_model import require_reference
from tflbuild.config.schema import schema_verify as schema
from tflbuild.core.gates import GATED_ACCURACIES, METRIC_SIDES, SIZE_FIGURES, Limits, is_lower_limit
from tflbuild.core.recipe import Verify

NOT_LIMITS = ("outputs", "at_least", "at_most", "confidence")
# The SNR of identical outputs, as `steps.verification.parity_figures` reports it.
SNR_CEILING_DB = 200.0
SHARE = (0.0, 1.0, "a share from 0 to 1")
ERROR = (0.0, math.inf, "at least 0")
SIZE = (1.0, math.inf, "at least 1")
# From these limits on every artifact meets the gate: (limit, why, a limit that some miss).
ALWAYS_MET = {
    "top1_drop": (1.0, "accuracy cannot fall by more than 1, which is 100 points; 0.01 is one point", "0.01"),
    "top1": (0.0, "no accuracy is below 0", "0.9"),
    "agreement": (0.0, "no share is below 0", "0.98"),
    "cosine": (-1.0, "no cosine is below -1", "0.99"),
    "snr_db": (-SNR_CEILING_DB, f"ratios are reported from -{SNR_CEILING_DB:g} dB on", "30"),
}
# Minimum, maximum and their text. A limit outside of them would always or never be met.
POSSIBLE = {
    "top1_drop": (-1.0, 1.0, "a share from -1 to 1 (0.01 is one point)"),
    "top1": SHARE,
    "agreement": SHARE,
    "cosine": (-1.0, 1.0, "from -1 to 1"),
    "max_abs_error": ERROR,
    "rmse": ERROR,
    "bytes": SIZE,
    "gzip_bytes": SIZE,
}


def freeze_verify(verify: schema.VerifyConfig, refusals: RecipeErrors) -> Verify:
    """Return what is measured, on which dataset, and with which gates.

    Raises:
        RecipeError: for a figure that cannot be measured, and for limits out of range.
    """
    gates = freeze_gates(verify.gates, "verify.gates", refusals)
    if verify.kind == "none":
        return Verify(kind=verify.kind, gates=tuple(gate for gate in gates if gate[0] in SIZE_FIGURES))
    confidence = freeze_confidence(verify.gates, gates, "verify.gates", refusals)
    dataset = freeze_dataset(verify.dataset, "verify.dataset", refusals)
    if dataset is None:
        raise refusals.refuse(
            f"verify={verify.kind} has no dataset",
            "verify.dataset",
            next_step="dataset@verify.dataset=npz verify.dataset.path=..., or verify=none",
        )
    for name, reference in verify.metrics.items():
        require_reference(reference, f"verify.metrics.{name}", refusals)
    measured = Verify(
        kind=verify.kind,
        dataset=dataset,
        metrics=tuple(sorted(verify.metrics.items())),
        files=freeze_metric_files(verify, refusals),
        gates=gates,
        confidence=confidence,
    )
    if not isinstance(verify, schema.ClassificationVerify):
        gates = tuple(gate for gate in gates if gate[0] not in GATED_ACCURACIES)
        return replace(measured, gates=gates, confidence=None)
    refusals.require(verify.top_k >= 1, "verify.top_k", verify.top_k, "at least 1")
    if not dataset.label:
        raise refusals.refuse(
            "verify=classification has no labels",
            "verify.dataset.label",
            why="accuracy is measured against an array of integer class labels",
            next_step="name that array: verify.dataset.label=label (label=folder takes class folders),"
            " or use verify=parity",
        )
    return replace(measured, output=verify.output, top_k=verify.top_k)


def freeze_metric_files(verify: schema.VerifyConfig, refusals: RecipeErrors) -> tuple[str, ...]:
    """Return the files that metrics read.

    Raises:
        RecipeError: for files without a metric.
    """
    if verify.files and not verify.metrics:
        raise refusals.refuse(
            "'verify.files' has no effect",
            "verify.files",
            why="it declares what the code of verify.metrics reads, and there is none",
            next_step="declare a metric: verify.metrics.NAME=file.py:function, or leave it out",
        )
    return tuple(verify.files)


def freeze_gates(gates: schema.Gates, location: str, refusals: RecipeErrors) -> tuple[tuple[str, float], ...]:
    """Return (name, limit) of each gate that is set, with the names of `core.gates`.

    Raises:
        RecipeError: for a limit out of range, and for one that every artifact meets.
    """
    limits_by_name = {name: limit for name, limit in vars(gates).items() if name not in NOT_LIMITS}
    for output, limits in gates.outputs.items():
        limits_by_name |= {f"outputs.{output}.{name}": limit for name, limit in vars(limits).items()}
    for side in ("at_least", "at_most"):
        limits_by_name |= {f"{side}.{name}": limit for name, limit in getattr(gates, side).items()}
    frozen = tuple(sorted((name, float(limit)) for name, limit in limits_by_name.items() if limit is not None))
    for name, limit in frozen:
        refusals.require(math.isfinite(limit), f"{location}.{name}", limit, "a finite number, or null")
        if name.partition(".")[0] not in METRIC_SIDES:
            minimum, maximum, rule = POSSIBLE.get(name.rpartition(".")[2], (-math.inf, math.inf, ""))
            refusals.require(minimum <= limit <= maximum, f"{location}.{name}", f"{limit:g}", rule)
            require_missable(name, limit, f"{location}.{name}", refusals)
    return frozen


def require_missable(name: str, limit: float, key: str, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a limit that every artifact meets."""
    figure = name.rpartition(".")[2]
    if figure not in ALWAYS_MET:
        return
    bound, reason, instead = ALWAYS_MET[figure]
    if limit <= bound if is_lower_limit(figure) else limit >= bound:
        raise refusals.refuse(
            f"'{key}' is {limit:g}, which every artifact meets",
            key,
            why=reason,
            next_step=f"{key}={instead}, for example, or null for no gate",
        )


def freeze_confidence(gates: schema.Gates, limits: Limits, location: str, refusals: RecipeErrors) -> float | None:
    """Return the confidence that the bounds of gates need, or None.

    Args:
        gates: The gates, with `confidence`.
        limits: The limits to which it may apply.
        location: The recipe key of the gates.
        refusals: Makes the errors.

    Raises:
        RecipeError: for a confidence out of range, and for one without a gate on an accuracy.
    """
    if gates.confidence is None:
        return None
    key = f"{location}.confidence"
    refusals.require(0.5 <= gates.confidence < 1.0, key, f"{gates.confidence:g}", "from 0.5 to less than 1, as 0.95")
    if not any(name in GATED_ACCURACIES for name, _ in limits):
        raise refusals.refuse(
            f"'{key}' has no gate that it applies to",
            key,
            why=f"it applies to {', '.join(GATED_ACCURACIES)}: shares of samples, which have an interval",
            next_step=f"add such a gate ({location}.top1_drop=0.01 needs verify=classification), or leave it out",
        )
    return gates.confidence
