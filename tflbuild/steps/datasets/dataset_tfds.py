"""Datasets that TensorFlow Datasets has prepared on disk. To read them, neither that package nor TensorFlow is needed.

A prepared folder contains `dataset_info.json` (the splits and their shards), `features.json` (the type of each feature,
and how it is stored), `<feature>.labels.txt` (the names of classes), and the shards: TFRecord files of
tf.train.Example.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tflbuild.steps.datasets.dataset_images import IMAGE_RANK, decode_bytes, image_form
from tflbuild.steps.datasets.dataset_readers import ArrayHeader, Block, DeclaredDataset, OpenDataset, suggest_name
from tflbuild.steps.datasets.dataset_tfrecord import count_records, read_features
from tflbuild.steps.datasets.tfds_features import TfdsFeature, read_single_bytes, stored_features, value_of
from tflbuild.steps.datasets.tfrecord import Feature

INFO, FEATURES = "dataset_info.json", "features.json"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
FORMAT = "tfrecord"
SHARD_DIGITS = 5


def open_tfds(declared: DeclaredDataset) -> OpenDataset:
    """Open one split. Its arrays are the features by name, such as `a/b` for a nested one.

    Raises:
        WorkerError: The folder is not a prepared dataset, has no such split, or a shard is missing or incomplete.
    """
    description, feature_description = read_json(declared, INFO), read_json(declared, FEATURES)
    features = features_of(declared, feature_description)
    try:
        shards = shards_of(declared, description)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unknown_form(declared, INFO, repr(error)) from None
    for path, length in shards:
        require_shard(declared, path, length)
    count = sum(length for _, length in shards)
    specs = {dict(declared.params["arrays"]).get(spec["name"], spec["name"]): spec for spec in declared.wanted}
    arrays = {name: feature_header(feature, count, name in specs) for name, feature in features.items()}

    def value(index: int, name: str, example: Mapping[str, Feature]) -> np.ndarray:
        return sample_of(declared, index, name, features[name], example, specs.get(name))

    def read(names: Sequence[str], picked: np.ndarray | None) -> Iterator[Block]:
        for name in names:
            require_known(declared, name, features)
        return read_features(declared, [path for path, _ in shards], value, names, picked)

    label = features.get(declared.params["label"])
    classes = class_names(declared) if label is not None and label.classes else ()
    return OpenDataset(arrays, read, count, classes=classes)


def feature_header(feature: TfdsFeature, count: int, fed: bool) -> ArrayHeader:
    """Return the header of a feature. The shape is known for single values that feed no input, such as labels."""
    return ArrayHeader(feature.dtype, (count,) if feature.shape == () and not fed and not feature.unread else None)


def read_json(declared: DeclaredDataset, name: str) -> Any:
    """Read `dataset_info.json` or `features.json`. Raise WorkerError for a folder that is not a prepared dataset."""
    path = declared.path / name
    if not path.is_file():
        versions = sorted(file.parent.relative_to(declared.path).as_posix() for file in declared.path.rglob(INFO))
        inside = [version for version in versions if version != "."]
        raise declared.refuse(
            f"'{declared.label}' is not a dataset that TensorFlow Datasets has prepared: it has no {name}",
            "path",
            why=f"it contains prepared datasets: {', '.join(inside)}" if inside else "",
            next_step="name the folder of the version, such as ~/tensorflow_datasets/mnist/3.0.1",
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise unknown_form(declared, name, str(error)) from None


def unknown_form(declared: DeclaredDataset, name: str, reason: str) -> Exception:
    """Return the error for a description in an unknown format."""
    return declared.refuse(
        f"'{declared.label}/{name}' is not in a supported format",
        "path",
        why=reason,
        next_step="prepare the dataset again with a current tensorflow-datasets, or read it by code: dataset=callable",
    )


def features_of(declared: DeclaredDataset, described: Any) -> Mapping[str, TfdsFeature]:
    """Return the features by name. Raise WorkerError for a description in an unknown format."""
    try:
        return dict(stored_features(described["featuresDict"]))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        older = isinstance(described, dict) and "type" in described
        reason = "an older tensorflow-datasets wrote it" if older else repr(error)
        raise unknown_form(declared, FEATURES, reason) from None


def shards_of(declared: DeclaredDataset, description: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """Return the files of the split, and the number of records in each. Raise WorkerError if there is no such split."""
    stored = description.get("fileFormat") or FORMAT
    if stored != FORMAT:
        raise declared.refuse(
            f"'{declared.label}' is stored as {stored}, but only {FORMAT} can be read",
            "path",
            next_step=f"prepare it as {FORMAT}: tfds.builder(name, file_format='{FORMAT}').download_and_prepare()",
        )
    splits = {split["name"]: split for split in description.get("splits", ())}
    name = declared.options["split"]
    if name not in splits:
        raise declared.refuse(
            f"'{declared.label}' has no split '{name}'",
            "split",
            why=f"it has {', '.join(splits) or 'none'}" + suggest_name(name, splits),
            next_step=f"for a part of a split, set {declared.section}.count to the number of samples"
            if "[" in name or "+" in name
            else "name one of them",
        )
    template = splits[name].get("filepathTemplate") or TEMPLATE
    lengths = [int(length) for length in splits[name].get("shardLengths", ())]
    parts = {"{DATASET}": description["name"], "{SPLIT}": name, "{FILEFORMAT}": FORMAT}
    files = [shard_file(template, parts, number, len(lengths)) for number in range(len(lengths))]
    return [(declared.path / file, length) for file, length in zip(files, lengths, strict=True)]


def shard_file(template: str, parts: Mapping[str, str], number: int, count: int) -> PurePosixPath:
    """Return the relative path of a shard.

    Args:
        template: The `filepathTemplate` of the split.
        parts: The values of its placeholders, except for the numbers.
        number: The index of the shard.
        count: The number of shards.

    Raises:
        ValueError: The path is outside the folder, so its bytes would be in no cache key.
    """
    digits = max(SHARD_DIGITS, len(str(count)))
    index, total = f"{number:0{digits}}", f"{count:0{digits}}"
    numbers = {"{SHARD_INDEX}": index, "{NUM_SHARDS}": total, "{SHARD_X_OF_Y}": f"{index}-of-{total}"}
    for part, text in {**parts, **numbers}.items():
        template = template.replace(part, text)
    file = PurePosixPath(template)
    if file.is_absolute() or ".." in file.parts or "{" in template:
        raise ValueError(f"its filepathTemplate results in '{template}'")
    return file


def require_shard(declared: DeclaredDataset, path: Path, length: int) -> None:
    """Raise WorkerError if a shard is missing, or the number of its records is not `length`."""
    name = f"{declared.label}/{path.relative_to(declared.path).as_posix()}"
    if not path.is_file():
        raise declared.refuse(
            f"'{name}' does not exist", "path", why=f"{INFO} names it", next_step="prepare the dataset again"
        )
    count = count_records(declared, path)
    if count != length:
        raise declared.refuse(
            f"'{name}' has {count} records",
            "path",
            why=f"{INFO} says {length}",
            next_step="prepare the dataset again",
        )


def require_known(declared: DeclaredDataset, name: str, features: Mapping[str, TfdsFeature]) -> None:
    """Raise WorkerError for a feature of a type that cannot be read."""
    if features[name].unread:
        readable = [other for other, feature in features.items() if not feature.unread]
        raise declared.refuse(
            f"feature '{name}' of '{declared.label}' cannot be read: {features[name].unread}",
            why=f"features that can be read: {', '.join(readable) or 'none'}",
            next_step="read it with tensorflow-datasets in code of yours: dataset=callable",
        )


def class_names(declared: DeclaredDataset) -> Sequence[str]:
    """Return the names of the label's classes; () if there are none. In the file name, `-` replaces `/`."""
    path = declared.path / f"{declared.params['label'].replace('/', '-')}.labels.txt"
    if not path.is_file():
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise unknown_form(declared, path.name, str(error)) from None
    return [line.strip() for line in text.split("\n") if line.strip()]


