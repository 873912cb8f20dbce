"""The source itself is asked for its outputs, before `import` wraps it: see `witness`.

Inputs are seeded random values. Renaming, batches and preprocessing are done here in NumPy, and a Keras model is called
as Keras calls it: none of the code that traces the source takes part.
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
from tflbuild.steps.verification.source_outputs import Arrays, SourceCall, difference
from tflbuild.tflite.signature_checks import Specs

SEED = 13
CALLS = 2
FREE_BATCH = 3
FREE_SIZES = (24, 64, 8, 3, 1)  # tried in turn, for all free sizes within a sample
WORDS = (b"a", b"good day", b"7")
TOKENS = 2  # integers that may be indices are below it
FULL_RANGE = ("uint8", "int8")


@dataclass(frozen=True)
class UnwrappedEntry:
    """An entry point as the source has it.

    `specs` are the artifact's inputs, `models` what the source itself takes; `own` are the source's names of all
    outputs, in its order; `declared` is the recipe's signature as JSON.
    """

    holder: Any
    entry: SourceEntryPoint
    specs: Specs
    models: Specs
    own: tuple[str, ...]
    declared: Mapping[str, Any]
    stateful: bool


def record_source_outputs(sources: list[UnwrappedEntry], label: str) -> list[SourceCall]:
    """Return the calls that the source answered. One that it refuses for every random input is left out, and logged.

    Raises:
        WorkerError: Where the same input gives other outputs when it is fed again.
    """
    calls = []
    stateful = any(source.stateful for source in sources)
    for source in sources:
        found = call_with_accepted_inputs(source, stateful)
        if not found:
            print(f"the source itself answers no random input of '{source.declared['key']}': it is not compared")
            continue
        calls += found
        if not stateful:
            require_repeatable(source, found[0], label)
    return calls


def call_with_accepted_inputs(source: UnwrappedEntry, stateful: bool) -> list[SourceCall]:
    """Return the calls with the first kind of random input that the source takes, if possible with finite outputs.

    There is one attempt with a stateful source: another one would begin with another state.
    """
    taken: list[SourceCall] = []
    for draw, size in islice(list_input_choices(source.specs), 1 if stateful else None):
        random = np.random.default_rng(SEED)
        try:
            feeds = [random_feed(source, random, draw, size) for _ in range(CALLS)]
            calls = [SourceCall(source.declared["key"], feed, call_source(source, feed)) for feed in feeds]
        except Exception as error:  # whatever a framework raises for a size or a value that it cannot take
            print(f"the source itself does not take random inputs of size {size}: {str(error).splitlines()[:1]}")
            continue
        if all(is_finite(array) for call in calls for array in call.outputs.values()):
            return calls
        taken = taken or calls
    return taken


def list_input_choices(specs: Specs) -> Iterator[tuple[str, int]]:
    """Yield (distribution, size of free dimensions) in the order in which they are tried."""
    free = any(size is None for spec in specs.values() for size in (spec.shape or ())[1:])
    for size in FREE_SIZES if free else FREE_SIZES[:1]:
        yield "normal", size
        yield "uniform", size


def random_feed(source: UnwrappedEntry, random: np.random.Generator, draw: str, size: int) -> Arrays:
    """Return one feed of the artifact's inputs: raw values where it preprocesses."""
    raw = {one["input"] for one in source.declared["preprocess"]}
    feed = {}
    for name, spec in sorted(source.specs.items()):
        shape = [FREE_BATCH if axis == 0 else size for axis, _ in enumerate(spec.shape or ())]
        shape = [free if known is None else known for free, known in zip(shape, spec.shape or (), strict=True)]
        feed[name] = random_values(random, shape, spec.dtype, "bytes" if name in raw else draw)
    return feed


def random_values(random: np.random.Generator, shape: list[int], dtype: str, draw: str) -> np.ndarray:
    """Return values that a model is likely to take: tokens 0 and 1, pixels 0 to 255, reals about 0 or in 0.1 to 1."""
    if dtype == "string":
        return random.choice(np.array(WORDS), shape)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return np.asarray(random.integers(0, 2, shape), bool)
    if kind.kind not in "iufc":
        raise TypeError(f"no random values of {dtype} are made")
    if draw == "bytes" or dtype in FULL_RANGE:
        low = np.iinfo(kind).min if dtype == "int8" else 0
        return np.asarray(random.integers(low, low + 256, shape), kind)
    if kind.kind in "iu":
        return np.asarray(random.integers(0, TOKENS, shape), kind)
    values = random.normal(size=shape) if draw == "normal" else random.uniform(0.1, 1.0, shape)
    return np.asarray(values, kind)


def call_source(source: UnwrappedEntry, feed: Arrays) -> Arrays:
    """Return the source's outputs for an artifact's feed, under the names that the recipe gives them."""
    preprocess = {one["input"]: one for one in source.declared["preprocess"]}
    own = {}
    for name, values in feed.items():
        if name in preprocess:
            model = source.models[name]
            values = preprocess_values(values, preprocess[name], model.shape or ())
            values = np.trunc(values) if np.dtype(model.dtype).kind in "iu" else values
            values = values.astype(model.dtype)
        own[name] = tf.constant(values)
    results = {name: np.asarray(value) for name, value in find_call(source)(own).items()}
    renamed = {name: results[mine] for name, mine in source.declared["outputs"] if mine in results}
    return renamed or results


def find_call(source: UnwrappedEntry) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the way into the source that its framework offers: a Keras model's call, a SavedModel's signature.

    Anything else is called by the entry point that `import` found, before it is traced.
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
    """Call a functional model as it was made: inputs in its own structure, by their names; inference mode."""
    model = source.holder
    structure = model.input
    tensors = tf.nest.flatten(structure)
    if {tensor.name for tensor in tensors} != feeds.keys():
        return source.entry.call(feeds)  # inputs that are named by the keys of a dict
    value = tf.nest.pack_sequence_as(structure, [feeds[tensor.name] for tensor in tensors])
    result = model(value, training=False)
    if isinstance(result, Mapping):
        return dict(result)
    names = getattr(model, "output_names", None) or source.own
    return dict(zip(names, tf.nest.flatten(result), strict=True))


def is_finite(array: np.ndarray) -> bool:
    """Return whether numbers are finite; other values are."""
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def require_repeatable(source: UnwrappedEntry, call: SourceCall, label: str) -> None:
    """Raise WorkerError where the source gives other outputs for an input that it has seen."""
    again = call_source(source, call.feed)
    for name, wanted in call.outputs.items():
        why = difference(wanted, again[name])
        if why:
            raise WorkerError(
                f"'{label}' gives another output '{name}' when it is fed the same input again",
                where="source",
                why=f"{why}: dropout or noise in training mode, or other random operators",
                next_step="export it for inference: model(x, training=False), without random operators",
            )
