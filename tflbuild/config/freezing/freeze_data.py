"""Freeze the sections of a recipe that describe datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.freeze_model import require_reference
from tflbuild.config.schema import schema_data as schema
from tflbuild.core.digest import Json, canonical_json, plain_json
from tflbuild.core.recipe import Dataset
from tflbuild.errors import nearest

BY_FOLDER = "folder"
RAW_TYPES = ("float32", "float16", "float64", "int8", "uint8", "int16", "int32", "int64")

Options = dict[str, Json]


def freeze_dataset(dataset: schema.DatasetConfig, key: str, refusals: RecipeErrors) -> Dataset | None:
    """Return the dataset at `key`, or None without one. Keys that its kind does not use are left out.

    Raises:
        RecipeError: for a value out of range, and for a path or reference that is not set.
    """
    if dataset.kind == "none":
        return None
    if dataset.count is not None:
        refusals.require(dataset.count >= 1, f"{key}.count", dataset.count, "at least 1, or null")
    if isinstance(dataset, schema.SyntheticDataset):
        return freeze_synthetic(dataset, key, refusals)
    refusals.require(dataset.scale != 0, f"{key}.scale", dataset.scale, "another number: 0 makes all samples equal")
    common: dict[str, Any] = {
        "path": dataset.path,
        "seed": dataset.seed,
        "arrays": tuple(sorted(dataset.arrays.items())),
        "label": dataset.label,
    }
    common = {name: value for name, value in common.items() if name not in type(dataset).unused}
    if isinstance(dataset, schema.CallableDataset):
        require_reference(dataset.call, f"{key}.call", refusals)
        common |= {"call": dataset.call, "files": tuple(dataset.files)}
    else:
        refusals.require(bool(dataset.path), f"{key}.path", "empty", "set")
    options = next((make(dataset, key, refusals) for kind, make in OPTIONS.items() if isinstance(dataset, kind)), {})
    return Dataset(
        kind=dataset.kind,
        count=dataset.count,
        scale=dataset.scale,
        offset=dataset.offset,
        options=options,
        **common,
    )


def freeze_synthetic(dataset: schema.SyntheticDataset, key: str, refusals: RecipeErrors) -> Dataset:
    """Return a dataset of random numbers, with their range and count."""
    refusals.require(dataset.low < dataset.high, f"{key}.low", dataset.low, f"below {key}.high, {dataset.high}")
    refusals.require(dataset.count is not None, f"{key}.count", "null", "a number: synthetic data has no end")
    return Dataset(kind=dataset.kind, count=dataset.count, seed=dataset.seed, low=dataset.low, high=dataset.high)


def require_folder_label(label: str, key: str, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a label that is not `folder`: files have no label arrays.

    An empty label means no labels.
    """
    if label not in ("", BY_FOLDER):
        raise refusals.refuse(
            f"'{key}.label' is '{label}', and files have no arrays to take labels from",
            f"{key}.label",
            why=nearest(label, [BY_FOLDER]),
            next_step=f"{key}.label={BY_FOLDER} takes the class folders; leave it empty for no labels",
        )


def image_options(dataset: schema.ImageFolderDataset, key: str, refusals: RecipeErrors) -> Options:
    """Return the options of an image folder: classes, normalization and size."""
    require_folder_label(dataset.label, key, refusals)
    refusals.require(0.0 not in dataset.std, f"{key}.std", list(dataset.std), "without zeros: it divides")
    return {
        "classes": list(dataset.classes),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        **size_options(dataset, key, refusals),
    }


def size_options(
    dataset: schema.ImageFolderDataset | schema.TfdsDataset, key: str, refusals: RecipeErrors
) -> dict[str, Json]:
    """Return the options by which images get the size of the input."""
    sized = len(dataset.size) in (0, 2) and all(side >= 1 for side in dataset.size)
    refusals.require(sized, f"{key}.size", list(dataset.size), "[height, width], each at least 1, or empty")
    return {
        "size": list(dataset.size),
        "resize": dataset.resize.value,
        "crop": dataset.crop.value,
        "layout": dataset.layout.value,
    }


def tfds_options(dataset: schema.TfdsDataset, key: str, refusals: RecipeErrors) -> Options:
    """Return the options of a TFDS dataset: its split, and the size of its images."""
    refusals.require(bool(dataset.split), f"{key}.split", "empty", "the name of a split, such as test")
    return {"split": dataset.split, **size_options(dataset, key, refusals)}


def csv_options(dataset: schema.CsvDataset, key: str, refusals: RecipeErrors) -> Options:
    """Return the options of a CSV file: the columns of each input, and the delimiter."""
    refusals.require(len(dataset.delimiter) == 1, f"{key}.delimiter", f"'{dataset.delimiter}'", "one character")
    for name, columns in dataset.columns.items():
        refusals.require(bool(columns), f"{key}.columns.{name}", "empty", "a list of columns")
    return {
        "columns": {name: list(columns) for name, columns in sorted(dataset.columns.items())},
        "delimiter": dataset.delimiter,
    }


def tfrecord_options(dataset: schema.TfrecordDataset, key: str, refusals: RecipeErrors) -> Options:
    """Return the options of TFRecord files: the element types of features that are raw bytes."""
    for name, dtype in dataset.raw.items():
        refusals.require(dtype in RAW_TYPES, f"{key}.raw.{name}", f"'{dtype}'", f"one of {', '.join(RAW_TYPES)}")
    return {"raw": dict(sorted(dataset.raw.items()))}


def audio_options(dataset: schema.AudioFolderDataset, key: str, refusals: RecipeErrors) -> Options:
    """Return the options of an audio folder: classes, sample rate and length."""
    require_folder_label(dataset.label, key, refusals)
    for name in ("sample_rate", "length"):
        value = getattr(dataset, name)
        refusals.require(value is None or value >= 1, f"{key}.{name}", value, "at least 1, or null")
    return {"classes": list(dataset.classes), "sample_rate": dataset.sample_rate, "length": dataset.length}


def call_options(dataset: schema.CallableDataset, key: str, refusals: RecipeErrors) -> Options:
    """Return the arguments of a function that makes the samples. They must be JSON values."""
    arguments = plain_json(dataset.arguments)
    try:
        canonical_json(arguments)
    except (TypeError, ValueError) as error:
        raise refusals.refuse(
            f"{key}.arguments cannot be passed on",
            f"{key}.arguments",
            why=str(error),
            next_step="arguments are numbers, strings, true, false, null, and lists and mappings of them",
        ) from None
    return {"arguments": arguments}


OPTIONS: dict[type[schema.DatasetConfig], Callable[[Any, str, RecipeErrors], Options]] = {
    schema.ImageFolderDataset: image_options,
    schema.CsvDataset: csv_options,
    schema.TfrecordDataset: tfrecord_options,
    schema.TfdsDataset: tfds_options,
    schema.AudioFolderDataset: audio_options,
    schema.CallableDataset: call_options,
}
