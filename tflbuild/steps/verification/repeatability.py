"""Checks that an artifact returns finite numbers, and the same ones in every run on the same samples.

A kernel that reads uninitialized memory returns different results after other calls. So samples run again in the
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

# Operators that draw random numbers.
RANDOM = ("MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM")
# The number of samples that run again.
REPEATED = 2
FIXES = ("quantization.engine=converter", "quantization.engine=litert", "quantization.granularity=per_channel")


def list_random_operators(model: Model) -> list[str]:
    """Return the operators of a model that draw random numbers."""
    return sorted({op.name for graph in model.subgraphs for op in graph.ops if op.name in RANDOM})


def require_finite(outputs: Arrays, samples: str) -> None:
    """Check that the outputs of an artifact are finite.

    Args:
        outputs: Output name -> values.
        samples: The samples that it ran on, for the error.

    Raises:
        WorkerError: An output has NaN or infinite values.
    """
    for name, array in outputs.items():
        count = 0 if array.dtype.kind != "f" else int((~np.isfinite(array)).sum())
        if count:
            raise WorkerError(
                f"the artifact gives NaN or infinity in its output '{name}'",
                kind="build",
                why=f"{count:,} of {array.size:,} values on {samples}: converting or quantizing made them,"
                " for example by an overflow",
                next_step="compare with quantization=none: if that fails too, the model itself computes them in TFLite;"
                " otherwise use another scheme or engine",
                fixes=("quantization.engine=converter", "quantization=none"),
            )


def require_repeatable(
    path: Path, model: Model, signature: Mapping[str, Any], inputs: Arrays, first: Arrays, params: Any
) -> None:
    """Run the first samples again, the last of them first, and compare the outputs.

    Args:
        path: The artifact.
        model: Its contents. A model that draws random numbers is not checked.
        signature: The signature to call. It does not change state.
        inputs: The samples.
        first: The artifact's outputs for them, samples first.
        params: `delegate` and `threads` of the interpreter.

    Raises:
        WorkerError: An output differs.
    """
    batch = batch_of(signature)
    count = min(REPEATED, count_samples(inputs))
    if list_random_operators(model) or not count:
        return
    order = np.arange(count)[:: -1 if batch == 1 else 1]
    repeated = run_samples(path, signature, {name: array[order] for name, array in inputs.items()}, params, parts=1)
    require_same({name: array[order] for name, array in first.items()}, repeated)


def require_same(first: Arrays, second: Arrays) -> None:
    """Check that two runs of the same samples have equal outputs.

    Raises:
        WorkerError: An output differs.
    """
    for name, array in first.items():
        other = second[name]
        differing = array.size if array.shape != other.shape else int((array != other).sum())
        if differing:
            raise WorkerError(
                f"the artifact is not repeatable: output '{name}' differs between two runs of the same samples",
                kind="build",
                why=f"{differing:,} of {array.size:,} values differ in a new interpreter: one of the kernels reads"
                " uninitialized memory",
                next_step="use another engine, granularity or scheme, to avoid the kernel\n"
                "`tflbuild doctor` with the same arguments tries them and says what works",
                fixes=FIXES,
            )
