"""Conversion of a recipe's section `metadata` to TFLite Metadata, with checks against the artifact.

A declared tensor is JSON. Inputs have `description`, `mean`, `std`, `min`, `max` (one number, or one for each channel),
`content` (image, audio, feature), `color_space` (rgb, grayscale), `sample_rate` and `channels` of audio, and
`vocabulary` (a file). Outputs have `description`, `min`, `max`, `content`, `labels`, `value_labels` (files),
`score_calibration` and `threshold`. Files have the names that they get in the artifact.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.packaging.score_calibration_table import calibration_rows, show_rows
from tflbuild.tflite.tflite_metadata import read_labels
from tflbuild.tflite.tflite_model import Model, SignatureDef, Subgraph, Tensor

Json = Any
SIDES = ("input", "output")
PROSE = ("name", "description", "version", "author", "license")
FILE_TYPES = {
    "labels": "TENSOR_AXIS_LABELS",
    "value_labels": "TENSOR_VALUE_LABELS",
    "vocabulary": "VOCABULARY",
    "score_calibration": "TENSOR_AXIS_SCORE_CALIBRATION",
}
PROPERTIES = {"color_space": "image", "sample_rate": "audio", "channels": "audio"}
COLOR_CHANNELS = {"rgb": 3, "grayscale": 1}
# The largest finite float32.
LARGEST_FLOAT32 = 3.4028234663852886e38


def model_metadata(
    declared: Mapping[str, Json], model: Model, key: str, files: Mapping[str, bytes]
) -> tuple[dict[str, Json], dict[str, bytes]]:
    """Return the ModelMetadata of an artifact, and its associated files.

    Args:
        declared: The section `metadata`. `inputs` and `outputs` are those of the main signature, and `more` has those
            of other signatures by name.
        model: The artifact.
        key: The name of the main signature.
        files: The recipe's files by name.

    Returns:
        The ModelMetadata as JSON, and file name -> contents.

    Raises:
        WorkerError: The section does not match the artifact.
    """
    signatures = {entry.key: entry for entry in model.signatures}
    _require_known([key], signatures, "signature", "the artifact", "signature")
    _require_known(
        declared.get("more", {}), set(signatures) - {key}, "metadata.more", "the artifact", "other signature"
    )
    packed = {name: files[name] for name in declared.get("files", {})}
    declarations = {key: ("metadata", declared)}
    declarations |= {other: (f"metadata.more.{other}", section) for other, section in declared.get("more", {}).items()}
    order = sorted(signatures.values(), key=lambda entry: entry.key != key)
    graphs = []
    for index in range(1 + max(entry.subgraph for entry in signatures.values())):
        entries = [entry for entry in order if entry.subgraph == index]
        graphs.append(_subgraph(model.subgraphs[index], entries, declarations, files, packed))
    tree = {name: declared[name] for name in PROSE if declared.get(name)}
    listed = [
        {"name": name, "description": text, "type": "DESCRIPTIONS"}
        for name, text in sorted(declared.get("files", {}).items())
    ]
    return {**tree, "subgraph_metadata": graphs, "associated_files": listed}, packed


def _subgraph(
    graph: Subgraph,
    entries: Sequence[SignatureDef],
    declarations: Mapping[str, tuple[str, Mapping[str, Json]]],
    files: Mapping[str, bytes],
    packed: dict[str, bytes],
) -> dict[str, Json]:
    """Return the metadata of a subgraph: its tensors in its order, with the names of its first signature.

    Adds the files of tensors to `packed`.
    """
    metadata: dict[str, Json] = {"name": entries[0].key} if entries else {}
    for side in SIDES:
        described = {}
        for entry in reversed(entries):
            where, declared = declarations.get(entry.key, ("metadata", {}))
            tensors, declared_tensors = getattr(entry, f"{side}s"), declared.get(f"{side}s", {})
            _require_known(declared_tensors, tensors, f"{where}.{side}s", f"the signature '{entry.key}'", side)
            for name, tensor in tensors.items():
                location = f"{where}.{side}s.{name}"
                described[id(tensor)] = _tensor(name, tensor, declared_tensors.get(name, {}), location, files, packed)
        tensors_in_order = [graph.tensors[index] for index in getattr(graph, f"{side}s")]
        metadata[f"{side}_tensor_metadata"] = [
            described.get(id(tensor_), {"name": tensor_.name}) for tensor_ in tensors_in_order
        ]
    return metadata


def _require_known(names: Collection[str], available: Collection[str], where: str, owner: str, noun: str) -> None:
    for name in names:
        if name not in available:
            close = difflib.get_close_matches(name, available, n=3, cutoff=0.5)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            raise WorkerError(
                f"{owner} has no {noun} '{name}'",
                where=f"{where}.{name}",
                why=f"it has: {', '.join(available) or 'none'}{hint}",
            )


def _tensor(
    name: str,
    tensor: Tensor,
    declared: Mapping[str, Json],
    where: str,
    files: Mapping[str, bytes],
    packed: dict[str, bytes],
) -> dict[str, Json]:
    found: dict[str, Json] = {"name": name}
    if declared.get("description"):
        found["description"] = declared["description"]
    if kind := _content_kind(declared, where):
        found["content"] = content(kind, declared, tensor, where)
    units = [*normalization(declared, tensor, where), *calibration(declared), *threshold(declared, where)]
    stats = bounds(declared, tensor, where)
    listed = []
    for role, kind in FILE_TYPES.items():
        if declared.get(role):
            file, data = _file(role, declared[role], name, tensor, where, files)
            _pack(packed, file, data, f"{where}.{role}")
            listed.append({"name": file, "type": kind})
    parts = {"process_units": units, "stats": stats, "associated_files": listed}
    return found | {part: value for part, value in parts.items() if value}


def _content_kind(declared: Mapping[str, Json], where: str) -> str:
    """Return the kind of content: image, audio, feature or "".

    Raises:
        WorkerError: A declared property does not belong to this kind.
    """
    kind = declared.get("content") or ""
    for name, owner in PROPERTIES.items():
        if declared.get(name) and kind != owner:
            raise WorkerError(
                f"'{name}' is a property of {owner}, and the content is {kind or 'not said'}",
                where=f"{where}.{name}",
                next_step=f"{where}.content={owner}",
            )
    return str(kind)


def content(kind: str, declared: Mapping[str, Json], tensor: Tensor, where: str) -> dict[str, Json]:
    """Return the content as JSON.

    Raises:
        WorkerError: The tensor does not have the channels of the colour space.
    """
    if kind == "audio":
        told = {name: declared.get(name) or 0 for name in ("sample_rate", "channels")}
        return {"content_properties_type": "AudioProperties", "content_properties": told}
    if kind == "feature":
        return {"content_properties_type": "FeatureProperties", "content_properties": {}}
    space = declared.get("color_space") or ""
    if space and (len(tensor.shape) != 4 or tensor.shape[-1] not in (-1, COLOR_CHANNELS[space])):
        raise WorkerError(
            f"an image that is {space} has {COLOR_CHANNELS[space]} in the last of four dimensions",
            where=f"{where}.color_space",
            why=f"the tensor is {tensor.type}{list(tensor.shape)}: batch, height, width and channels are expected",
        )
    told = {"color_space": space.upper() or "UNKNOWN"}
    return {"content_properties_type": "ImageProperties", "content_properties": told}


def normalization(declared: Mapping[str, Json], tensor: Tensor, where: str) -> list[Json]:
    """Return the process unit (x - mean) / std of real values before quantization.

    The list is empty if none is declared.

    Raises:
        WorkerError: The input is of integers that are not quantized, or a standard deviation is 0.
    """
    if not (_given(declared, "mean") or _given(declared, "std")):
        return []
    if tensor.type not in ("float32", "float16") and not tensor.scales:
        raise WorkerError(
            f"a {tensor.type} input that is not quantized takes no normalisation",
            where=f"{where}.mean" if _given(declared, "mean") else f"{where}.std",
            why="its values go into the model as they are: there is no real value to scale",
        )
    mean = numbers(declared["mean"], tensor, f"{where}.mean") if _given(declared, "mean") else [0.0]
    std = numbers(declared["std"], tensor, f"{where}.std") if _given(declared, "std") else [1.0]
    if 0.0 in std:
        raise WorkerError("a standard deviation is 0", where=f"{where}.std", why="values are divided by it")
    return [_unit("NormalizationOptions", mean=mean, std=std)]


def _given(declared: Mapping[str, Json], name: str) -> bool:
    return declared.get(name) not in (None, [])


def calibration(declared: Mapping[str, Json]) -> list[Json]:
    """Return the process unit of a score calibration, whose parameters are in a file."""
    told = declared.get("score_calibration")
    if not told:
        return []
    transformation = (told.get("transformation") or "identity").upper()
    score = float(told.get("default_score") or 0.0)
    return [_unit("ScoreCalibrationOptions", score_transformation=transformation, default_score=score)]


def threshold(declared: Mapping[str, Json], where: str) -> list[Json]:
    """Return the process unit that removes scores below a number."""
    if declared.get("threshold") is None:
        return []
    least = numbers(declared["threshold"], None, f"{where}.threshold")[0]
    return [_unit("ScoreThresholdingOptions", global_score_threshold=least)]


def _unit(kind: str, **options: Json) -> Json:
    return {"options_type": kind, "options": options}


def numbers(value: Json, tensor: Tensor | None, where: str) -> list[float]:
    """Return one number, or one for each channel, as a list.

    Raises:
        WorkerError: A number is not finite, or their count is not that of the channels.
    """
    values = [float(value_) for value_ in (value if isinstance(value, list) else [value])]
    if not all(math.isfinite(value_) and abs(value_) <= LARGEST_FLOAT32 for value_ in values):
        raise WorkerError("a number is not finite", where=where, why=f"it is {value}; the format has float32")
    channels = tensor.shape[-1] if tensor is not None and tensor.shape else 1
    if len(values) > 1 and channels not in (-1, len(values)):
        raise WorkerError(
            f"{len(values)} numbers for {channels} channels",
            where=where,
            why="one number holds for all channels; else there is one for each, along the last dimension",
        )
    return values


def bounds(declared: Mapping[str, Json], tensor: Tensor, where: str) -> dict[str, list[float]]:
    """Return the declared smallest and largest real values as JSON.

    Raises:
        WorkerError: A smallest value is above the largest.
    """
    found = {
        side: numbers(declared[side], tensor, f"{where}.{side}") for side in ("max", "min") if _given(declared, side)
    }
    width = max(map(len, found.values()), default=0)
    pairs = zip(*(one * width if len(one) == 1 else one for one in found.values()), strict=False)
    if any(len(pair) == 2 and pair[0] < pair[1] for pair in pairs):
        raise WorkerError("a least value is above the greatest", where=f"{where}.min", why=f"{found}")
    return found


def _file(
    role: str, value: Json, name: str, tensor: Tensor, where: str, files: Mapping[str, bytes]
) -> tuple[str, bytes]:
    """Return the name in the archive and the bytes of a tensor's file, which must match the tensor."""
    if role == "score_calibration":
        classes = tensor.shape[-1] if tensor.shape else 1
        rows = calibration_rows(value, classes, f"{where}.{role}", files)
        file = value.get("file") or f"{name.replace('/', '_')}_score_calibration.csv"
        return file, show_rows(rows)
    data = _plain_text(value, files[value], f"{where}.{role}")
    if role == "labels":
        _require_labels(value, read_labels(data), tensor, f"{where}.{role}")
    return value, data


def _plain_text(file: str, data: bytes, where: str) -> bytes:
    """Return a file without byte order mark and carriage returns, which readers take for a part of a line.

    The Task Library (tflite-support 0.4.4) keeps them.

    Raises:
        WorkerError: The file is not UTF-8.
    """
    try:
        return data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").encode()
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise WorkerError(
            f"{file} is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}",
            where=where,
            why="apps read this file as UTF-8",
            next_step="save it as UTF-8",
        ) from None


def _require_labels(file: str, labels: Sequence[str], tensor: Tensor, where: str) -> None:
    axes = tensor.shape[1:] if len(tensor.shape) > 1 else tensor.shape
    if len(labels) not in axes and -1 not in axes:
        raise WorkerError(
            f"{file} has {len(labels)} labels, and the output has {' x '.join(map(str, axes)) or 'one value'}",
            where=where,
            why="there is one label a line for each place along a dimension of the output",
        )


def _pack(packed: dict[str, bytes], file: str, data: bytes, where: str) -> None:
    if packed.get(file, data) != data:
        raise WorkerError(
            f"two files would be '{file}' in the artifact", where=where, next_step="give one of them another name"
        )
    packed[file] = data
