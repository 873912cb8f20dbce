"""TFRecord files of tf.train.Example as datasets; TensorFlow is not needed to read them."""

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
    """Features by name. The first record says which there are; each must have those that are fed."""
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
    """Blocks of what `value` makes of (a record's place, a name, the record), of all records or those picked."""
    chosen = None if picked is None else set(picked.tolist())

    def each() -> Iterator[Block]:
        records = (example for path in paths for example in examples(declared, path))
        for index, example in enumerate(records):
            if chosen is None or index in chosen:
                yield {name: value(index, name, example) for name in names}

    return in_blocks(each())


def record_files(declared: DeclaredDataset) -> list[Path]:
    """The file, or all files of the folder by name. Raises WorkerError for an empty folder."""
    path = declared.path
    if not path.is_dir():
        return [path]
    found = sorted(
        (file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")),
        key=lambda file: file.relative_to(path).as_posix(),
    )
    if not found:
        raise declared.refuse(f"'{declared.label}' holds no files", "path")
    return found


@contextmanager
def whole(declared: DeclaredDataset, path: Path) -> Iterator[None]:
    """Damage, told with the file's name."""
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
    """How many records a file has, by their lengths."""
    with whole(declared, path):
        return sum(1 for _ in read_records(path, skip=True))


def examples(declared: DeclaredDataset, path: Path) -> Iterator[dict[str, Feature]]:
    """Every record's features."""
    with whole(declared, path):
        for record in read_records(path):
            try:
                yield parse_example(record)
            except DamagedRecord as error:
                raise DamagedRecord(f"a record is no tf.train.Example: {error}") from None


def value_of(
    declared: DeclaredDataset, index: int, name: str, example: Mapping[str, Feature], spec: Mapping[str, Any] | None
) -> np.ndarray:
    """One feature of one record in the input's shape; without an input (a label, another signature), as it is."""
    if name not in example:
        raise declared.refuse(
            f"record {index} of '{declared.label}' has no feature '{name}'",
            why=f"it has {', '.join(sorted(example)) or 'none'}, and record 0 has '{name}'",
            next_step="every record must have every feature that is fed",
        )
    kind, values = example[name]
    if kind == "bytes":
        values = bytes_value(declared, name, values, spec)
    if name == declared.params["label"] and values.size == 1:
        return values.reshape(())
    return values if spec is None else in_shape(declared, index, name, values, spec)


def bytes_value(declared: DeclaredDataset, name: str, values: np.ndarray, spec: Mapping[str, Any] | None) -> np.ndarray:
    """Numbers out of bytes, as `raw` says, or text for an input that takes it."""
    dtype = declared.options["raw"].get(name)
    if dtype is None:
        if spec is None or spec["dtype"] == "string":
            return np.array(values.tolist(), "S")
        raise declared.refuse(
            f"feature '{name}' of '{declared.label}' is bytes, and input '{spec['name']}' takes {spec['dtype']}",
            f"raw.{name}",
            next_step=f"say what numbers they hold: {declared.section}.raw.{name}={spec['dtype']}"
            " (encoded images are read by dataset=image_folder, or by code of yours: dataset=callable)",
        )
    data, size = b"".join(values.tolist()), np.dtype(dtype).itemsize
    if len(data) % size:
        raise declared.refuse(
            f"feature '{name}' of '{declared.label}' has {len(data)} bytes, no whole number of {dtype}",
            f"raw.{name}",
        )
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype(dtype)


def in_shape(
    declared: DeclaredDataset, index: int, name: str, values: np.ndarray, spec: Mapping[str, Any]
) -> np.ndarray:
    """The values in the shape of one sample, one free size found from their number."""
    shape = [-1 if size is None else size for size in spec["shape"][1:]]
    try:
        return values.reshape(shape)
    except ValueError:
        raise declared.refuse(
            f"feature '{name}' of record {index} of '{declared.label}' has {values.size} values",
            why=f"input '{spec['name']}' takes {spec['shape'][1:]} a sample",
            next_step="declare the shape under signature.inputs, or name another feature:"
            f" {declared.section}.arrays.{spec['name']}=<feature>",
        ) from None
