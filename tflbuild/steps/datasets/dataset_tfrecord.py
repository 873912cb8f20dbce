"""Datasets in TFRecord files of tf.train.Example. To read them, TensorFlow is not needed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.steps.datasets.dataset_readers import ArrayHeader, Block, DeclaredDataset, OpenDataset, in_blocks
from tflbuild.steps.datasets.tfrecord import DamagedRecord, Feature, parse_example, read_records


def open_tfrecord(declared: DeclaredDataset) -> OpenDataset:
    """Open TFRecord files. Their arrays are the features of the first record.

    Every record must have the features that are fed.

    Raises:
        WorkerError: There is no file, or a file is damaged.
    """
    paths = record_files(declared)
    count = sum(count_records(declared, path) for path in paths)
    first = next((example for path in paths for example in examples(declared, path)), {})
    specs = {dict(declared.params["arrays"]).get(spec["name"], spec["name"]): spec for spec in declared.wanted}
    arrays = {name: ArrayHeader() for name in first}

    def value(index: int, name: str, example: Mapping[str, Feature]) -> np.ndarray:
        return value_of(declared, index, name, example, specs.get(name))

    return OpenDataset(arrays, lambda names, picked: read_features(declared, paths, value, names, picked), count)


def read_features(
    declared: DeclaredDataset,
    paths: Sequence[Path],
    value: Callable[[int, str, Mapping[str, Feature]], np.ndarray],
    names: Sequence[str],
    picked: np.ndarray | None,
) -> Iterator[Block]:
    """Yield blocks of features.

    Args:
        declared: The dataset.
        paths: The files, in the order of the samples.
        value: Returns a feature as an array, for the index of the record, the name, and the record.
        names: The features to read.
        picked: The indices of the records to read, in ascending order; None for all.
    """
    chosen = None if picked is None else set(picked.tolist())

    def each() -> Iterator[Block]:
        records = (example for path in paths for example in examples(declared, path))
        for index, example in enumerate(records):
            if chosen is None or index in chosen:
                yield {name: value(index, name, example) for name in names}

    return in_blocks(each())


def record_files(declared: DeclaredDataset) -> list[Path]:
    """Return the file, or all files of the folder sorted by name. Raise WorkerError for an empty folder."""
    path = declared.path
    if not path.is_dir():
        return [path]
    files = sorted(
        (file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")),
        key=lambda file: file.relative_to(path).as_posix(),
    )
    if not files:
        raise declared.refuse(f"'{declared.label}' contains no files", "path")
    return files


@contextmanager
def convert_damage(declared: DeclaredDataset, path: Path) -> Iterator[None]:
    """Convert an exception for a damaged file to a WorkerError with the name of the file."""
    try:
        yield
    except (DamagedRecord, OSError, zlib.error) as error:
        name = declared.label
        if path != declared.path:
            name += f"/{path.relative_to(declared.path).as_posix()}"
        raise declared.refuse(
            f"'{name}' is not a whole TFRecord file",
            "path",
            why=str(error),
            next_step="write it again with tf.io.TFRecordWriter",
        ) from None


def count_records(declared: DeclaredDataset, path: Path) -> int:
    """Return the number of records in a file. Only their lengths are read."""
    with convert_damage(declared, path):
        return sum(1 for _ in read_records(path, skip=True))


def examples(declared: DeclaredDataset, path: Path) -> Iterator[dict[str, Feature]]:
    """Yield the features of every record."""
    with convert_damage(declared, path):
        for record in read_records(path):
            try:
                yield parse_example(record)
            except DamagedRecord as error:
                raise DamagedRecord(f"a record is not a tf.train.Example: {error}") from None


def value_of(
    declared: DeclaredDataset, index: int, name: str, example: Mapping[str, Feature], spec: Mapping[str, Any] | None
) -> np.ndarray:
    """Return one feature of a record, in the shape of the input `spec`.

    Without an input, as for a label or another signature, the shape is [values].

    Raises:
        WorkerError: The record has no such feature, or it does not fit the input.
    """
    if name not in example:
        raise declared.refuse(
            f"record {index} of '{declared.label}' has no feature '{name}'",
            why=f"it has {', '.join(sorted(example)) or 'none'}, but record 0 has '{name}'",
            next_step="write every feature that is fed to every record",
        )
    kind, values = example[name]
    if kind == "bytes":
        values = bytes_value(declared, name, values, spec)
    if name == declared.params["label"] and values.size == 1:
        return values.reshape(())
    return values if spec is None else in_shape(declared, index, name, values, spec)


def bytes_value(declared: DeclaredDataset, name: str, values: np.ndarray, spec: Mapping[str, Any] | None) -> np.ndarray:
    """Convert bytes to numbers of the type in `raw`, or to text for an input of strings.

    Raises:
        WorkerError: `raw` has no type for a feature that feeds numbers, or the number of bytes does not fit the type.
    """
    dtype = declared.options["raw"].get(name)
    if dtype is None:
        if spec is None or spec["dtype"] == "string":
            return np.array(values.tolist(), "S")
        raise declared.refuse(
            f"feature '{name}' of '{declared.label}' is bytes, but input '{spec['name']}' needs {spec['dtype']}",
            f"raw.{name}",
            next_step=f"declare the type of the numbers: {declared.section}.raw.{name}={spec['dtype']}"
            " (for encoded images, use dataset=image_folder, or code of yours: dataset=callable)",
        )
    data, size = b"".join(values.tolist()), np.dtype(dtype).itemsize
    if len(data) % size:
        raise declared.refuse(
            f"feature '{name}' of '{declared.label}' has {len(data)} bytes, which is not a whole number of {dtype}",
            f"raw.{name}",
        )
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype(dtype)


def in_shape(
    declared: DeclaredDataset, index: int, name: str, values: np.ndarray, spec: Mapping[str, Any]
) -> np.ndarray:
    """Return the values in the shape of one sample. One dynamic dimension is computed from their number.

    Raises:
        WorkerError: The number of values does not fit the shape.
    """
    shape = [-1 if size is None else size for size in spec["shape"][1:]]
    try:
        return values.reshape(shape)
    except ValueError:
        raise declared.refuse(
            f"feature '{name}' of record {index} of '{declared.label}' has {values.size} values",
            why=f"input '{spec['name']}' needs {spec['shape'][1:]} per sample",
            next_step="declare the shape in signature.inputs, or name another feature:"
            f" {declared.section}.arrays.{spec['name']}=<feature>",
        ) from None
