"""The step `overlap`: which evaluation samples were calibrated with."""

from __future__ import annotations

import numpy as np

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.samples import DIGESTS, load_array

SHOWN = 20


def run(request: Request) -> Facts:
    """Outputs overlap.json; facts: the same. `count` of the `of` evaluation samples are calibration samples.

    `first` are places of such samples among the evaluation samples, from 0. Samples are compared by
    the bytes that are fed.
    """
    calibration = load_array(request.inputs["calibration"] / DIGESTS)
    evaluation = load_array(request.inputs["evaluation"] / DIGESTS)
    shared = np.flatnonzero(np.isin(evaluation, calibration))
    facts: Facts = {"count": len(shared), "of": len(evaluation), "first": shared[:SHOWN].tolist()}
    request.write_json("overlap.json", facts)
    return facts
