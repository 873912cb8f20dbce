"""What a target is tried with: inputs, what this host's CPU makes of them, and how far another's results are from that.

Every step that proves a target answers with one verdict (`finish`), the same as verdict.json and as its facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tflbuild.core.figure_rounding import round_parity, show_ratio
from tflbuild.core.target_requirements import TargetRequirements
from tflbuild.core.typed_json import from_json
from tflbuild.core.verdict import UNPROVEN, Verdict
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.datasets.sample_files import Arrays, batch_of, each_sample, load_samples
from tflbuild.steps.verification.parity_figures import SNR_CEILING_DB, parity
from tflbuild.targets.common.requirement_check import find_unmet_requirements
from tflbuild.tflite.interpreters import dequantize_values, open_signature, quantize_values
from tflbuild.tflite.tflite_reader import read_model

COUNT = 8  # calls that are compared
SEED = 20
NO_NOISE = 1e-6  # of an output that is zero on the CPU


@dataclass(frozen=True)
class CpuReference:
    """Calls of one signature: `feeds` in the artifact's own types, `expected` as real values, a dict by name each.

    `details` are the outputs' details by name (scales), `sampled` whether the feeds are samples of the recipe's
    or random numbers.
    """

    key: str
    feeds: Sequence[Arrays]
    expected: Sequence[Arrays]
    details: Mapping[str, Any]
    sampled: bool

    def real(self, outputs: Arrays) -> Arrays:
        """A call's outputs in the artifact's types as real values."""
        return {name: dequantize_values(value, self.details[name]) for name, value in outputs.items()}


@dataclass(frozen=True)
class OutputAgreement:
    """How near another's outputs are to the CPU's; the worst output counts. `finite`: none is NaN or infinite.

    `steps` is the greatest difference in steps of a quantized output's scale, 0 where no output is quantized.
    """

    snr_db: float
    max_abs_error: float
    cosine: float
    finite: bool
    calls: int
    steps: float = 0.0

    def distance(self) -> str:
        """`-8.5 dB, at most 2 steps of their scale`: beside small signals a single step is much noise."""
        steps = f", at most {self.steps:.3g} step{'' if self.steps == 1 else 's'} of their scale" if self.steps else ""
        return f"{show_ratio(self.snr_db)} dB{steps}"

    def figures(self) -> dict[str, float]:
        """As a verdict's figures."""
        return {"snr_db": self.snr_db, "max_abs_error": self.max_abs_error, "cosine": self.cosine}


def make_trial(request: StepRequest, kernels: str = "reference", count: int = COUNT) -> CpuReference:
    """`count` calls, of the recipe's samples where the step has any, run on this host's CPU with these kernels.

    Raises WorkerError when the artifact does not run.
    """
    signature = request.read_json("signature")
    running = open_signature(request.inputs["model"], signature["key"], kernels)
    sampled = "samples" in request.inputs
    if sampled:
        inputs, _ = load_samples(request.inputs["samples"])
        taken = [feed for _, feed in zip(range(count), each_sample(inputs, batch=batch_of(signature)), strict=False)]
        feeds = [
            {name: quantize_values(np.asarray(value), running.input_details[name]) for name, value in feed.items()}
            for feed in taken
        ]
    else:
        generator = np.random.default_rng(SEED)
        feeds = [
            {name: random_values(detail, generator) for name, detail in running.input_details.items()}
            for _ in range(count)
        ]
    outputs = [running(feed) for feed in feeds]
    expected = [
        {name: dequantize_values(value, running.output_details[name]) for name, value in one.items()} for one in outputs
    ]
    return CpuReference(signature["key"], feeds, expected, running.output_details, sampled)


def random_values(detail: Mapping[str, Any], generator: np.random.Generator) -> np.ndarray:
    """An input of its dtype: floats from 0 to 1, 8-bit and 16-bit integers over their range, indices 0 or 1."""
    dtype, shape = np.dtype(detail["dtype"]), tuple(detail["shape"])
    if dtype.kind == "f":
        return generator.random(shape).astype(dtype)
    if dtype.itemsize <= 2 and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return generator.integers(0, 2, shape).astype(dtype)


def compare(trial: CpuReference, found: Sequence[Arrays]) -> OutputAgreement:
    """`found` are the outputs as real values, call by call. The worst output counts, over all calls together.

    An output of another size is none of the CPU's; strings are the same or not. Where the CPU gives nothing but zeros,
    noise below float32's own counts as none.
    """
    worst = {"snr_db": SNR_CEILING_DB, "max_abs_error": 0.0, "cosine": 1.0, "steps": 0.0}
    finite = True
    for name in trial.expected[0]:
        pairs = [(one[name], np.asarray(other[name])) for one, other in zip(trial.expected, found, strict=True)]
        if any(mine.size != other.size for mine, other in pairs):
            worst |= {"snr_db": -SNR_CEILING_DB, "cosine": min(worst["cosine"], 0.0)}
            continue
        expected = np.concatenate([np.asarray(mine).ravel() for mine, _ in pairs])
        actual = np.concatenate([other.ravel() for _, other in pairs])
        if expected.dtype.kind not in "fiub":
            if (expected != actual).any():
                worst |= {"snr_db": -SNR_CEILING_DB, "cosine": min(worst["cosine"], 0.0)}
            continue
        expected, actual = expected.astype(np.float64), actual.astype(np.float64)
        finite = finite and bool(np.isfinite(actual).all() or not np.isfinite(expected).all())
        close = parity(np.nan_to_num(expected), np.nan_to_num(actual))
        if not expected.any() and close["max_abs_error"] <= NO_NOISE:
            close |= {"snr_db": SNR_CEILING_DB, "cosine": 1.0}
        worst["snr_db"] = min(worst["snr_db"], close["snr_db"])
        worst["max_abs_error"] = max(worst["max_abs_error"], close["max_abs_error"])
        worst["cosine"] = min(worst["cosine"], close["cosine"])
        scale = float(trial.details[name]["quantization"][0])
        worst["steps"] = max(worst["steps"], close["max_abs_error"] / scale if scale > 0 else 0.0)
    return OutputAgreement(**round_parity(worst), finite=finite, calls=len(found))


def make_untried_verdict(linted: Verdict, error: WorkerError) -> Verdict:
    """Of an artifact that this host's CPU does not run either: what the rules say, and why it was not tried."""
    told = error.fields
    how = f"not tried, since this host's CPU does not run it: {told['what']}" + (
        f" ({told['why']})" if told["why"] else ""
    )
    return replace(linted, proof=UNPROVEN, how=how, runs=linted.runs if linted.runs is False else None)


def finish_without(request: StepRequest, verdict: Verdict) -> Facts:
    """The answer of a step that has nothing for its folder `compiled/`."""
    (request.outputs / "compiled").mkdir(exist_ok=True)
    return write_verdict(request, verdict)


def write_verdict(request: StepRequest, verdict: Verdict) -> Facts:
    """The step's answer, held against the profile's needs. Output verdict.json; facts: the same under `verdict`.

    `params.target.needs` has those that the profile has, by the names of `targets.common.requirement_check.Needs`.
    """
    needs = from_json(TargetRequirements, request.params["target"].get("needs", {}))
    found = (
        tuple(find_unmet_requirements(needs, read_model(request.inputs["model"]), verdict.target))
        if needs != TargetRequirements()
        else ()
    )
    told = replace(verdict, unmet=found).as_json()
    request.write_json("verdict.json", told)
    return {"verdict": told}
