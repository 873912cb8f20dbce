"""Summarize a variant in one line, and label the variants of a sweep."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.digest import Json
from tflbuild.core.figure_rounding import show_ratio
from tflbuild.core.figure_warnings import show_accuracy as show_accuracy_figure
from tflbuild.core.gates import collect_figures

SHOWN_SHA = 12


def show_path(path: Path) -> str:
    """Return a path relative to the current folder, unless it is outside of it."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def summarize(model: Path, manifest: Mapping[str, Json]) -> str:
    """Return a line with the path, the size and accuracy compared with float, and the SHA-256."""
    artifact = manifest["artifact"]
    size = show_bytes(artifact["bytes"])
    if artifact["sha256"] != artifact["float_sha256"]:
        size += f" (float {show_bytes(artifact['float_bytes'])})"
    if is_optimized(manifest):
        size += f", gzip {show_bytes(artifact['gzip_bytes'])}{show_packing(manifest)}"
    parts = [show_path(model), size, show_accuracy(manifest), show_needs(artifact["contents"])]
    parts.append(f"sha256 {artifact['sha256'][:SHOWN_SHA]}")
    return "  ".join(part for part in parts if part)


def is_optimized(manifest: Mapping[str, Json] | None) -> bool:
    """Return whether the model was trained before conversion, so that its packed size is of interest."""
    return bool(manifest and (manifest.get("optimized") or {}).get("steps"))


def show_packing(manifest: Mapping[str, Json]) -> str:
    """Return the properties of trained weights, as `check` read them in the artifact: ` with 50.0% zero weights`."""
    weights, optimization = manifest["artifact"]["contents"]["weights"], manifest["optimized"]
    parts = []
    if optimization["pruned"]:
        parts.append(f"{weights['zeros']:.1%} zero weights" + (", two of four" if weights["in_pairs"] == 1 else ""))
    if optimization["clustered"]:
        parts.append(f"{weights['channel_distinct']} values a channel")
    return f" with {', '.join(parts)}" if parts else ""


def show_needs(contents: Mapping[str, Json]) -> str:
    """Return what an app must link to run the artifact, or "" if the runtime is sufficient."""
    parts = []
    if contents["flex_operators"]:
        parts.append(f"needs the Flex delegate ({', '.join(contents['flex_operators'])})")
    if contents["custom_operators"]:
        parts.append(f"needs kernels of the app's own ({', '.join(contents['custom_operators'])})")
    return ", ".join(parts)


def show_accuracy(manifest: Mapping[str, Json]) -> str:
    """Return top-1 against the source's where labels were given, else the worst output's SNR."""
    verify = manifest["metrics"].get("verify")
    if not verify:
        return "unverified"
    accuracy = verify.get("classification")
    note = " on synthetic data" if "evaluation samples" in manifest["synthetic_data"] else ""
    if accuracy:
        source = show_accuracy_figure("top1_source", accuracy).partition(" (")[0]
        return f"top-1 {show_accuracy_figure('top1', accuracy)} of {verify['samples']:,} (float {source})"
    worst = collect_figures({"check": manifest["artifact"], "verify": verify})["snr_db"]
    ratio = f"SNR {show_ratio(worst)} dB{show_worst(verify, worst)}"
    return f"{ratio} against the source ({verify['samples']:,} samples{note})"


def show_worst(verify: Mapping[str, Json], worst: float) -> str:
    """Return which channel the worst SNR is of, or else its margin: ` in channel 4`, ` (+-0.3)`, "" for neither."""
    for name, output in verify["outputs"].items():
        channels = output.get("channels")
        if channels and channels["worst"]["snr_db"] == worst:
            axis = "" if channels["axis"] == -1 else f" of axis {channels['axis']}"
            several = f" of '{name}'" if len(verify["outputs"]) > 1 else ""
            return f" in channel {channels['worst']['channel']}{axis}{several}"
    intervals = [output.get("snr_db_interval") for output in verify["outputs"].values() if output["snr_db"] == worst]
    interval = intervals[0] if intervals else None
    return f" (+-{(interval['high'] - interval['low']) / 2:.1f})" if interval else ""


@dataclass(frozen=True)
class SweepRow:
    """A variant in the table of a sweep. `manifest` is set if it was built."""

    name: str
    verdict: str
    manifest: Mapping[str, Json] | None
    overrides: tuple[str, ...] = ()


class NamedVariant(Protocol):
    """A protocol for objects with the name of a variant and the overrides that made it."""

    @property
    def name(self) -> str: ...

    @property
    def overrides(self) -> tuple[str, ...]: ...


def label_variants(rows: Sequence[NamedVariant]) -> list[str]:
    """Return labels for the variants of a sweep: the overrides that not all of them have, with keys cut short."""
    shared = set.intersection(*(set(row.overrides) for row in rows)) if rows else set()
    parts = [[text.lstrip("+") for text in row.overrides if text not in shared] for row in rows]
    keys = {text.partition("=")[0] for texts in parts for text in texts}
    last = [key.rpartition(".")[2] for key in keys]
    short = {key: key.rpartition(".")[2] if last.count(key.rpartition(".")[2]) == 1 else key for key in keys}
    return [
        " ".join(_shorten(text, short) for text in texts) or row.name for texts, row in zip(parts, rows, strict=True)
    ]


def _shorten(text: str, short: Mapping[str, str]) -> str:
    key, mark, value = text.partition("=")
    return f"{short[key]}{mark}{value}"
