"""Trial inputs for a target, the results of this host's CPU, and the comparison of a target's results with them.

Every step that proves a target returns one verdict (`write_verdict`): as verdict.json and as its facts.
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

# The number of calls that are compared.
COUNT = 8
SEED = 20
# The error that counts as none if an output is zero on the CPU.
NO_NOISE = 1e-6


@dataclass(frozen=True)
class CpuReference:
    """Calls of one signature on the CPU.

    Attributes:
        key: The signature name.
        feeds: For each call the inputs by name, in the artifact's types.
        expected: For each call the outputs by name, as real values.
        details: The details (scales) of the outputs by name.
        sampled: Whether the inputs are samples of the recipe, not random numbers.
    """

    key: str
    feeds: Sequence[Arrays]
    expected: Sequence[Arrays]
    details: Mapping[str, Any]
    sampled: bool

    def real(self, outputs: Arrays) -> Arrays:
        """Convert the outputs of a call from the artifact's types to real values."""
        return {name: dequantize_values(value, self.details[name]) for name, value in outputs.items()}


@dataclass(frozen=True)
class OutputAgreement:
    """The agreement of a target's outputs with those of the CPU. The worst output counts.

    Attributes:
        snr_db: The signal-to-noise ratio in dB.
        max_abs_error: The largest absolute error.
        cosine: The cosine of outputs and expected outputs.
        finite: Whether no output is NaN or infinite.
        calls: The number of calls.
        steps: The largest error in steps of a quantized output's scale, 0 if no output is quantized.
    """

    snr_db: float
    max_abs_error: float
    cosine: float
    finite: bool
    calls: int
    steps: float = 0.0

    def distance(self) -> str:
        """Return the difference as text: `-8.5 dB, at most 2 steps of their scale`.

        For a small signal a single step is much noise.
        """
        steps = f", at most {self.steps:.3g} step{'' if self.steps == 1 else 's'} of their scale" if self.steps else ""
        return f"{show_ratio(self.snr_db)} dB{steps}"

    def figures(self) -> dict[str, float]:
        """Return the figures of a verdict."""
        return {"snr_db": self.snr_db, "max_abs_error": self.max_abs_error, "cosine": self.cosine}


def make_trial(request: StepRequest, kernels: str = "reference", count: int = COUNT) -> CpuReference:
    """Run the artifact on this host's CPU.

    Args:
        request: The request of the step. Its samples are the inputs, or random numbers if it has none.
        kernels: Those of `interpreters.open_signature`.
        count: The number of calls.

    Raises:
        WorkerError: The artifact does not run.
    """
    signature = request.read_json("signature")
    runner = open_signature(request.inputs["model"], signature["key"], kernels)
    sampled = "samples" in request.inputs
    if sampled:
        inputs, _ = load_samples(request.inputs["samples"])
        sample_feeds = [
            feed for _, feed in zip(range(count), each_sample(inputs, batch=batch_of(signature)), strict=False)
        ]
        feeds = [
            {name: quantize_values(np.asarray(value), runner.input_details[name]) for name, value in feed.items()}
            for feed in sample_feeds
        ]
    else:
        generator = np.random.default_rng(SEED)
        feeds = [
            {name: random_values(detail, generator) for name, detail in runner.input_details.items()}
            for _ in range(count)
        ]
    outputs = [runner(feed) for feed in feeds]
    expected = [
        {name: dequantize_values(value, runner.output_details[name]) for name, value in call_outputs.items()}
        for call_outputs in outputs
    ]
    return CpuReference(signature["key"], feeds, expected, runner.output_details, sampled)


def random_values(detail: Mapping[str, Any], generator: np.random.Generator) -> np.ndarray:
    """Return a random input.

    Floats are from 0 to 1. 8-bit and 16-bit integers have their whole range, other integers are 0 or 1.
    """
    dtype, shape = np.dtype(detail["dtype"]), tuple(detail["shape"])
    if dtype.kind == "f":
        return generator.random(shape).astype(dtype)
    if dtype.itemsize <= 2 and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return generator.integers(0, 2, shape).astype(dtype)


