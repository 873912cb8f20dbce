"""Reference outputs: what the source gives for the samples, and for the probes.

A `.npz` with `<signature>:<output>`, samples first, and for each probe `probe<i>:<signature>:in:<input>`
and `probe<i>:<signature>:out:<output>`, whose label stands in `probe<i>:<signature>:label`.
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
    """A probe and what the source gave for it."""

    label: str
    feed: Arrays
    outputs: Arrays


@dataclass(frozen=True)
class Predictions:
    """Of one signature: outputs of all samples, and the probes that the source itself could run."""

    outputs: Arrays
    probes: tuple[ProbeResult, ...] = ()


def probe(signature: Mapping[str, Any], inputs: Arrays, call: Call) -> Iterator[ProbeResult]:
    """The probes of a signature. One that the source itself refuses is none: it is not that free."""
    for one in make_resize_probes(signature, inputs):
        try:
            outputs = call(one.feed)
        except Exception as error:  # whatever a framework raises for a size that it cannot take
            print(f"the source itself does not run {one.label}: {error}")
            continue
        yield ProbeResult(one.label, one.feed, outputs)


def call_signatures_in_turn(
    signatures: Sequence[Mapping[str, Any]], feeds: Mapping[str, Arrays], calls: Mapping[str, Call]
) -> dict[str, Arrays]:
    """Signature -> outputs, calls first: one call of each signature after the other, as long as samples last."""
    collected: dict[str, dict[str, list[np.ndarray]]] = {one["key"]: {} for one in signatures}
    turns = zip(*(each_sample(feeds[one["key"]], batch=batch_of(one)) for one in signatures), strict=False)
    count = min(-(-count_samples(feeds[one["key"]]) // batch_of(one)) for one in signatures)
    for turn in step_progress.track(turns, count):
        for one, feed in zip(signatures, turn, strict=True):
            for name, value in calls[one["key"]](feed).items():
                collected[one["key"]].setdefault(name, []).append(value)
    return {key: {name: np.stack(values) for name, values in outputs.items()} for key, outputs in collected.items()}


def are_stateful(signature: Mapping[str, Any]) -> bool:
    """Whether any signature changes state, so that the order of all calls matters."""
    return any(one["stateful"] for one in each_signature(signature))


def require_finite(outputs: Arrays) -> None:
    """Raises WorkerError for NaN and infinity: no comparison with them means anything."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WorkerError(
                f"the source model gives NaN or infinity in its output '{name}'",
                where="source",
                why=f"{int((~np.isfinite(array)).sum())} of {array.size} values, on the evaluation samples",
                next_step="check the model's weights and the preprocessing of verify.dataset (scale, offset)",
            )


def save_predictions(path: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the predictions of every signature that was fed."""
    arrays: Arrays = {}
    for key, one in predictions.items():
        arrays |= {f"{key}:{name}": array for name, array in sorted(one.outputs.items())}
        for index, probed in enumerate(one.probes):
            place = f"{PROBE}{index}:{key}"
            arrays[f"{place}:label"] = np.array(probed.label)
            arrays |= {f"{place}:in:{name}": array for name, array in probed.feed.items()}
            arrays |= {f"{place}:out:{name}": array for name, array in probed.outputs.items()}
    np.savez(path, **{name: plain(array) for name, array in arrays.items()})  # type: ignore[arg-type]


def plain(array: np.ndarray) -> np.ndarray:
    """Strings as bytes of one width: object arrays would need pickling."""
    return array.astype("S") if array.dtype.kind == "O" else array


def load_predictions(path: Path, key: str) -> Predictions:
    """Those of one signature."""
    with np.load(path, allow_pickle=False) as archive:
        start = f"{key}:"
        outputs = {name[len(start) :]: archive[name] for name in archive.files if name.startswith(start)}
        probes: list[ProbeResult] = []
        while (place := f"{PROBE}{len(probes)}:{key}") + ":label" in archive.files:
            sides = [
                {n[len(f"{place}:{side}:") :]: archive[n] for n in archive.files if n.startswith(f"{place}:{side}:")}
                for side in ("in", "out")
            ]
            probes.append(ProbeResult(str(archive[f"{place}:label"]), *sides))
        return Predictions(outputs, tuple(probes))
