"""Whether an artifact gives finite numbers, and the same ones whenever it is opened and run on the same samples.

A kernel that reads memory which nothing wrote gives another answer after other calls, so samples are run again in the
opposite order, in an interpreter of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.sample_files import Arrays, batch_of, count_samples
from tflbuild.steps.verification.artifact_runner import run_samples
from tflbuild.tflite.tflite_model import Model

RANDOM = ("MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM")  # random by nature
REPEATED = 2  # samples that are run again
FIXES = ("quantization.engine=converter", "quantization.engine=litert", "quantization.granularity=per_channel")


def list_random_operators(model: Model) -> list[str]:
    """Return the operators of a model that draw random numbers."""
    return sorted({op.name for graph in model.subgraphs for op in graph.ops if op.name in RANDOM})


def require_finite(outputs: Arrays, samples: str) -> None:
    """Raise WorkerError for NaN and infinity in an artifact's outputs; `samples` says what it was run on."""
    for name, array in outputs.items():
        wrong = 0 if array.dtype.kind != "f" else int((~np.isfinite(array)).sum())
        if wrong:
            raise WorkerError(
                f"the artifact gives NaN or infinity in its output '{name}'",
                kind="build",
                why=f"{wrong:,} of {array.size:,} values on {samples}: converting or quantizing made them,"
                " for example by an overflow",
                next_step="compare with quantization=none: if that fails too, the model itself computes them in TFLite;"
                " otherwise use another scheme or engine",
                fixes=("quantization.engine=converter", "quantization=none"),
            )


def require_repeatable(
    path: Path, model: Model, signature: Mapping[str, Any], inputs: Arrays, first: Arrays, params: Any
) -> None:
    """Run the first samples again, the last of them first, and raise WorkerError where an output differs.

    Args:
        path: The artifact.
        model: Its contents; a model that draws random numbers is not checked.
        signature: The signature to call, which changes no state.
        inputs: The samples.
        first: What the artifact gave for them, samples first.
        params: The interpreter's delegate and threads.
    """
    batch = batch_of(signature)
    count = min(REPEATED, count_samples(inputs))
    if list_random_operators(model) or not count:
        return
    order = np.arange(count)[:: -1 if batch == 1 else 1]
    again = run_samples(path, signature, {name: array[order] for name, array in inputs.items()}, params, parts=1)
    require_same({name: array[order] for name, array in first.items()}, again)


def require_same(first: Arrays, again: Arrays) -> None:
    """Raise WorkerError where two runs of the same samples differ."""
    for name, array in first.items():
        other = again[name]
        differing = array.size if array.shape != other.shape else int((array != other).sum())
        if differing:
            raise WorkerError(
                f"the artifact is not repeatable: output '{name}' differs between two runs of the same samples",
                kind="build",
                why=f"{differing:,} of {array.size:,} values differ in a fresh interpreter: one of its kernels reads"
                " memory that nothing wrote",
                next_step="another engine, granularity or scheme avoids the kernel:\n"
                "`tflbuild doctor` with the same arguments tries them and says what works",
                fixes=FIXES,
            )
