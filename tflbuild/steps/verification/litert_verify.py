"""The step `verify`: the artifact runs on the evaluation samples and is compared with its source."""

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
from tflbuild.steps.verification.evaluation_split import choose_part, take_known, take_samples
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
    """Compare the artifact with the source's predictions, and write verify.json.

    Args:
        request: Inputs `model`, `samples`, `predictions` and `signature`. Parameters: `kind`, `delegate`, `threads`,
            and optionally `metrics`, `output`, `top_k`, and `part`, which selects a part of the evaluation split.

    Returns:
        The content of verify.json: figures of every output, of the classification, and of the user's metrics.

    Raises:
        WorkerError: The artifact does not run, is not repeatable, or has other shapes than the source; labels do not
            match; or a metric fails.
    """
    _, labels = load_samples(request.inputs["samples"])
    signature = request.read_json("signature")
    feeds = load_feeds(request.inputs["samples"], signature["key"])
    indices, total = None, count_samples(feeds[signature["key"]])
    part: Facts = {}
    if "part" in request.params:
        indices, part = choose_part(request.inputs["samples"], signature, request.params["part"])
        feeds = {key: take_samples(arrays, indices) for key, arrays in feeds.items()}
        labels = labels if labels is None or indices is None else labels[indices]
    fed = [entry for entry in each_signature(signature) if entry["key"] in feeds]
    actual, unverified = run_signatures(request, signature, fed, feeds)
    unverified |= {entry["key"]: NO_SAMPLES for entry in each_signature(signature) if entry["key"] not in feeds}
    samples = count_samples(feeds[signature["key"]])
    report: Facts = {"samples": samples, "distinct": count_distinct(request, indices, samples), "outputs": {}}
    report |= {"part": part} if part else {}
    model = read_model(request.inputs["model"])
    for outputs in actual.values():
        require_finite(outputs, "the evaluation samples")
    # A stateful model returns different outputs in a second run.
    if not are_stateful(signature):
        main_feed, main_outputs = feeds[signature["key"]], actual[signature["key"]]
        require_repeatable(request.inputs["model"], model, signature, main_feed, main_outputs, request.params)
    for key, outputs in actual.items():
        reference = load_predictions(request.inputs["predictions"], key)
        reference = Predictions(take_known(reference.outputs, indices, total), reference.probes)
        main = key == signature["key"]
        prefix = "" if main else f"{key}/"
        compared = compare(reference.outputs, outputs)
        if main and request.params["kind"] == "classification":
            report["classification"] = classify(reference.outputs, outputs, labels, request.params)
        scores = report["classification"]["output"] if main and "classification" in report else None
        for name, details in describe_outputs(reference.outputs, outputs, read_output_steps(model, key)).items():
            # Classes have the same unit, and a class that is never predicted has a small range.
            if name == scores:
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
    """Run every signature with samples.

    Returns:
        Signature name -> outputs, and signature name -> the reason why it cannot run on this machine.

    Raises:
        WorkerError: The main signature cannot run.
    """
    model = request.inputs["model"]
    actual: dict[str, Arrays] = {}
    unverified: dict[str, str] = {}
    if are_stateful(signature):
        unverified = {
            entry["key"]: NEEDS_FLEX_HERE
            for entry in fed
            if entry["key"] != signature["key"] and not entry["stateful"] and lacks_flex(request, entry["key"])
        }
        runnable = [entry for entry in fed if entry["key"] not in unverified]
        return run_interleaved(model, runnable, feeds, request.params), unverified
    for entry in fed:
        try:
            actual[entry["key"]] = run_samples(model, entry, feeds[entry["key"]], request.params)
        except WorkerError as error:
            if entry["key"] == signature["key"] or not needs_flex(error):
                raise
            unverified[entry["key"]] = NEEDS_FLEX_HERE
    return actual, unverified


def lacks_flex(request: StepRequest, key: str) -> bool:
    """Return whether a signature cannot run on this machine because TensorFlow operators are missing."""
    try:
        open_signature(request.inputs["model"], key, request.params["delegate"], request.params["threads"])
    except WorkerError as error:
        return needs_flex(error)
    return False


def count_distinct(request: StepRequest, places: np.ndarray | None, samples: int) -> int:
    """Return how many of the evaluation samples are different.

    Args:
        request: The request of the step.
        places: The indices of the samples, None for the first ones.
        samples: The number of samples.
    """
    path = request.inputs["samples"] / DIGESTS
    if not path.is_file():
        return samples
    return len(np.unique(load_array(path)[slice(samples) if places is None else places]))


