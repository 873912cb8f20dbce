"""Comparison of the recipe's section `metadata` with the metadata and files that are read back from the artifact.

This module shares no code with the writer of metadata (`metadata_declarations`), because it would repeat its faults.
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
# The relative tolerance of numbers, which are stored as float32.
FLOAT32 = 1e-6
CONTENTS = {"image": "ImageProperties", "audio": "AudioProperties", "feature": "FeatureProperties"}
NORMALIZATION, THRESHOLD = "NormalizationOptions", "ScoreThresholdingOptions"
CALIBRATION = "ScoreCalibrationOptions"


def check_metadata(
    model: Model, path: Path, declared: Mapping[str, Json], key: str, files: Mapping[str, bytes]
) -> Iterator[Finding]:
    """Compare the metadata of an artifact with the section `metadata` of the recipe.

    Args:
        model: The contents of the artifact.
        path: The artifact.
        declared: The section as JSON, with files by their names in the artifact.
        key: The name of the main signature, to which `declared.inputs` and `declared.outputs` belong.
        files: The contents of the recipe's files, by their names in the artifact.
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
        yield from _compare("", name, tree.get(name, ""), declared.get(name, ""))
    by_signature = {key: declared, **declared.get("more", {})}
    for entry in model.signatures:
        for side in ("input", "output"):
            expected = by_signature.get(entry.key, {}).get(f"{side}s", {})
            yield from _check_side(model, entry, side, tree, expected)
    yield from _check_files(path, files, tree, declared)


def _check_side(
    model: Model, entry: SignatureDef, side: str, tree: Json, declared: Mapping[str, Json]
) -> Iterator[Finding]:
    """Compare each declared tensor of a signature, which has the same index as the subgraph's input or output."""
    graphs = tree.get("subgraph_metadata", [])
    described = graphs[entry.subgraph].get(f"{side}_tensor_metadata", []) if entry.subgraph < len(graphs) else []
    graph = model.subgraphs[entry.subgraph]
    tensor_ids = [id(graph.tensors[number]) for number in getattr(graph, f"{side}s")]
    for name, tensor in getattr(entry, f"{side}s").items():
        index = tensor_ids.index(id(tensor)) if id(tensor) in tensor_ids else len(described)
        actual = described[index] if index < len(described) else {}
        expected = declared.get(name, {})
        if expected or actual.get("name"):
            yield from _check_tensor(f"{side} '{name}'", {"name": name, **expected}, actual)


def _check_tensor(where: str, expected: Mapping[str, Json], actual: Mapping[str, Json]) -> Iterator[Finding]:
    """Compare the metadata of one input or output."""
    units = {unit.get("options_type"): unit.get("options", {}) for unit in actual.get("process_units", [])}
    normalization = units.get(NORMALIZATION, {})
    content = actual.get("content", {})
    stats = actual.get("stats", {})
    yield from _compare(where, "name", actual.get("name", ""), expected["name"])
    yield from _compare(where, "description", actual.get("description", ""), expected.get("description", ""))
    normalized = bool(expected.get("mean") or expected.get("std"))
    for name, neutral in (("mean", 0.0), ("std", 1.0)):
        wanted = (expected.get(name) or [neutral]) if normalized else []
        yield from _compare(where, name, normalization.get(name, []), wanted)
    for name in ("min", "max"):
        yield from _compare(where, name, stats.get(name, []), expected.get(name) or [])
    kind = CONTENTS.get(expected.get("content") or "", "")
    yield from _compare(where, "content", content.get("content_properties_type", ""), kind)
    properties = content.get("content_properties", {})
    if kind == "ImageProperties":
        space = str(expected.get("color_space") or "unknown").upper()
        yield from _compare(where, "color_space", properties.get("color_space", "UNKNOWN"), space)
    if kind == "AudioProperties":
        for name in ("sample_rate", "channels"):
            yield from _compare(where, name, properties.get(name, 0), expected.get(name) or 0)
    yield from _check_scores(where, expected, units)
    listed = {(file.get("type"), file.get("name")) for file in actual.get("associated_files", [])}
    for role, kind in FILES.items():
        if expected.get(role) and (kind, expected[role]) not in listed:
            yield Finding(RULE, f"{where}: {role} does not name {expected[role]}")


