"""A user's own code as a dataset: a generator of samples by input name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from tflbuild.runtime.user_code import convert_user_error, load_reference
from tflbuild.steps.datasets.dataset_readers import (
    ArrayHeader,
    Block,
    DeclaredDataset,
    OpenDataset,
    in_blocks,
    suggest_name,
)


def open_call(declared: DeclaredDataset) -> OpenDataset:
    """What the code gives: the first `count` samples, or all of them. It runs once, when it is read."""
    params, request = declared.params, declared.request
    key = f"{declared.section}.call"
    function = load_reference(request, params["call"], key)
    label = params["label"]
    names = [dict(params["arrays"]).get(spec["name"], spec["name"]) for spec in declared.wanted]
    names += [label] if label else []

    def each() -> Iterator[Block]:
        with convert_user_error(request, f"'{declared.label}' failed", key):
            given = function(**params["options"]["arguments"])
        if isinstance(given, Mapping) or not hasattr(given, "__iter__"):
            raise declared.refuse(
                f"'{declared.label}' gave a {type(given).__name__}",
                "call",
                why="a dataset is a generator, or a list, of dicts: {input name: array}",
                next_step="yield one dict a sample",
            )
        for index, sample in enumerate(islice(guarded(declared, given, key), params["count"])):
            yield as_block(declared, index, sample, names)

    return OpenDataset({name: ArrayHeader() for name in names}, lambda _, __: in_blocks(each()), None, untyped=False)


def guarded(declared: DeclaredDataset, given: Any, key: str) -> Iterator[Any]:
    """What is given, one after the other; an exception names the user's own line."""
    found = iter(given)
    while True:
        with convert_user_error(declared.request, f"'{declared.label}' failed", key):
            try:
                sample = next(found)
            except StopIteration:
                return
        yield sample


def as_block(declared: DeclaredDataset, index: int, sample: Any, names: list[str]) -> Block:
    """One sample's arrays by name. Raises WorkerError for what is no dict of them."""
    if not isinstance(sample, Mapping):
        raise declared.refuse(
            f"sample {index} of '{declared.label}' is a {type(sample).__name__}",
            "call",
            why="each sample is a dict: {input name: array}",
            next_step=f"yield {{{', '.join(f'{name!r}: array' for name in names)}}}",
        )
    for name in names:
        if name not in sample:
            raise declared.refuse(
                f"sample {index} of '{declared.label}' has no '{name}'",
                "call",
                why=f"it has {', '.join(map(str, sample)) or 'nothing'}" + suggest_name(name, map(str, sample)),
                next_step=f"yield it under that name, or map it: {declared.section}.arrays",
            )
    return {name: as_array(declared, index, name, sample[name]) for name in names}


def as_array(declared: DeclaredDataset, index: int, name: str, value: Any) -> np.ndarray:
    """A value as an array. Raises WorkerError for what is no numbers and no text."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise declared.refuse(
            f"'{name}' of sample {index} of '{declared.label}' has masked values",
            "call",
            why="a masked value is no value that can be fed",
            next_step="fill them: value.filled(0)",
        )
    array = np.asarray(value)
    if array.dtype.kind not in "biufSU":
        raise declared.refuse(
            f"'{name}' of sample {index} of '{declared.label}' is a {type(value).__name__} of dtype {array.dtype}",
            "call",
            why="an array of numbers or of text is wanted",
        )
    return array
