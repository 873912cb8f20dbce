"""The steps `overlap` and `training overlap`: which evaluation samples were calibrated or trained with."""

from __future__ import annotations

import numpy as np

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.datasets.sample_files import DIGESTS, load_array

SHOWN = 20


def run(request: StepRequest) -> Facts:
    """Outputs overlap.json; facts: the same. `count` of the `of` evaluation samples are among the input `used`.

    `first` are places of such samples among the evaluation samples, from 0. Samples are compared by
    the bytes that are fed.
    """
    used = load_array(request.inputs["used"] / DIGESTS)
    evaluation = load_array(request.inputs["evaluation"] / DIGESTS)
    shared = np.flatnonzero(np.isin(evaluation, used))
    facts: Facts = {"count": len(shared), "of": len(evaluation), "first": shared[:SHOWN].tolist()}
    request.write_json("overlap.json", facts)
    return facts
