"""Datasets that TensorFlow Datasets has prepared on disk; neither that package nor TensorFlow is needed to read them.

A prepared folder holds `dataset_info.json` (splits, their shards), `features.json` (what each feature is, and how
it is stored), `<feature>.labels.txt` (names of classes), and the shards: TFRecord files of tf.train.Example.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tflbuild.steps.datasets.dataset_images import IMAGE_RANK, decode_bytes, form
from tflbuild.steps.datasets.dataset_readers import ArrayHeader, Block, DeclaredDataset, OpenDataset, suggest_name
from tflbuild.steps.datasets.dataset_tfrecord import count_records, read_features
from tflbuild.steps.datasets.tfds_features import TfdsFeature, one_of_bytes, stored_features, value_of
from tflbuild.steps.datasets.tfrecord import Feature

INFO, FEATURES = "dataset_info.json", "features.json"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
FORMAT = "tfrecord"
SHARD_DIGITS = 5


def open_tfds(declared: DeclaredDataset) -> OpenDataset:
    """One split: its features by name (`a/b` where they are nested), its shards in their order."""
    info, described = read_json(declared, INFO), read_json(declared, FEATURES)
    features = features_of(declared, described)
    try:
        shards = shards_of(declared, info)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unknown_form(declared, INFO, repr(error)) from None
    for path, length in shards:
        require_shard(declared, path, length)
    count = sum(length for _, length in shards)
    specs = {dict(declared.params["arrays"]).get(spec["name"], spec["name"]): spec for spec in declared.wanted}
    arrays = {name: held_of(one, count, name in specs) for name, one in features.items()}

    def value(index: int, name: str, example: Mapping[str, Feature]) -> np.ndarray:
        return sample_of(declared, index, name, features[name], example, specs.get(name))

    def read(names: Sequence[str], picked: np.ndarray | None) -> Iterator[Block]:
        for name in names:
            require_known(declared, name, features)
        return read_features(declared, [path for path, _ in shards], value, names, picked)

    label = features.get(declared.params["label"])
    classes = class_names(declared) if label is not None and label.classes else ()
    return OpenDataset(arrays, read, count, classes=classes)


def held_of(feature: TfdsFeature, count: int, fed: bool) -> ArrayHeader:
    """What is known beforehand: single values that feed no input, labels that is, have their whole shape."""
    return ArrayHeader(feature.dtype, (count,) if feature.shape == () and not fed and not feature.unread else None)


def read_json(declared: DeclaredDataset, name: str) -> Any:
    """One of the two descriptions. Raises WorkerError for a folder that is no prepared dataset."""
    path = declared.path / name
    if not path.is_file():
        versions = sorted(found.parent.relative_to(declared.path).as_posix() for found in declared.path.rglob(INFO))
        inside = [version for version in versions if version != "."]
        raise declared.refuse(
            f"'{declared.label}' is no dataset that TensorFlow Datasets has prepared: it has no {name}",
            "path",
            why=f"there are such in it: {', '.join(inside)}" if inside else "",
            next_step="name the folder of the version, such as ~/tensorflow_datasets/mnist/3.0.1",
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise unknown_form(declared, name, str(error)) from None


def unknown_form(declared: DeclaredDataset, name: str, why: str) -> Exception:
    """The error for a description in another form than the one that is read."""
    return declared.refuse(
        f"'{declared.label}/{name}' is not in the form that is known here",
        "path",
        why=why,
        next_step="prepare the dataset again with a current tensorflow-datasets, or read it by code: dataset=callable",
    )


def features_of(declared: DeclaredDataset, described: Any) -> Mapping[str, TfdsFeature]:
    """Features by name. Raises WorkerError for a description of another form."""
    try:
        return dict(stored_features(described["featuresDict"]))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        older = isinstance(described, dict) and "type" in described
        why = "an older tensorflow-datasets wrote it" if older else repr(error)
        raise unknown_form(declared, FEATURES, why) from None


def shards_of(declared: DeclaredDataset, info: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """The split's files and how many records each must have. Raises WorkerError for a split that is not there."""
    stored = info.get("fileFormat") or FORMAT
    if stored != FORMAT:
        raise declared.refuse(
            f"'{declared.label}' is stored as {stored}, and {FORMAT} is read",
            "path",
            next_step=f"prepare it as such: tfds.builder(name, file_format='{FORMAT}').download_and_prepare()",
        )
    splits = {split["name"]: split for split in info.get("splits", ())}
    name = declared.options["split"]
    if name not in splits:
        raise declared.refuse(
            f"'{declared.label}' has no split '{name}'",
            "split",
            why=f"it has {', '.join(splits) or 'none'}" + suggest_name(name, splits),
            next_step=f"a part of a split: {declared.section}.count draws so many"
            if "[" in name or "+" in name
            else "name one of them",
        )
    template = splits[name].get("filepathTemplate") or TEMPLATE
    lengths = [int(length) for length in splits[name].get("shardLengths", ())]
    parts = {"{DATASET}": info["name"], "{SPLIT}": name, "{FILEFORMAT}": FORMAT}
    files = [shard_file(template, parts, number, len(lengths)) for number in range(len(lengths))]
    return [(declared.path / file, length) for file, length in zip(files, lengths, strict=True)]


