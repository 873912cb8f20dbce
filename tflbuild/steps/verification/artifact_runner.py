"""A .tflite run on samples, in real values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.runtime import step_progress
from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.steps.datasets.sample_files import Arrays, batch_of, count_samples, each_sample
from tflbuild.steps.verification.predictions import call_signatures_in_turn
from tflbuild.tflite.interpreters import OpenSignature, dequantize_values, open_signature, quantize_values


def run_samples(
    model: Path, signature: Mapping[str, Any], inputs: Arrays, params: Any, parts: int | None = None
) -> Arrays:
    """Every output as real values, samples first, through the signature, by input name.

    `params` has the interpreter's delegate and threads. The samples are shared among the cores, or in `parts`.
    """
    batch = batch_of(signature)
    count = count_samples(inputs)

    def shard(calls: range) -> Arrays:
        running = open_signature(model, signature["key"], params["delegate"], params["threads"])
        collected: dict[str, list[np.ndarray]] = {}
        for feed in each_sample(inputs, range(calls.start * batch, calls.stop * batch), batch):
            for name, value in run_real(running, feed).items():
                split = batch > 1 and value.shape[:1] == (batch,)
                collected.setdefault(name, []).extend(value if split else [value] * batch)
            if parts is None:
                step_progress.advance()
        return {name: np.stack(values) for name, values in collected.items()}

    made = map_shards(shard, -(-count // batch), parts)
    return {name: np.concatenate([part[name] for part in made])[:count] for name in made[0]}


def run_interleaved(
    model: Path, signatures: Sequence[Mapping[str, Any]], feeds: Mapping[str, Arrays], params: Any
) -> dict[str, Arrays]:
    """Signature -> its outputs, where calls change state that others see: each signature in turn, call by call.

    All on one interpreter, which starts from the state that the file holds.
    """
    first = open_signature(model, signatures[0]["key"], params["delegate"], params["threads"])
    others = {one["key"]: first.sibling(one["key"]) for one in signatures[1:]}
    calls = {key: partial(run_real, running) for key, running in {signatures[0]["key"]: first, **others}.items()}
    return call_signatures_in_turn(signatures, feeds, calls)


def run_real(running: OpenSignature, feed: Arrays) -> Arrays:
    """One call: real values in and out, whatever the artifact's types."""
    outputs = running({name: quantize_values(value, running.takes[name]) for name, value in feed.items()})
    return {name: dequantize_values(value, running.gives[name]) for name, value in outputs.items()}
