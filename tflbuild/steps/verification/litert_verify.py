"""The step `verify`: the artifact runs on the evaluation samples and is held against its source."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tflbuild.core.figure_rounding import round_interval, round_metric, round_parity
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.runtime.user_code import convert_user_error, load_reference
from tflbuild.steps.datasets.sample_files import DIGESTS, Arrays, count_samples, load_array, load_feeds, load_samples
from tflbuild.steps.verification.accuracy import classification, snr_interval
from tflbuild.steps.verification.artifact_runner import run_interleaved, run_real, run_samples
from tflbuild.steps.verification.channel_figures import describe_channels
from tflbuild.steps.verification.evaluation_split import choose_part, take, take_known
from tflbuild.steps.verification.label_statistics import describe_labels
from tflbuild.steps.verification.output_resolution import find_coarse_joins, read_output_steps
from tflbuild.steps.verification.parity_figures import parity
from tflbuild.steps.verification.predictions import Predictions, ProbeResult, are_stateful, load_predictions
from tflbuild.steps.verification.repeatability import require_finite, require_repeatable
from tflbuild.tflite.interpreters import needs_flex, open_signature
from tflbuild.tflite.signature_checks import each_signature
from tflbuild.tflite.tflite_reader import read_model

NEEDS_FLEX_HERE = "it needs TensorFlow (Flex) operators, which no Python package can run"
METRIC_CALLS = 2
NO_SAMPLES = "the dataset has no samples for it"


def run(request: StepRequest) -> Facts:
    """Outputs verify.json; facts: the same. With the parameter `part`, of that part of the samples alone."""
    _, labels = load_samples(request.inputs["samples"])
    signature = request.read_json("signature")
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    places, total = None, count_samples(feeds[signature["key"]])
    part: Facts = {}
    if "part" in request.params:
        places, part = choose_part(request.inputs["samples"], signature, request.params["part"])
        feeds = {key: take(arrays, places) for key, arrays in feeds.items()}
        labels = labels if labels is None or places is None else labels[places]
    fed = [one for one in each_signature(signature) if one["key"] in feeds]
    actual, unverified = run_signatures(request, signature, fed, feeds)
    unverified |= {one["key"]: NO_SAMPLES for one in each_signature(signature) if one["key"] not in feeds}
    samples = count_samples(feeds[signature["key"]])
    report: Facts = {"samples": samples, "distinct": count_distinct(request, places, samples), "outputs": {}}
    report |= {"part": part} if part else {}
    model = read_model(request.inputs["model"])
    for outputs in actual.values():
        require_finite(outputs, "the evaluation samples")
    if not are_stateful(signature):  # one that is gives other answers by nature
        main_feed, main_outputs = feeds[signature["key"]], actual[signature["key"]]
        require_repeatable(request.inputs["model"], model, signature, main_feed, main_outputs, request.params)
    for key, outputs in actual.items():
        reference = load_predictions(request.inputs["predictions"], key)
        reference = Predictions(take_known(reference.outputs, places, total), reference.probes)
        main = key == signature["key"]
        prefix = "" if main else f"{key}/"
        compared = compare(reference.outputs, outputs)
        if main and request.params["kind"] == "classification":
            report["classification"] = classify(reference.outputs, outputs, labels, request.params)
        scores = report["classification"]["output"] if main and "classification" in report else None
        for name, details in describe_outputs(reference.outputs, outputs, read_output_steps(model, key)).items():
            if name == scores:  # classes share one unit, and a class that is never named has a small range
                details.pop("channels", None)
            compared[name] |= details
        report["outputs"] |= {prefix + name: figures for name, figures in compared.items()}
        report["outputs"] |= compare_resized(request, key, reference, prefix)
        if main and "metrics" in request.params:
            report["metrics"] = measure(request, reference.outputs, outputs, labels)
    if joins := find_coarse_joins(model):
        report["coarse_joins"] = joins
    if unverified:
        report["unverified_signatures"] = unverified
    request.write_json("verify.json", report)
    return report


def run_signatures(
    request: StepRequest, signature: Any, fed: list[Any], feeds: Mapping[str, Arrays]
) -> tuple[dict[str, Arrays], dict[str, str]]:
    """(outputs by signature, reasons by signature that cannot be run here). The main one must run."""
    model = request.inputs["model"]
    actual: dict[str, Arrays] = {}
    unverified: dict[str, str] = {}
    if are_stateful(signature):
        unverified = {
            one["key"]: NEEDS_FLEX_HERE
            for one in fed
            if one["key"] != signature["key"] and not one["stateful"] and lacks_flex(request, one["key"])
        }
        able = [one for one in fed if one["key"] not in unverified]
        return run_interleaved(model, able, feeds, request.params), unverified
    for one in fed:
        try:
            actual[one["key"]] = run_samples(model, one, feeds[one["key"]], request.params)
        except WorkerError as error:
            if one["key"] == signature["key"] or not needs_flex(error):
                raise
            unverified[one["key"]] = NEEDS_FLEX_HERE
    return actual, unverified


def lacks_flex(request: StepRequest, key: str) -> bool:
    """Whether a signature cannot be run here for want of TensorFlow operators."""
    try:
        open_signature(request.inputs["model"], key, request.params["delegate"], request.params["threads"])
    except WorkerError as error:
        return needs_flex(error)
    return False


def count_distinct(request: StepRequest, places: np.ndarray | None, samples: int) -> int:
    """Return how many of the evaluation samples at `places`, None for the first `samples`, differ from the others."""
    path = request.inputs["samples"] / DIGESTS
    if not path.is_file():
        return samples
    return len(np.unique(load_array(path)[slice(samples) if places is None else places]))


def describe_outputs(reference: Arrays, actual: Arrays, steps: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Return what a whole-tensor figure of each numeric output does not say.

    `snr_db_interval` is how sure its SNR is, `channels` what `describe_channels` has, `constant` that the artifact
    gives the same for all samples and the source does not.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, expected in reference.items():
        if expected.dtype.kind == "S":
            continue
        made = actual[name].reshape(expected.shape)
        interval = snr_interval(expected, made)
        details = {
            "snr_db_interval": interval and round_interval(interval, (interval["low"] + interval["high"]) / 2),
            "channels": describe_channels(expected, made, steps.get(name)),
            "constant": bool((made == made[:1]).all() and (expected != expected[:1]).any()) or None,
        }
        found[name] = {key: value for key, value in details.items() if value is not None}
    return found


def compare(reference: Arrays, actual: Arrays) -> dict[str, dict[str, Any]]:
    """Return the parity of every output, to the digits that hold on every CPU.

    Strings are compared for equality: their share that differs is the error.
    """
    found = {}
    for name, expected in sorted(reference.items()):
        has = actual[name].reshape(len(actual[name]), -1)
        wanted = expected.reshape(len(expected), -1)
        if has.shape != wanted.shape:
            raise WorkerError(
                f"output '{name}' has {has.shape[1]} values a sample, its source {wanted.shape[1]}", kind="build"
            )
        if wanted.dtype.kind == "S":
            same = (has.astype("S") == wanted).astype(np.float64)
            found[name] = parity(np.ones_like(same), same)
        else:
            found[name] = round_parity(parity(wanted, has))
    return found


def compare_resized(
    request: StepRequest, key: str, reference: Predictions, prefix: str
) -> Mapping[str, dict[str, float]]:
    """Parity where the artifact was resized to what its signature leaves free; the label says to what."""
    found = {}
    for probed in reference.probes:
        for name, figures in compare_probe(request, key, probed).items():
            found[f"{prefix}{name} at {probed.label}"] = figures
    return found


def compare_probe(request: StepRequest, key: str, probed: ProbeResult) -> dict[str, dict[str, float]]:
    """Parity on one probe, on an interpreter of its own."""
    params = request.params
    running = open_signature(request.inputs["model"], key, params["delegate"], params["threads"])
    actual = run_real(running, probed.feed)
    return compare(
        {name: array[None] for name, array in probed.outputs.items()},
        {name: array[None] for name, array in actual.items()},
    )


def measure(request: StepRequest, expected: Arrays, actual: Arrays, labels: Any) -> dict[str, float]:
    """The user's own metrics by name, both sides in one shape, [samples, ...].

    Each is called twice, on copies, and rounded to the digits that hold on every CPU. Raises WorkerError for an
    exception in one, for what is no finite number, and for another number at the second call.
    """
    actual = {name: array.reshape(expected[name].shape) for name, array in actual.items()}
    found = {}
    for name, entry in request.params["metrics"].items():
        key = f"verify.metrics.{name}"
        function = load_reference(request, entry, key)
        found[name], again = (
            call_metric(request, function, entry, key, (expected, actual, labels)) for _ in range(METRIC_CALLS)
        )
        if found[name] != again:
            raise WorkerError(
                f"'{entry}' is not deterministic: it gave {found[name]!r}, and then {again!r}",
                where=key,
                why="it was called twice with equal arguments; a figure that changes cannot be compared with a limit",
                next_step="seed its random numbers, and keep no state between calls",
            )
        found[name] = round_metric(again)
    return found


def call_metric(request: StepRequest, function: Any, entry: str, key: str, arguments: Any) -> float:
    """Call a metric on copies of (expected, actual, labels): it may change them. Raises WorkerError for no number."""
    expected, actual, labels = copy.deepcopy(arguments)
    with convert_user_error(request, f"'{entry}' failed", key):
        value = function(expected=expected, actual=actual, labels=labels)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise WorkerError(f"'{entry}' gave {str(value)[:100]}, and a metric is one finite number", where=key)
    return number


def classify(reference: Arrays, actual: Arrays, labels: Any, params: Any) -> dict[str, Any]:
    """Accuracy of the declared, or the only, output. Raises WorkerError for labels that cannot match."""
    name = params["output"] or (next(iter(reference)) if len(reference) == 1 else "")
    if name not in reference:
        raise WorkerError(
            f"there is no output '{name}'" if name else "the model has several outputs",
            where="verify.output",
            why=f"its outputs: {', '.join(reference)}",
            next_step="set verify.output to the one that holds the class scores",
        )
    scores = reference[name].reshape(len(reference[name]), -1)
    if scores.shape[1] == 1:
        raise WorkerError(
            f"output '{name}' has one value, which cannot tell classes apart",
            where="verify.output",
            why="the predicted class is the place of the greatest score, so it would always be 0",
            next_step="verify=parity with a metric of your own (verify.metrics) that has the threshold",
        )
    if int(labels.max()) >= scores.shape[1]:
        raise WorkerError(
            f"a label is {int(labels.max())}, and output '{name}' has {scores.shape[1]} classes",
            where="verify.dataset.label",
            why="labels are class indices from 0",
            next_step="check that the labels belong to this model, and verify.output",
        )
    made = actual[name].reshape(scores.shape)
    top_k = min(params["top_k"], scores.shape[1] - 1)  # all classes together are always right
    figures = classification(scores, made, labels, top_k)
    spread = describe_labels(scores.argmax(-1), made.argmax(-1), np.asarray(labels))
    return {"output": name, "classes": scores.shape[1], **figures, "labels": spread}
