"""CSV files as datasets: the first line names the columns, every other one is a sample."""

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
    """An array an input, of the columns that the recipe gives it. Raises WorkerError for a line that does not fit."""
    header, count = scan(declared)
    inputs = {spec["name"]: spec for spec in declared.wanted}
    for name in declared.options["columns"].keys() - inputs.keys():
        raise declared.refuse(
            f"'{declared.section}.columns' names the input '{name}', which the model lacks",
            "columns",
            why=f"the model's inputs: {', '.join(inputs)}" + suggest_name(name, inputs),
        )
    columns = {name: columns_of(declared, name, header) for name in inputs}
    shapes = {name: shape_of(declared, spec, len(columns[name])) for name, spec in inputs.items()}
    arrays = {name: ArrayHeader(None, (count, *shape)) for name, shape in shapes.items()}
    label = declared.params["label"]
    if label:
        columns[label], shapes[label] = [place_of(declared, label, header, "label")], ()
        arrays[label] = ArrayHeader(np.dtype(np.int64), (count,))
    parses = {name: parser(spec["dtype"]) for name, spec in inputs.items()} | ({label: whole} if label else {})

    def each(picked: np.ndarray | None) -> Iterator[Block]:
        chosen = None if picked is None else set(picked.tolist())
        for index, (line, row) in enumerate(rows(declared, len(header))):
            if chosen is None or index in chosen:
                yield {
                    name: parse_cells(declared, line, header, row, columns[name], parses[name]).reshape(shapes[name])
                    for name in arrays
                }

    return OpenDataset(arrays, lambda _, picked: in_blocks(each(picked)), count, untyped=True)


def lines(declared: DeclaredDataset) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not empty, the header first. Raises WorkerError for no text."""
    try:
        with declared.path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=declared.options["delimiter"], strict=True)
            yield from ((reader.line_num, row) for row in reader if row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise declared.refuse(
            f"'{declared.label}' is not a CSV file", "path", why=str(error), next_step="write it as UTF-8 text"
        ) from None


def scan(declared: DeclaredDataset) -> tuple[list[str], int]:
    """(names of the columns, lines of data). Raises WorkerError for a header that names a column twice."""
    found = lines(declared)
    _, header = next(found, (0, []))
    header = [name.strip() for name in header]
    if not header:
        raise declared.refuse(f"'{declared.label}' is empty", "path", next_step="its first line names the columns")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise declared.refuse(
            f"'{declared.label}' has two columns '{twice}'", "path", next_step="the first line names the columns"
        )
    return header, sum(1 for _ in found)


def rows(declared: DeclaredDataset, width: int) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line of data. Raises WorkerError for one with another number of cells."""
    found = lines(declared)
    next(found)
    for line, row in found:
        if len(row) != width:
            raise declared.refuse(
                f"line {line} of '{declared.label}' has {len(row)} values, and the first line names {width} columns",
                "path",
                next_step=f"correct the line; values are separated by '{declared.options['delimiter']}'",
            )
        yield line, row


def columns_of(declared: DeclaredDataset, name: str, header: Sequence[str]) -> list[int]:
    """The places of an input's columns: as declared, patterns spelled out, or the column of its name."""
    key = f"columns.{name}"
    found = []
    for text in declared.options["columns"].get(name, [name]):
        matching = [place for place, column in enumerate(header) if fnmatchcase(column, text)]
        found += [header.index(text)] if text in header else matching or [place_of(declared, text, header, key)]
    return found


def place_of(declared: DeclaredDataset, name: str, header: Sequence[str], key: str) -> int:
    """The place of a column. Raises WorkerError where there is none."""
    if name in header:
        return header.index(name)
    shown = ", ".join(header[:20]) + (", ..." if len(header) > 20 else "")
    raise declared.refuse(
        f"'{declared.label}' has no column '{name}'",
        key,
        why=f"its columns: {shown}" + suggest_name(name, header),
        next_step=f"{declared.section}.columns says which columns feed an input, {{input: [column, ...]}}",
    )


def shape_of(declared: DeclaredDataset, spec: Mapping[str, Any], count: int) -> tuple[int, ...]:
    """The shape of one sample: the input's, where its columns are as many."""
    shape = tuple(spec["shape"][1:])
    if None in shape:
        free = [size for size in shape if size is not None]
        rest = int(np.prod(free, dtype=np.int64))
        if shape.count(None) == 1 and count % rest == 0:
            return tuple(count // rest if size is None else size for size in shape)
    elif int(np.prod(shape, dtype=np.int64)) == count:
        return shape
    raise declared.refuse(
        f"input '{spec['name']}' takes {list(shape)} values a sample, and {count} columns are given for it",
        f"columns.{spec['name']}",
        next_step=f"list its columns: {declared.section}.columns.{spec['name']}=[column,...]",
    )


def parser(dtype: str) -> Parse:
    """How a cell becomes a value of an input: integers exactly, other numbers as float64, text as UTF-8."""
    if dtype == "string":
        return str.encode
    if dtype == "bool":
        return truth
    return whole if np.dtype(dtype).kind in "iu" else partial(real, dtype=np.dtype(dtype))


def whole(text: str) -> int:
    """An integer that an array of int64 or uint64 can hold. Raises ValueError for what is none."""
    value = int(text)
    if "_" in text or not INT64.min <= value <= UINT64.max:
        raise ValueError(text)
    return value


def truth(text: str) -> int:
    """0 or 1. Raises ValueError for anything else."""
    if text.strip() not in ("0", "1"):
        raise ValueError(text)
    return int(text)


def real(text: str, dtype: np.dtype) -> float:
    """A number. Raises ValueError for what is none, NaN and infinity among it, and for an integer that `dtype` changes.

    Digits behind the point are rounded, as every reader does; a whole number, an identifier perhaps, is not.
    """
    value = float(text)
    if not math.isfinite(value) or "_" in text:
        raise ValueError(text)
    if text.strip().lstrip("+-").isdecimal() and abs(value) < UINT64.max and int(dtype.type(value)) != int(text):
        raise ValueError(text)
    return value


KINDS: Mapping[Parse, str] = {whole: "a whole number of 64 bits", truth: "0 or 1"}


def parse_cells(
    declared: DeclaredDataset, line: int, header: Sequence[str], row: Sequence[str], places: Sequence[int], parse: Parse
) -> np.ndarray:
    """The values of one input on one line. Raises WorkerError, with line and column, for what is no number."""
    values = []
    for place in places:
        try:
            values.append(parse(row[place]))
        except ValueError:
            kind = KINDS.get(parse, "a number that the input's type can hold")
            raise declared.refuse(
                f"line {line} of '{declared.label}', column '{header[place]}': '{row[place]}' is not {kind}",
                "path",
                why="an input takes numbers, a label is a class index",
                next_step="correct the line",
            ) from None
    return np.array(values)
