"""The step `verify`: the artifact runs on the evaluation samples and is held against its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.interpreters import dequantize_values, open_model, quantize_values
from tflbuild.workers.metrics import classification, parity
from tflbuild.workers.samples import Arrays, count_samples, each_sample, load_samples
from tflbuild.workers.shards import map_shards


def run(request: Request) -> Facts:
    """Outputs verify.json; facts: the same."""
    inputs, labels = load_samples(request.inputs["samples"])
    key = request.read_json("signature")["key"]
    actual = run_artifact(request.inputs["model"], key, inputs, request.params)
    with np.load(request.inputs["predictions"]) as archive:
        reference = {name: archive[name] for name in archive.files}
    report = compare(reference, actual, labels, request.params)
    request.write_json("verify.json", report)
    return report


def run_artifact(model: Path, key: str, inputs: Arrays, params: Any) -> Arrays:
    """Every output as real values, samples first, through the signature, by input name."""

    def shard(indices: range) -> Arrays:
        interpreter = open_model(model, params["delegate"], params["threads"])
        runner = interpreter.get_signature_runner(key)
        takes, gives = runner.get_input_details(), runner.get_output_details()
        collected: dict[str, list[np.ndarray]] = {name: [] for name in gives}
        for feed in each_sample(inputs, indices):
            outputs = runner(**{name: quantize_values(value, takes[name]) for name, value in feed.items()})
            for name, value in outputs.items():
                collected[name].append(dequantize_values(value, gives[name]))
        return {name: np.stack(values) for name, values in collected.items()}

    parts = map_shards(shard, count_samples(inputs))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def compare(reference: Arrays, actual: Arrays, labels: Any, params: Any) -> Facts:
    """Parity of every output, and accuracy where labels are asked for."""
    outputs = {}
    for name, expected in sorted(reference.items()):
        found = actual[name].reshape(len(actual[name]), -1)
        expected = expected.reshape(len(expected), -1)
        if found.shape != expected.shape:
            raise WorkerError(
                f"output '{name}' has {found.shape[1]} values a sample, its source {expected.shape[1]}", kind="build"
            )
        outputs[name] = parity(expected, found)
    report: Facts = {"samples": len(next(iter(actual.values()))), "outputs": outputs}
    if params["kind"] == "classification":
        report["classification"] = classify(reference, actual, labels, params)
    return report


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
    if int(labels.max()) >= scores.shape[1]:
        raise WorkerError(
            f"a label is {int(labels.max())}, and output '{name}' has {scores.shape[1]} classes",
            where="verify.dataset.label",
            why="labels are class indices from 0",
            next_step="check that the labels belong to this model, and verify.output",
        )
    made = actual[name].reshape(scores.shape)
    return {"output": name, **classification(scores, made, labels, min(params["top_k"], scores.shape[1]))}