def _check_scores(where: str, expected: Mapping[str, Json], units: Mapping[str, Json]) -> Iterator[Finding]:
    """Compare the threshold and the score calibration of an output."""
    threshold = units.get(THRESHOLD, {}).get("global_score_threshold", 0.0) if THRESHOLD in units else ""
    expected_threshold = "" if expected.get("threshold") is None else expected["threshold"]
    yield from _compare(where, "threshold", threshold, expected_threshold)
    calibration = expected.get("score_calibration") or {}
    unit = units.get(CALIBRATION, {})
    if bool(calibration) != (CALIBRATION in units):
        yield Finding(
            RULE, f"{where}: score_calibration is {'missing' if calibration else 'in the file, and was not declared'}"
        )
    elif calibration:
        transformation = str(calibration.get("transformation") or "identity").upper()
        yield from _compare(
            where, "transformation", unit.get("score_transformation", "IDENTITY") or "IDENTITY", transformation
        )
        default = calibration.get("default_score") or 0.0
        yield from _compare(where, "default_score", unit.get("default_score", 0.0), default)


def _check_files(path: Path, files: Mapping[str, bytes], tree: Json, declared: Json) -> Iterator[Finding]:
    """Compare each associated file line by line, and the descriptions of the files under metadata.files."""
    packed = _read_files(path)
    for name, wanted in files.items():
        if name not in packed:
            yield Finding(RULE, f"{name} is not in the file")
            continue
        yield from _compare_lines(name, packed[name], wanted)
    described = {file.get("name"): file.get("description", "") for file in tree.get("associated_files", [])}
    for name, text in declared.get("files", {}).items():
        if name not in described:
            yield Finding(RULE, f"the metadata does not list {name}")
        else:
            yield from _compare(name, "description", described[name], text)


def _read_files(path: Path) -> dict[str, bytes]:
    raw = io.BytesIO(path.read_bytes())
    if not zipfile.is_zipfile(raw):
        return {}
    with zipfile.ZipFile(raw) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _compare_lines(name: str, actual: bytes, expected_data: bytes) -> Iterator[Finding]:
    """Yield the first line that differs, except for a byte order mark, line ends, or the notation of a number."""
    lines, declared = _split_lines(actual), _split_lines(expected_data)
    for number, (line, expected) in enumerate(zip(lines, declared, strict=False), 1):
        if line != expected and not (
            _parse_numbers(expected) and _are_equal(_parse_numbers(line), _parse_numbers(expected))
        ):
            yield Finding(RULE, f"{name}: line {number} is {line!r}, {expected!r} was declared")
            return
    if len(lines) != len(declared):
        yield Finding(RULE, f"{name} has {len(lines)} lines, {len(declared)} were declared")


def _split_lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n")


def _parse_numbers(line: str) -> list[float]:
    """Return the numbers of a line of a table, [] if it contains anything else."""
    try:
        return [float(part) for part in line.split(",")]
    except ValueError:
        return []


def _compare(where: str, name: str, actual: Json, declared: Json) -> Iterator[Finding]:
    """Yield a finding if a property differs from the declared one."""
    if _are_equal(actual, declared):
        return
    location = f"{where}: {name}" if where else name
    if declared in ("", []):
        yield Finding(RULE, f"{location} is {_show(actual)}, none was declared")
    else:
        yield Finding(RULE, f"{location} is {_show(actual) or 'missing'}, {_show(declared)} was declared")


def _are_equal(actual: Json, declared: Json) -> bool:
    """Return whether two properties are equal, numbers up to the precision of float32."""
    if isinstance(actual, str) or isinstance(declared, str):
        return bool(actual == declared)
    left, right = (list(value) if isinstance(value, Sequence) else [value] for value in (actual, declared))
    if not left or len(left) != len(right):
        return left == right
    return all(math.isclose(a, b, rel_tol=FLOAT32, abs_tol=1e-38) for a, b in zip(left, right, strict=True))


def _show(value: Json) -> str:
    """Return a property as text."""
    if isinstance(value, str):
        return f"'{value}'" if value else ""
    if isinstance(value, Sequence):
        return ", ".join(f"{number:g}" for number in value)
    return f"{value:g}"