def describe_outputs(reference: Arrays, actual: Arrays, steps: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Return details of each numeric output that figures of the whole tensor do not show.

    Returns:
        Output name -> `snr_db_interval`, the confidence interval of the SNR; `channels`, see `describe_channels`; and
        `constant`, if only the artifact returns the same for all samples.
    """
    described: dict[str, dict[str, Any]] = {}
    for name, expected in reference.items():
        if expected.dtype.kind == "S":
            continue
        values = actual[name].reshape(expected.shape)
        interval = snr_interval(expected, values)
        details = {
            "snr_db_interval": interval and round_interval(interval, (interval["low"] + interval["high"]) / 2),
            "channels": describe_channels(expected, values, steps.get(name)),
            "constant": bool((values == values[:1]).all() and (expected != expected[:1]).any()) or None,
        }
        described[name] = {key: value for key, value in details.items() if value is not None}
    return described


def compare(reference: Arrays, actual: Arrays) -> dict[str, dict[str, Any]]:
    """Compare every output, and round the figures to the digits that are equal on every CPU.

    Strings are compared for equality: the error is the fraction that differs.

    Args:
        reference: Output name -> the source's values, samples first.
        actual: Output name -> the artifact's values, samples first.

    Raises:
        WorkerError: An output has another number of values than in the source.
    """
    figures = {}
    for name, expected in sorted(reference.items()):
        actual_values = actual[name].reshape(len(actual[name]), -1)
        expected_values = expected.reshape(len(expected), -1)
        if actual_values.shape != expected_values.shape:
            raise WorkerError(
                f"output '{name}' has {actual_values.shape[1]} values a sample, its source {expected_values.shape[1]}",
                kind="build",
            )
        if expected_values.dtype.kind == "S":
            is_equal = (actual_values.astype("S") == expected_values).astype(np.float64)
            figures[name] = parity(np.ones_like(is_equal), is_equal)
        else:
            figures[name] = round_parity(parity(expected_values, actual_values))
    return figures


def compare_resized(
    request: StepRequest, key: str, reference: Predictions, prefix: str
) -> Mapping[str, dict[str, float]]:
    """Compare the outputs for the resize probes. The key contains the label of the probe."""
    compared = {}
    for probe_result in reference.probes:
        for name, figures in compare_probe(request, key, probe_result).items():
            compared[f"{prefix}{name} at {probe_result.label}"] = figures
    return compared


def compare_probe(request: StepRequest, key: str, probe_result: ProbeResult) -> dict[str, dict[str, float]]:
    """Compare the outputs for one resize probe, on an interpreter of its own."""
    params = request.params
    runner = open_signature(request.inputs["model"], key, params["delegate"], params["threads"])
    actual = run_real(runner, probe_result.feed)
    return compare(
        {name: array[None] for name, array in probe_result.outputs.items()},
        {name: array[None] for name, array in actual.items()},
    )


def measure(request: StepRequest, expected: Arrays, actual: Arrays, labels: Any) -> dict[str, float]:
    """Compute the user's metrics.

    Each is called twice, on copies of its arguments, and rounded to the digits that are equal on every CPU.

    Args:
        request: The request of the step.
        expected: Output name -> the source's values, [samples, ...].
        actual: Output name -> the artifact's values, which get the shape of the source's.
        labels: The labels, or None.

    Returns:
        Metric name -> value.

    Raises:
        WorkerError: A metric raises, returns no finite number, or returns another number in the second call.
    """
    actual = {name: array.reshape(expected[name].shape) for name, array in actual.items()}
    figures = {}
    for name, entry in request.params["metrics"].items():
        key = f"verify.metrics.{name}"
        function = load_reference(request, entry, key)
        figures[name], second = (
            call_metric(request, function, entry, key, (expected, actual, labels)) for _ in range(METRIC_CALLS)
        )
        if figures[name] != second:
            raise WorkerError(
                f"'{entry}' is not deterministic: it gave {figures[name]!r}, and then {second!r}",
                where=key,
                why="it was called twice with equal arguments; a figure that changes cannot be compared with a limit",
                next_step="seed its random numbers, and keep no state between calls",
            )
        figures[name] = round_metric(second)
    return figures


def call_metric(request: StepRequest, function: Any, entry: str, key: str, arguments: Any) -> float:
    """Call a metric on copies of (expected, actual, labels), since it may change them.

    Raises:
        WorkerError: The metric raises, or does not return a finite number.
    """
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
    """Compute the accuracy of the declared output, or of the only one.

    Raises:
        WorkerError: The output does not exist or has one value, or a label is not one of its classes.
    """
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
    actual_scores = actual[name].reshape(scores.shape)
    # The top k of all classes would always be correct.
    top_k = min(params["top_k"], scores.shape[1] - 1)
    figures = classification(scores, actual_scores, labels, top_k)
    label_facts = describe_labels(scores.argmax(-1), actual_scores.argmax(-1), np.asarray(labels))
    return {"output": name, "classes": scores.shape[1], **figures, "labels": label_facts}
