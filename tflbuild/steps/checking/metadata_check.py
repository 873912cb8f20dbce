"""What a recipe declares under `metadata`, against the metadata and files that are read back from the artifact.

It shares no code with `annotations`, which writes them: a fault there would pass otherwise.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tflbuild.steps.checking.findings import Finding
from tflbuild.tflite.tflite_metadata import read_metadata
from tflbuild.tflite.tflite_model import Model, SignatureDef

Json = Any
RULE = "metadata"
PROSE = ("name", "description", "version", "author", "license")
FILES = {
    "labels": "TENSOR_AXIS_LABELS",
    "value_labels": "TENSOR_VALUE_LABELS",
    "vocabulary": "VOCABULARY",
}
FLOAT32 = 1e-6  # relative: numbers are stored as float32
CONTENTS = {"image": "ImageProperties", "audio": "AudioProperties", "feature": "FeatureProperties"}
NORMALIZATION, THRESHOLD = "NormalizationOptions", "ScoreThresholdingOptions"
CALIBRATION = "ScoreCalibrationOptions"


def check_metadata(
    model: Model, path: Path, declared: Mapping[str, Json], key: str, files: Mapping[str, bytes]
) -> Iterator[Finding]:
    """Compare the metadata in the file at `path` with the recipe's section as plain JSON.

    Args:
        model: The artifact as it was read.
        path: The artifact.
        declared: `metadata` of the recipe, files by their names in the artifact.
        key: The main signature, which `declared.inputs` and `declared.outputs` are of.
        files: The recipe's files by their names in the artifact.
    """
    metadata = read_metadata(path)
    if metadata.get("damaged"):
        yield Finding(RULE, metadata["damaged"])
        return
    if not metadata.get("model"):
        yield Finding(RULE, "the file has no metadata")
        return
    tree = metadata["model"]
    for name in PROSE:
        yield from _different("", name, tree.get(name, ""), declared.get(name, ""))
    by_signature = {key: declared, **declared.get("more", {})}
    for entry in model.signatures:
        for side in ("input", "output"):
            expected = by_signature.get(entry.key, {}).get(f"{side}s", {})
            yield from _check_side(model, entry, side, tree, expected)
    yield from _check_files(path, files, tree, declared)


def _check_side(
    model: Model, entry: SignatureDef, side: str, tree: Json, declared: Mapping[str, Json]
) -> Iterator[Finding]:
    """Compare each declared tensor of a signature, found by its place among the subgraph's inputs or outputs."""
    graphs = tree.get("subgraph_metadata", [])
    described = graphs[entry.subgraph].get(f"{side}_tensor_metadata", []) if entry.subgraph < len(graphs) else []
    graph = model.subgraphs[entry.subgraph]
    places = [id(graph.tensors[index]) for index in getattr(graph, f"{side}s")]
    for name, tensor in getattr(entry, f"{side}s").items():
        place = places.index(id(tensor)) if id(tensor) in places else len(described)
        actual = described[place] if place < len(described) else {}
        expected = declared.get(name, {})
        if expected or actual.get("name"):
            yield from _check_tensor(f"{side} '{name}'", {"name": name, **expected}, actual)


def _check_tensor(where: str, expected: Mapping[str, Json], actual: Mapping[str, Json]) -> Iterator[Finding]:
    units = {unit.get("options_type"): unit.get("options", {}) for unit in actual.get("process_units", [])}
    normalization = units.get(NORMALIZATION, {})
    content = actual.get("content", {})
    stats = actual.get("stats", {})
    yield from _different(where, "name", actual.get("name", ""), expected["name"])
    yield from _different(where, "description", actual.get("description", ""), expected.get("description", ""))
    normalized = bool(expected.get("mean") or expected.get("std"))
    for name, neutral in (("mean", 0.0), ("std", 1.0)):
        wanted = (expected.get(name) or [neutral]) if normalized else []
        yield from _different(where, name, normalization.get(name, []), wanted)
    for name in ("min", "max"):
        yield from _different(where, name, stats.get(name, []), expected.get(name) or [])
    kind = CONTENTS.get(expected.get("content") or "", "")
    yield from _different(where, "content", content.get("content_properties_type", ""), kind)
    properties = content.get("content_properties", {})
    if kind == "ImageProperties":
        space = str(expected.get("color_space") or "unknown").upper()
        yield from _different(where, "color_space", properties.get("color_space", "UNKNOWN"), space)
    if kind == "AudioProperties":
        for name in ("sample_rate", "channels"):
            yield from _different(where, name, properties.get(name, 0), expected.get(name) or 0)
    yield from _check_scores(where, expected, units)
    listed = {(file.get("type"), file.get("name")) for file in actual.get("associated_files", [])}
    for role, kind in FILES.items():
        if expected.get(role) and (kind, expected[role]) not in listed:
            yield Finding(RULE, f"{where}: {role} does not name {expected[role]}")