def shard_file(template: str, parts: Mapping[str, str], number: int, count: int) -> PurePosixPath:
    """The relative name of a shard. Raises ValueError for one outside of the folder, whose bytes no key would know."""
    digits = max(SHARD_DIGITS, len(str(count)))
    index, total = f"{number:0{digits}}", f"{count:0{digits}}"
    numbers = {"{SHARD_INDEX}": index, "{NUM_SHARDS}": total, "{SHARD_X_OF_Y}": f"{index}-of-{total}"}
    for part, text in {**parts, **numbers}.items():
        template = template.replace(part, text)
    file = PurePosixPath(template)
    if file.is_absolute() or ".." in file.parts or "{" in template:
        raise ValueError(f"its filepathTemplate comes to '{template}'")
    return file


def require_shard(declared: DeclaredDataset, path: Path, length: int) -> None:
    """Raises WorkerError for a shard that is missing, or has another number of records than is written down."""
    name = f"{declared.label}/{path.relative_to(declared.path).as_posix()}"
    if not path.is_file():
        raise declared.refuse(
            f"'{name}' does not exist", "path", why=f"{INFO} names it", next_step="prepare the dataset again"
        )
    found = count_records(declared, path)
    if found != length:
        raise declared.refuse(
            f"'{name}' has {found} records",
            "path",
            why=f"{INFO} says {length}",
            next_step="prepare the dataset again",
        )


def require_known(declared: DeclaredDataset, name: str, features: Mapping[str, TfdsFeature]) -> None:
    """Raises WorkerError for a feature of a kind that is not read."""
    if features[name].unread:
        known = [other for other, one in features.items() if not one.unread]
        raise declared.refuse(
            f"feature '{name}' of '{declared.label}' is not read: {features[name].unread}",
            why=f"those that are: {', '.join(known) or 'none'}",
            next_step="read it with tensorflow-datasets in code of yours: dataset=callable",
        )


def class_names(declared: DeclaredDataset) -> Sequence[str]:
    """The names of the label's classes, none where the dataset has none. The file joins nested names by `-`."""
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
    """One feature of one record; without an input (a label, another signature), as it is."""
    try:
        if stored.image:
            told = f"image '{name}' of record {index} of '{declared.label}'"
            value = pixels_of(declared, one_of_bytes(name, example), told, stored, spec)
        else:
            value = value_of(stored, name, example)
    except ValueError as error:
        raise declared.refuse(
            f"feature '{name}' of record {index} of '{declared.label}' is not what {FEATURES} says",
            why=str(error),
            next_step="prepare the dataset again",
        ) from None
    return value if spec is None else without_ones(value, spec)


def pixels_of(
    declared: DeclaredDataset, data: bytes, told: str, stored: TfdsFeature, spec: Mapping[str, Any] | None
) -> np.ndarray:
    """uint8 pixels: of an input that takes images in its size, channels and layout, else as they are stored."""
    if spec is None or len(spec["shape"]) != IMAGE_RANK:
        return decode_bytes(declared, data, told, stored.channels, None)
    channels, size = form(declared, spec)
    pixels = decode_bytes(declared, data, told, channels, size)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if declared.options["layout"] == "nchw" else pixels


def without_ones(value: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    """The value in the input's shape where they differ by axes of one alone, such as [28, 28, 1] and [28, 28]."""
    wanted = spec["shape"][1:]
    if [size for size in wanted if size != 1] != [size for size in value.shape if size != 1]:
        return value
    return value.reshape(wanted)