def sample_of(
    declared: DeclaredDataset,
    index: int,
    name: str,
    stored: TfdsFeature,
    example: Mapping[str, Feature],
    spec: Mapping[str, Any] | None,
) -> np.ndarray:
    """Return one feature of a record, in the shape of the input `spec`.

    Without an input, as for a label or another signature, the shape is that of the feature.

    Raises:
        WorkerError: The record does not contain the feature as `features.json` describes it.
    """
    try:
        if stored.image:
            label = f"image '{name}' of record {index} of '{declared.label}'"
            value = pixels_of(declared, read_single_bytes(name, example), label, stored, spec)
        else:
            value = value_of(stored, name, example)
    except ValueError as error:
        raise declared.refuse(
            f"feature '{name}' of record {index} of '{declared.label}' is not as {FEATURES} describes it",
            why=str(error),
            next_step="prepare the dataset again",
        ) from None
    return value if spec is None else match_unit_axes(value, spec)


def pixels_of(
    declared: DeclaredDataset, data: bytes, label: str, stored: TfdsFeature, spec: Mapping[str, Any] | None
) -> np.ndarray:
    """Decode an image to uint8 pixels: in the size, channels and layout of an input of images, or else unchanged."""
    if spec is None or len(spec["shape"]) != IMAGE_RANK:
        return decode_bytes(declared, data, label, stored.channels, None)
    channels, size = image_form(declared, spec)
    pixels = decode_bytes(declared, data, label, channels, size)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if declared.options["layout"] == "nchw" else pixels


def match_unit_axes(value: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    """Return the value in the input's shape if they differ only in axes of length 1: [28, 28, 1] and [28, 28]."""
    sample_shape = spec["shape"][1:]
    if [size for size in sample_shape if size != 1] != [size for size in value.shape if size != 1]:
        return value
    return value.reshape(sample_shape)
