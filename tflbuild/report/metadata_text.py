"""TFLite Metadata that were read in an artifact, as lines for `inspect` and the card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.digest import Json

SHOWN_LABELS = 3
CONTENT = {
    "ImageProperties": "image",
    "AudioProperties": "audio",
    "FeatureProperties": "features",
    "BoundingBoxProperties": "bounding boxes",
}
FILES = {
    "DESCRIPTIONS": "a description",
    "TENSOR_AXIS_LABELS": "labels",
    "TENSOR_VALUE_LABELS": "labels of values",
    "TENSOR_AXIS_SCORE_CALIBRATION": "score calibration",
    "VOCABULARY": "a vocabulary",
    "SCANN_INDEX_FILE": "a ScaNN index",
}


def metadata_text(contents: Mapping[str, Json]) -> list[str]:
    """Lines in the layout of `inspect`: a word, then what it is. Empty for an artifact without metadata."""
    told = contents.get("metadata") or {}
    if not told:
        return []
    model = told["model"]
    lines = [f"metadata   {line}" for line in _title(model)]
    for graph in model.get("subgraph_metadata", ()):
        for side in ("input", "output"):
            for tensor in graph.get(f"{side}_tensor_metadata", ()):
                if parts := list(_tensor(tensor)):
                    lines.append(f"  {side:<6}  {tensor.get('name', '')}  {'; '.join(parts)}")
    lines += [f"file       {_file(file)}" for file in told["files"]]
    if told["missing"]:
        lines.append(f"missing    {', '.join(told['missing'])}: named by the metadata, and not in the artifact")
    if told["damaged"]:
        lines.append(f"damaged    {told['damaged']}")
    return lines or ["metadata   none but the version of their format"]


def _title(model: Mapping[str, Json]) -> Iterator[str]:
    name = " ".join(filter(None, (model.get("name"), model.get("version"))))
    parts = [name] if name else []
    parts += [f"by {model['author']}"] if model.get("author") else []
    parts += [f"license {model['license']}"] if model.get("license") else []
    if parts:
        yield ", ".join(parts)
    if model.get("description"):
        yield model["description"]


def _tensor(tensor: Mapping[str, Json]) -> Iterator[str]:
    """What is told beyond the name."""
    if tensor.get("description"):
        yield tensor["description"].rstrip(".")
    content = tensor.get("content", {})
    if kind := CONTENT.get(content.get("content_properties_type", "")):
        yield _content(kind, content.get("content_properties", {}))
    for unit in tensor.get("process_units", ()):
        yield _unit(unit.get("options_type", "unknown"), unit.get("options", {}))
    stats = tensor.get("stats", {})
    if stats.get("min") or stats.get("max"):
        yield f"from {_numbers(stats.get('min', ()))} to {_numbers(stats.get('max', ()))}"


def _content(kind: str, told: Mapping[str, Json]) -> str:
    space = str(told.get("color_space", "UNKNOWN"))
    if kind == "image" and space != "UNKNOWN":
        return f"{'RGB' if space == 'RGB' else space.lower()} image"
    if kind == "audio" and told.get("sample_rate"):
        return f"audio, {told['sample_rate']} Hz, channels: {told.get('channels', 0) or 'not said'}"
    return kind


def _unit(kind: str, told: Mapping[str, Json]) -> str:
    if kind == "NormalizationOptions":
        return f"fed as (x - {_numbers(told.get('mean', ()))}) / {_numbers(told.get('std', ()))}"
    if kind == "ScoreCalibrationOptions":
        transformation = str(told["score_transformation"]).lower().replace("_", " ")
        return f"scores calibrated ({transformation}, else {told['default_score']:g})"
    if kind == "ScoreThresholdingOptions":
        return f"scores from {told['global_score_threshold']:g}"
    return kind.removesuffix("Options")


def _numbers(values: Sequence[Json]) -> str:
    shown = [f"{value:g}" if isinstance(value, float | int) else str(value) for value in values]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def _file(file: Mapping[str, Json]) -> str:
    """`labels.txt  72 B  labels x10: t_shirt, trouser, pullover, ...`."""
    text = f"{file['name']}  {show_bytes(file['bytes'])}"
    if kind := FILES.get(file["type"]):
        text += f"  {kind}"
    if "labels" in file:
        shown = ", ".join(file["labels"][:SHOWN_LABELS]) + (", ..." if file["label_count"] > SHOWN_LABELS else "")
        text += f" x{file['label_count']}: {shown}"
    return text
