"""Predictions: what the source returns for the evaluation samples, and for the resize probes.

The file is a `.npz` with `<signature>:<output>`, samples first, and for each probe `probe<i>:<signature>:in:<input>`,
`probe<i>:<signature>:out:<output>` and `probe<i>:<signature>:label`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.runtime import step_progress
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.sample_files import Arrays, batch_of, count_samples, each_sample
from tflbuild.steps.verification.resize_probes import make_resize_probes
from tflbuild.tflite.signature_checks import each_signature

PROBE = "probe"

Call = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class ProbeResult:
    """A resize probe, and the source's outputs for it."""

    label: str
    feed: Arrays
    outputs: Arrays


@dataclass(frozen=True)
class Predictions:
    """The source's outputs of one signature for all samples, and for the probes that the source can run."""

    outputs: Arrays
    probes: tuple[ProbeResult, ...] = ()


def run_probes(signature: Mapping[str, Any], inputs: Arrays, call: Call) -> Iterator[ProbeResult]:
    """Run the resize probes of a signature. Probes that the source refuses are skipped."""
    for resize_probe in make_resize_probes(signature, inputs):
        try:
            outputs = call(resize_probe.feed)
        except Exception as error:
            # A framework may raise anything for a size that it does not support.
            print(f"the source does not run {resize_probe.label}: {error}")
            continue
        yield ProbeResult(resize_probe.label, resize_probe.feed, outputs)


def call_signatures_in_turn(
    signatures: Sequence[Mapping[str, Any]], feeds: Mapping[str, Arrays], calls: Mapping[str, Call]
) -> dict[str, Arrays]:
    """Call the signatures in turn, one call of each, until the samples of one are used up.

    Returns:
        Signature name -> outputs, with the calls as first axis.
    """
    collected: dict[str, dict[str, list[np.ndarray]]] = {signature["key"]: {} for signature in signatures}
    turns = zip(
        *(each_sample(feeds[signature["key"]], batch=batch_of(signature)) for signature in signatures), strict=False
    )
    count = min(-(-count_samples(feeds[signature["key"]]) // batch_of(signature)) for signature in signatures)
    for turn in step_progress.track(turns, count):
        for signature, feed in zip(signatures, turn, strict=True):
            for name, value in calls[signature["key"]](feed).items():
                collected[signature["key"]].setdefault(name, []).append(value)
    return {key: {name: np.stack(values) for name, values in outputs.items()} for key, outputs in collected.items()}


def are_stateful(signature: Mapping[str, Any]) -> bool:
    """Return whether any signature changes state, so that the order of all calls matters."""
    return any(entry["stateful"] for entry in each_signature(signature))


def require_finite(outputs: Arrays) -> None:
    """Check that the source's outputs are finite, because comparing others would be meaningless.

    Raises:
        WorkerError: An output has NaN or infinite values.
    """
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WorkerError(
                f"the source model gives NaN or infinity in its output '{name}'",
                where="source",
                why=f"{int((~np.isfinite(array)).sum())} of {array.size} values, on the evaluation samples",
                next_step="check the model's weights and the preprocessing of verify.dataset (scale, offset)",
            )


def save_predictions(path: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the predictions of all signatures with samples."""
    arrays: Arrays = {}
    for key, prediction in predictions.items():
        arrays |= {f"{key}:{name}": array for name, array in sorted(prediction.outputs.items())}
        for index, probe_result in enumerate(prediction.probes):
            prefix = f"{PROBE}{index}:{key}"
            arrays[f"{prefix}:label"] = np.array(probe_result.label)
            arrays |= {f"{prefix}:in:{name}": array for name, array in probe_result.feed.items()}
            arrays |= {f"{prefix}:out:{name}": array for name, array in probe_result.outputs.items()}
    np.savez(path, **{name: make_plain(array) for name, array in arrays.items()})  # type: ignore[arg-type]


def make_plain(array: np.ndarray) -> np.ndarray:
    """Return strings as bytes of one width, because object arrays would need pickling."""
    return array.astype("S") if array.dtype.kind == "O" else array


def load_predictions(path: Path, key: str) -> Predictions:
    """Read the predictions of one signature."""
    with np.load(path, allow_pickle=False) as archive:
        output_prefix = f"{key}:"
        outputs = {
            name[len(output_prefix) :]: archive[name] for name in archive.files if name.startswith(output_prefix)
        }
        probes: list[ProbeResult] = []
        while (prefix := f"{PROBE}{len(probes)}:{key}") + ":label" in archive.files:
            sides = [
                {n[len(f"{prefix}:{side}:") :]: archive[n] for n in archive.files if n.startswith(f"{prefix}:{side}:")}
                for side in ("in", "out")
            ]
            probes.append(ProbeResult(str(archive[f"{prefix}:label"]), *sides))
        return Predictions(outputs, tuple(probes))