def compare(trial: CpuReference, actual_calls: Sequence[Arrays]) -> OutputAgreement:
    """Compare outputs with those of the CPU. The worst output counts, over all calls.

    An output of another size does not agree. Strings must be equal. If the CPU's output is zero, errors below NO_NOISE
    are ignored.

    Args:
        trial: The calls on the CPU.
        found: For each call the outputs by name, as real values.
    """
    worst = {"snr_db": SNR_CEILING_DB, "max_abs_error": 0.0, "cosine": 1.0, "steps": 0.0}
    finite = True
    for name in trial.expected[0]:
        pairs = [
            (expected_call[name], np.asarray(actual_call[name]))
            for expected_call, actual_call in zip(trial.expected, actual_calls, strict=True)
        ]
        if any(expected_value.size != actual_call.size for expected_value, actual_call in pairs):
            worst |= {"snr_db": -SNR_CEILING_DB, "cosine": min(worst["cosine"], 0.0)}
            continue
        expected = np.concatenate([np.asarray(expected_value).ravel() for expected_value, _ in pairs])
        actual = np.concatenate([actual_call.ravel() for _, actual_call in pairs])
        if expected.dtype.kind not in "fiub":
            if (expected != actual).any():
                worst |= {"snr_db": -SNR_CEILING_DB, "cosine": min(worst["cosine"], 0.0)}
            continue
        expected, actual = expected.astype(np.float64), actual.astype(np.float64)
        finite = finite and bool(np.isfinite(actual).all() or not np.isfinite(expected).all())
        figures = parity(np.nan_to_num(expected), np.nan_to_num(actual))
        if not expected.any() and figures["max_abs_error"] <= NO_NOISE:
            figures |= {"snr_db": SNR_CEILING_DB, "cosine": 1.0}
        worst["snr_db"] = min(worst["snr_db"], figures["snr_db"])
        worst["max_abs_error"] = max(worst["max_abs_error"], figures["max_abs_error"])
        worst["cosine"] = min(worst["cosine"], figures["cosine"])
        scale = float(trial.details[name]["quantization"][0])
        worst["steps"] = max(worst["steps"], figures["max_abs_error"] / scale if scale > 0 else 0.0)
    return OutputAgreement(**round_parity(worst), finite=finite, calls=len(actual_calls))


def make_untried_verdict(linted: Verdict, error: WorkerError) -> Verdict:
    """Return the verdict of the rules on an artifact that this host's CPU cannot run, with the reason."""
    fields = error.fields
    how = f"not tried, since this host's CPU does not run it: {fields['what']}" + (
        f" ({fields['why']})" if fields["why"] else ""
    )
    return replace(linted, proof=UNPROVEN, how=how, runs=linted.runs if linted.runs is False else None)


def finish_without(request: StepRequest, verdict: Verdict) -> Facts:
    """Write the verdict of a step that has no files for its folder `compiled/`."""
    (request.outputs / "compiled").mkdir(exist_ok=True)
    return write_verdict(request, verdict)


def write_verdict(request: StepRequest, verdict: Verdict) -> Facts:
    """Check the profile's requirements, and write verdict.json.

    Args:
        request: The request of the step. `params.target.needs` has the requirements of the profile.
        verdict: The verdict.

    Returns:
        The fact `verdict`, with violated requirements in `unmet`.
    """
    needs = from_json(TargetRequirements, request.params["target"].get("needs", {}))
    unmet = (
        tuple(find_unmet_requirements(needs, read_model(request.inputs["model"]), verdict.target))
        if needs != TargetRequirements()
        else ()
    )
    content = replace(verdict, unmet=unmet).as_json()
    request.write_json("verdict.json", content)
    return {"verdict": content}
