"""Record the outputs of the source for seeded random inputs, before `import` wraps the source.

Names, batches and preprocessing are applied with NumPy, and a Keras model is called as Keras calls it. The code that
traces the source takes no part, so the recorded outputs can prove that the import is correct (`source_outputs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.numpy_preprocess import preprocess_values
from tflbuild.steps.sources.source_entry_points import SourceEntryPoint, is_entry, is_keras
from tflbuild.steps.verification.source_outputs import Arrays, SourceCall, describe_difference
from tflbuild.tflite.signature_checks import Specs

SEED = 13
CALLS = 2
DYNAMIC_BATCH = 3
# The sizes for dynamic dimensions other than the batch, in the order in which they are tried.
DYNAMIC_SIZES = (24, 64, 8, 3, 1)
WORDS = (b"a", b"good day", b"7")
# Integers may be indices into a table, so they are 0 or 1.
TOKENS = 2
FULL_RANGE = ("uint8", "int8")


@dataclass(frozen=True)
class UnwrappedEntry:
    """An entry point of the source, before it is traced.

    Attributes:
        holder: The model object.
        entry: The entry point.
        specs: The inputs of the artifact.
        models: The inputs of the source, which differ if the artifact preprocesses.
        own: The names of all outputs in the source, in their order.
        declared: The signature in the recipe, as JSON.
        stateful: Whether a call changes a variable or a table.
    """

    holder: Any
    entry: SourceEntryPoint
    specs: Specs
    models: Specs
    own: tuple[str, ...]
    declared: Mapping[str, Any]
    stateful: bool


def record_source_outputs(sources: list[UnwrappedEntry], label: str) -> list[SourceCall]:
    """Call every entry point with random inputs, and return the calls with their outputs.

    An entry point that fails for all random inputs is omitted, and a line in the log says so.

    Args:
        sources: The entry points.
        label: The name of the source in messages.

    Raises:
        WorkerError: The outputs of a source without state differ if it is called with the same input again.
    """
    calls = []
    stateful = any(source.stateful for source in sources)
    for source in sources:
        entry_calls = call_with_accepted_inputs(source, stateful)
        if not entry_calls:
            print(f"'{source.declared['key']}' of the source fails for all random inputs, so it is not compared")
            continue
        calls += entry_calls
        if not stateful:
            require_repeatable(source, entry_calls[0], label)
    return calls


def call_with_accepted_inputs(source: UnwrappedEntry, stateful: bool) -> list[SourceCall]:
    """Return the calls with the first kind of random input that the source accepts, if possible with finite outputs.

    A stateful source is called with one kind only, since a second attempt would start in another state.
    """
    accepted: list[SourceCall] = []
    for draw, size in islice(list_input_choices(source.specs), 1 if stateful else None):
        random = np.random.default_rng(SEED)
        try:
            feeds = [random_feed(source, random, draw, size) for _ in range(CALLS)]
            calls = [SourceCall(source.declared["key"], feed, call_source(source, feed)) for feed in feeds]
        # A framework may raise any exception for a size or a value that the model does not accept.
        except Exception as error:
            print(f"the source does not accept random inputs of size {size}: {str(error).splitlines()[:1]}")
            continue
        if all(is_finite(array) for call in calls for array in call.outputs.values()):
            return calls
        accepted = accepted or calls
    return accepted


def list_input_choices(specs: Specs) -> Iterator[tuple[str, int]]:
    """Yield the distribution of the values and the size of dynamic dimensions, in the order in which they are tried."""
    is_dynamic = any(size is None for spec in specs.values() for size in (spec.shape or ())[1:])
    for size in DYNAMIC_SIZES if is_dynamic else DYNAMIC_SIZES[:1]:
        yield "normal", size
        yield "uniform", size


def random_feed(source: UnwrappedEntry, random: np.random.Generator, draw: str, size: int) -> Arrays:
    """Return random inputs of the artifact. An input that the artifact preprocesses gets raw values, 0 to 255."""
    raw = {settings["input"] for settings in source.declared["preprocess"]}
    feed = {}
    for name, spec in sorted(source.specs.items()):
        sizes = [DYNAMIC_BATCH if axis == 0 else size for axis, _ in enumerate(spec.shape or ())]
        shape = [chosen if fixed is None else fixed for chosen, fixed in zip(sizes, spec.shape or (), strict=True)]
        feed[name] = random_values(random, shape, spec.dtype, "bytes" if name in raw else draw)
    return feed


def random_values(random: np.random.Generator, shape: list[int], dtype: str, draw: str) -> np.ndarray:
    """Return random values that a model is likely to accept.

    Args:
        random: The generator.
        shape: The shape of the array.
        dtype: Its type. Strings are words; integers are 0 or 1; `uint8` and `int8` have their full range.
        draw: `bytes` for values from 0 to 255; `normal` for a normal distribution (mean 0, deviation 1), or `uniform`
            for values from 0.1 to 1 if the type is a float.

    Raises:
        TypeError: The type is not supported.
    """
    if dtype == "string":
        return random.choice(np.array(WORDS), shape)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return np.asarray(random.integers(0, 2, shape), bool)
    if kind.kind not in "iufc":
        raise TypeError(f"random values of {dtype} are not supported")
    if draw == "bytes" or dtype in FULL_RANGE:
        low = np.iinfo(kind).min if dtype == "int8" else 0
        return np.asarray(random.integers(low, low + 256, shape), kind)
    if kind.kind in "iu":
        return np.asarray(random.integers(0, TOKENS, shape), kind)
    values = random.normal(size=shape) if draw == "normal" else random.uniform(0.1, 1.0, shape)
    return np.asarray(values, kind)


def call_source(source: UnwrappedEntry, feed: Arrays) -> Arrays:
    """Return the outputs of the source for inputs of the artifact, with the output names in the recipe."""
    preprocess = {settings["input"]: settings for settings in source.declared["preprocess"]}
    source_inputs = {}
    for name, values in feed.items():
        if name in preprocess:
            model = source.models[name]
            values = preprocess_values(values, preprocess[name], model.shape or ())
            values = np.trunc(values) if np.dtype(model.dtype).kind in "iu" else values
            values = values.astype(model.dtype)
        source_inputs[name] = tf.constant(values)
    results = {name: np.asarray(value) for name, value in find_call(source)(source_inputs).items()}
    renamed = {name: results[mine] for name, mine in source.declared["outputs"] if mine in results}
    return renamed or results


def find_call(source: UnwrappedEntry) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the function with which the framework calls a source: a Keras model, or a signature of a SavedModel.

    For other sources, it is the entry point that `import` found, before it is traced.
    """
    named = source.declared["entry"]
    key = named or source.declared["key"]
    method = getattr(source.holder, key, None)
    if is_keras(source.holder) and getattr(source.holder, "inputs", None) and not named and not is_entry(method):
        return lambda feeds: call_keras(source, feeds)
    signatures = getattr(source.holder, "signatures", {})
    if key in signatures:
        return lambda feeds: dict(signatures[key](**feeds))
    return source.entry.call


