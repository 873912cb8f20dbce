"""Collect warnings: reasons to doubt the figures of an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tflbuild.core.digest import Json
from tflbuild.core.figure_warnings import find_warnings, warn_of_gates
from tflbuild.core.gates import Gate
from tflbuild.report.likely_mistakes import list_likely_mistakes
from tflbuild.report.variant_notes import variant_notes
from tflbuild.report.variant_summary import SweepRow, label_variants


def list_warnings(manifest: Mapping[str, Json], gates: Sequence[Gate] = ()) -> list[str]:
    """Return a line for each reason to doubt the figures of a manifest.

    Args:
        manifest: The manifest.
        gates: The gates with which the figures were compared.
    """
    warnings = []
    for key, used in (("overlap", "calibrated"), ("training_overlap", "trained")):
        overlap = manifest.get(key)
        if overlap and overlap["count"]:
            warnings.append(
                f"{overlap['count']:,} of {overlap['of']:,} evaluation samples were {used} with too:"
                " what is measured on them flatters the artifact"
            )
    for role in manifest["synthetic_data"]:
        warnings.append(f"the {role} are random numbers (dataset=synthetic): accuracy is anybody's guess")
    verify = manifest["metrics"].get("verify")
    if verify:
        warnings += [warning.text for warning in (*warn_of_gates(gates, verify), *find_warnings(verify))]
    return [*dict.fromkeys([*warnings, *list_likely_mistakes(manifest)])]


def warning_text(rows: Sequence[SweepRow]) -> str:
    """Return a line for each note and warning about the built variants, with the labels of those that have it."""
    built = {
        label: row.manifest for label, row in zip(label_variants(rows), rows, strict=True) if row.manifest is not None
    }
    notes = label_texts({label: variant_notes(manifest) for label, manifest in built.items()})
    warnings = label_texts({label: manifest["warnings"] for label, manifest in built.items()})
    return "".join([*(f"note: {line}\n" for line in notes), *(f"warning: {line}\n" for line in warnings)])


def label_texts(texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Return each text once, after the labels of the variants that have it, unless all have it.

    Args:
        texts: The texts of each variant, by label.
    """
    labels_by_text: dict[str, list[str]] = {}
    for label, own in texts.items():
        for text in own:
            labels_by_text.setdefault(text, []).append(label)
    return [
        text if len(names) == len(texts) else f"{', '.join(names)}: {text}" for text, names in labels_by_text.items()
    ]