def _check_scores(where: str, expected: Mapping[str, Json], units: Mapping[str, Json]) -> Iterator[Finding]:
    """Compare threshold and score calibration of an output."""
    threshold = units.get(THRESHOLD, {}).get("global_score_threshold", 0.0) if THRESHOLD in units else ""
    wanted = "" if expected.get("threshold") is None else expected["threshold"]
    yield from _different(where, "threshold", threshold, wanted)
    calibration = expected.get("score_calibration") or {}
    unit = units.get(CALIBRATION, {})
    if bool(calibration) != (CALIBRATION in units):
        yield Finding(
            RULE, f"{where}: score_calibration is {'missing' if calibration else 'in the file, and was not declared'}"
        )
    elif calibration:
        transformation = str(calibration.get("transformation") or "identity").upper()
        yield from _different(
            where, "transformation", unit.get("score_transformation", "IDENTITY") or "IDENTITY", transformation
        )
        default = calibration.get("default_score") or 0.0
        yield from _different(where, "default_score", unit.get("default_score", 0.0), default)


def _check_files(path: Path, files: Mapping[str, bytes], tree: Json, declared: Json) -> Iterator[Finding]:
    """Compare each packed file line by line, and the descriptions of those under metadata.files."""
    packed = _read_files(path)
    for name, wanted in files.items():
        if name not in packed:
            yield Finding(RULE, f"{name} is not in the file")
            continue
        yield from _different_lines(name, packed[name], wanted)
    described = {file.get("name"): file.get("description", "") for file in tree.get("associated_files", [])}
    for name, text in declared.get("files", {}).items():
        if name not in described:
            yield Finding(RULE, f"the metadata do not name {name}")
        else:
            yield from _different(name, "description", described[name], text)


def _read_files(path: Path) -> dict[str, bytes]:
    raw = io.BytesIO(path.read_bytes())
    if not zipfile.is_zipfile(raw):
        return {}
    with zipfile.ZipFile(raw) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _different_lines(name: str, has: bytes, wanted: bytes) -> Iterator[Finding]:
    """Yield the first line that differs in more than a byte order mark, line ends, or how a number is written."""
    lines, declared = _lines(has), _lines(wanted)
    for number, (line, expected) in enumerate(zip(lines, declared, strict=False), 1):
        if line != expected and not (_numbers(expected) and _same(_numbers(line), _numbers(expected))):
            yield Finding(RULE, f"{name}: line {number} is {line!r}, {expected!r} was declared")
            return
    if len(lines) != len(declared):
        yield Finding(RULE, f"{name} has {len(lines)} lines, {len(declared)} were declared")


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n")


def _numbers(line: str) -> list[float]:
    """Return the numbers of a line of a table, [] where it is something else."""
    try:
        return [float(part) for part in line.split(",")]
    except ValueError:
        return []


def _different(where: str, name: str, has: Json, wanted: Json) -> Iterator[Finding]:
    if _same(has, wanted):
        return
    place = f"{where}: {name}" if where else name
    if wanted in ("", []):
        yield Finding(RULE, f"{place} is {_show(has)}, none was declared")
    else:
        yield Finding(RULE, f"{place} is {_show(has) or 'missing'}, {_show(wanted)} was declared")


def _same(has: Json, wanted: Json) -> bool:
    if isinstance(has, str) or isinstance(wanted, str):
        return bool(has == wanted)
    left, right = (list(one) if isinstance(one, Sequence) else [one] for one in (has, wanted))
    if not left or len(left) != len(right):
        return left == right
    return all(math.isclose(a, b, rel_tol=FLOAT32, abs_tol=1e-38) for a, b in zip(left, right, strict=True))


def _show(value: Json) -> str:
    if isinstance(value, str):
        return f"'{value}'" if value else ""
    if isinstance(value, Sequence):
        return ", ".join(f"{one:g}" for one in value)
    return f"{value:g}"
