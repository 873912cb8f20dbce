"""Execution of a .tflite model on samples, with real values."""

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
    """Run a signature on samples.

    Args:
        model: The .tflite file.
        signature: The signature, as JSON.
        inputs: Input name -> samples, real values.
        params: `delegate` and `threads` of the interpreter.
        parts: The number of shards, None for one on each core.

    Returns:
        Output name -> real values, samples first.
    """
    batch = batch_of(signature)
    count = count_samples(inputs)

    def run_shard(calls: range) -> Arrays:
        runner = open_signature(model, signature["key"], params["delegate"], params["threads"])
        collected: dict[str, list[np.ndarray]] = {}
        for feed in each_sample(inputs, range(calls.start * batch, calls.stop * batch), batch):
            for name, value in run_real(runner, feed).items():
                split = batch > 1 and value.shape[:1] == (batch,)
                collected.setdefault(name, []).extend(value if split else [value] * batch)
            if parts is None:
                step_progress.advance()
        return {name: np.stack(values) for name, values in collected.items()}

    shards = map_shards(run_shard, -(-count // batch), parts)
    return {name: np.concatenate([part[name] for part in shards])[:count] for name in shards[0]}


def run_interleaved(
    model: Path, signatures: Sequence[Mapping[str, Any]], feeds: Mapping[str, Arrays], params: Any
) -> dict[str, Arrays]:
    """Call several signatures in turn on one interpreter, because a call may change state that others read.

    The interpreter starts from the state in the file.

    Returns:
        Signature name -> outputs.
    """
    first = open_signature(model, signatures[0]["key"], params["delegate"], params["threads"])
    others = {signature["key"]: first.sibling(signature["key"]) for signature in signatures[1:]}
    calls = {key: partial(run_real, runner) for key, runner in {signatures[0]["key"]: first, **others}.items()}
    return call_signatures_in_turn(signatures, feeds, calls)


def run_real(runner: OpenSignature, feed: Arrays) -> Arrays:
    """Call a signature with real values, whatever types the artifact has, and return real values."""
    outputs = runner({name: quantize_values(value, runner.input_details[name]) for name, value in feed.items()})
    return {name: dequantize_values(value, runner.output_details[name]) for name, value in outputs.items()}