def call_keras(source: UnwrappedEntry, feeds: dict[str, Any]) -> dict[str, Any]:
    """Call a functional Keras model with inputs in its own structure (a list or a dict), in inference mode."""
    model = source.holder
    structure = model.input
    tensors = tf.nest.flatten(structure)
    if {tensor.name for tensor in tensors} != feeds.keys():
        # The inputs have the names of a dict's keys instead.
        return source.entry.call(feeds)
    value = tf.nest.pack_sequence_as(structure, [feeds[tensor.name] for tensor in tensors])
    result = model(value, training=False)
    if isinstance(result, Mapping):
        return dict(result)
    names = getattr(model, "output_names", None) or source.own
    return dict(zip(names, tf.nest.flatten(result), strict=True))


def is_finite(array: np.ndarray) -> bool:
    """Return whether all numbers in an array are finite. Values that are not numbers count as finite."""
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def require_repeatable(source: UnwrappedEntry, call: SourceCall, label: str) -> None:
    """Raise WorkerError if a second call with the same input returns other outputs."""
    repeated = call_source(source, call.feed)
    for name, expected in call.outputs.items():
        reason = describe_difference(expected, repeated[name])
        if reason:
            raise WorkerError(
                f"'{label}' returns another output '{name}' for the same input when it is called again",
                where="source",
                why=f"{reason}: the model has dropout or noise in training mode, or other random operators",
                next_step="export it for inference: model(x, training=False), without random operators",
            )
