"""The step `compare_samples`: it finds evaluation samples that were also used for calibration or training."""

from __future__ import annotations

import numpy as np

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.datasets.sample_files import DIGESTS, load_array

SHOWN = 20


def run(request: StepRequest) -> Facts:
    """Run the step. Its output `overlap.json` has the same content as the facts. Samples are compared by their bytes.

    Returns:
        Facts: `count` of the `of` evaluation samples are also in the input `used`; `first`, the indices of the first
        such samples.
    """
    used = load_array(request.inputs["used"] / DIGESTS)
    evaluation = load_array(request.inputs["evaluation"] / DIGESTS)
    shared = np.flatnonzero(np.isin(evaluation, used))
    facts: Facts = {"count": len(shared), "of": len(evaluation), "first": shared[:SHOWN].tolist()}
    request.write_json("overlap.json", facts)
    return facts
