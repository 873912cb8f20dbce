"""Datasets that are Python functions: generators of samples, each a dict of arrays by input name."""

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
    """Open a dataset that user code generates: the first `count` samples, or all of them.

    The code runs once, when the samples are read.
    """
    params, request = declared.params, declared.request
    key = f"{declared.section}.call"
    function = load_reference(request, params["call"], key)
    label = params["label"]
    names = [dict(params["arrays"]).get(spec["name"], spec["name"]) for spec in declared.wanted]
    names += [label] if label else []

    def each() -> Iterator[Block]:
        with convert_user_error(request, f"'{declared.label}' failed", key):
            samples = function(**params["options"]["arguments"])
        if isinstance(samples, Mapping) or not hasattr(samples, "__iter__"):
            raise declared.refuse(
                f"'{declared.label}' returned a {type(samples).__name__}",
                "call",
                why="a dataset is a generator, or a list, of dicts: {input name: array}",
                next_step="yield one dict for each sample",
            )
        for index, sample in enumerate(islice(iterate_user_samples(declared, samples, key), params["count"])):
            yield as_block(declared, index, sample, names)

    return OpenDataset({name: ArrayHeader() for name in names}, lambda _, __: in_blocks(each()), None, untyped=False)


def iterate_user_samples(declared: DeclaredDataset, samples: Any, key: str) -> Iterator[Any]:
    """Yield the samples of user code. An exception in the code becomes a WorkerError that names the user's line."""
    iterator = iter(samples)
    while True:
        with convert_user_error(declared.request, f"'{declared.label}' failed", key):
            try:
                sample = next(iterator)
            except StopIteration:
                return
        yield sample


def as_block(declared: DeclaredDataset, index: int, sample: Any, names: list[str]) -> Block:
    """Return the arrays of one sample by name. Raise WorkerError if it is not a dict, or an array is missing."""
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
                next_step=f"yield it under this name, or map it: {declared.section}.arrays",
            )
    return {name: as_array(declared, index, name, sample[name]) for name in names}


def as_array(declared: DeclaredDataset, index: int, name: str, value: Any) -> np.ndarray:
    """Convert a value of a sample to an array. Raise WorkerError if it contains neither numbers nor text."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise declared.refuse(
            f"'{name}' of sample {index} of '{declared.label}' has masked values",
            "call",
            why="a masked value cannot be fed to a model",
            next_step="fill the masked values: value.filled(0)",
        )
    array = np.asarray(value)
    if array.dtype.kind not in "biufSU":
        raise declared.refuse(
            f"'{name}' of sample {index} of '{declared.label}' is a {type(value).__name__} of dtype {array.dtype}",
            "call",
            why="a dataset needs arrays of numbers or text",
        )
    return array
