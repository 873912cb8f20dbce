"""Datasets in CSV files: the first line contains the names of the columns, and every other line is a sample."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np

from tflbuild.steps.datasets.dataset_readers import (
    ArrayHeader,
    Block,
    DeclaredDataset,
    OpenDataset,
    in_blocks,
    suggest_name,
)

Parse = Callable[[str], Any]
INT64, UINT64 = np.iinfo(np.int64), np.iinfo(np.uint64)


def open_csv(declared: DeclaredDataset) -> OpenDataset:
    """Open a CSV file. The array of each input consists of the columns that the recipe assigns to it.

    Raises:
        WorkerError: The header does not fit the recipe or the model. A line that is invalid raises it when it is read.
    """
    header, count = scan(declared)
    inputs = {spec["name"]: spec for spec in declared.wanted}
    for name in declared.options["columns"].keys() - inputs.keys():
        raise declared.refuse(
            f"'{declared.section}.columns' names the input '{name}', which the model lacks",
            "columns",
            why=f"the model's inputs: {', '.join(inputs)}" + suggest_name(name, inputs),
        )
    columns = {name: find_columns(declared, name, header) for name in inputs}
    shapes = {name: sample_shape(declared, spec, len(columns[name])) for name, spec in inputs.items()}
    arrays = {name: ArrayHeader(None, (count, *shape)) for name, shape in shapes.items()}
    label = declared.params["label"]
    if label:
        columns[label], shapes[label] = [find_column(declared, label, header, "label")], ()
        arrays[label] = ArrayHeader(np.dtype(np.int64), (count,))
    parsers = {name: select_parser(spec["dtype"]) for name, spec in inputs.items()}
    parsers |= {label: parse_integer} if label else {}

    def each(picked: np.ndarray | None) -> Iterator[Block]:
        chosen = None if picked is None else set(picked.tolist())
        for index, (line, row) in enumerate(read_rows(declared, len(header))):
            if chosen is None or index in chosen:
                yield {
                    name: parse_cells(declared, line, header, row, columns[name], parsers[name]).reshape(shapes[name])
                    for name in arrays
                }

    return OpenDataset(arrays, lambda _, picked: in_blocks(each(picked)), count, untyped=True)


def read_lines(declared: DeclaredDataset) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of every line that is not empty, including the header.

    Raises:
        WorkerError: The file is not text in UTF-8, or not valid CSV.
    """
    try:
        with declared.path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=declared.options["delimiter"], strict=True)
            yield from ((reader.line_num, row) for row in reader if row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise declared.refuse(
            f"'{declared.label}' is not a CSV file", "path", why=str(error), next_step="write it as UTF-8 text"
        ) from None


def scan(declared: DeclaredDataset) -> tuple[list[str], int]:
    """Return the names of the columns, and the number of samples.

    Raises:
        WorkerError: The file is empty, or two columns have the same name.
    """
    lines = read_lines(declared)
    _, header = next(lines, (0, []))
    header = [name.strip() for name in header]
    if not header:
        raise declared.refuse(
            f"'{declared.label}' is empty", "path", next_step="write the names of the columns in line 1"
        )
    duplicate = next((name for name in header if header.count(name) > 1), None)
    if duplicate is not None:
        raise declared.refuse(
            f"'{declared.label}' has two columns '{duplicate}'",
            "path",
            next_step="use different names for the columns in the first line",
        )
    return header, sum(1 for _ in lines)


def read_rows(declared: DeclaredDataset, width: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of every sample. Raise WorkerError if a line has not `width` cells."""
    lines = read_lines(declared)
    next(lines)
    for line, row in lines:
        if len(row) != width:
            raise declared.refuse(
                f"line {line} of '{declared.label}' has {len(row)} values, but the first line has {width} columns",
                "path",
                next_step=f"correct the line; values are separated by '{declared.options['delimiter']}'",
            )
        yield line, row


def find_columns(declared: DeclaredDataset, name: str, header: Sequence[str]) -> list[int]:
    """Return the indices of an input's columns: the declared names and patterns, or the column with its name."""
    key = f"columns.{name}"
    indices = []
    for text in declared.options["columns"].get(name, [name]):
        matching = [index for index, column in enumerate(header) if fnmatchcase(column, text)]
        indices += [header.index(text)] if text in header else matching or [find_column(declared, text, header, key)]
    return indices


def find_column(declared: DeclaredDataset, name: str, header: Sequence[str], key: str) -> int:
    """Return the index of a column. Raise WorkerError if there is no such column."""
    if name in header:
        return header.index(name)
    names = ", ".join(header[:20]) + (", ..." if len(header) > 20 else "")
    raise declared.refuse(
        f"'{declared.label}' has no column '{name}'",
        key,
        why=f"its columns: {names}" + suggest_name(name, header),
        next_step=f"declare the columns of each input: {declared.section}.columns={{input: [column, ...]}}",
    )


def sample_shape(declared: DeclaredDataset, spec: Mapping[str, Any], count: int) -> tuple[int, ...]:
    """Return the shape of one sample, that of the input. Raise WorkerError if it has not `count` values.

    One dynamic dimension is computed from the number of columns.
    """
    shape = tuple(spec["shape"][1:])
    if None in shape:
        fixed = [size for size in shape if size is not None]
        rest = int(np.prod(fixed, dtype=np.int64))
        if shape.count(None) == 1 and count % rest == 0:
            return tuple(count // rest if size is None else size for size in shape)
    elif int(np.prod(shape, dtype=np.int64)) == count:
        return shape
    raise declared.refuse(
        f"input '{spec['name']}' needs {list(shape)} values per sample, but has {count} columns",
        f"columns.{spec['name']}",
        next_step=f"list its columns: {declared.section}.columns.{spec['name']}=[column,...]",
    )


def select_parser(dtype: str) -> Parse:
    """Return the function that converts a cell to a value: an exact integer, a float64, or text in UTF-8."""
    if dtype == "string":
        return str.encode
    if dtype == "bool":
        return parse_bool
    return parse_integer if np.dtype(dtype).kind in "iu" else partial(parse_float, dtype=np.dtype(dtype))


def parse_integer(text: str) -> int:
    """Return an integer that fits into int64 or uint64. Raise ValueError for any other text."""
    value = int(text)
    if "_" in text or not INT64.min <= value <= UINT64.max:
        raise ValueError(text)
    return value


def parse_bool(text: str) -> int:
    """Return 0 or 1. Raise ValueError for any other text."""
    if text.strip() not in ("0", "1"):
        raise ValueError(text)
    return int(text)


def parse_float(text: str, dtype: np.dtype) -> float:
    """Return a finite number. A fraction may be rounded, but not an integer, which may be an identifier.

    Raises:
        ValueError: The text is not a finite number, or is an integer that `dtype` cannot represent.
    """
    value = float(text)
    if not math.isfinite(value) or "_" in text:
        raise ValueError(text)
    if text.strip().lstrip("+-").isdecimal() and abs(value) < UINT64.max and not is_exact(value, int(text), dtype):
        raise ValueError(text)
    return value


def is_exact(value: float, integer: int, dtype: np.dtype) -> bool:
    """Return whether a type represents an integer exactly. Beyond the range of float16 the result is infinity."""
    number = float(dtype.type(value))
    return math.isfinite(number) and int(number) == integer


KINDS: Mapping[Parse, str] = {parse_integer: "a whole number of 64 bits", parse_bool: "0 or 1"}


def parse_cells(
    declared: DeclaredDataset,
    line: int,
    header: Sequence[str],
    row: Sequence[str],
    indices: Sequence[int],
    parse: Parse,
) -> np.ndarray:
    """Return the values of one input in one line. Raise WorkerError, with line and column, for an invalid cell."""
    values = []
    for index in indices:
        try:
            values.append(parse(row[index]))
        except ValueError:
            kind = KINDS.get(parse, "a number that the input's type can hold")
            raise declared.refuse(
                f"line {line} of '{declared.label}', column '{header[index]}': '{row[index]}' is not {kind}",
                "path",
                why="an input needs numbers, and a label is a class index",
                next_step="correct the line",
            ) from None
    return np.array(values)
