"""The step `sample`: it converts a dataset to the samples that are fed to the model.

Every difference between dataset and signature is an error here, which names the two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tflbuild.runtime.link_safety import require_own_files
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.datasets.dataset_arrays import open_npy, open_npz
from tflbuild.steps.datasets.dataset_audio import open_audio
from tflbuild.steps.datasets.dataset_call import open_call
from tflbuild.steps.datasets.dataset_csv import open_csv
from tflbuild.steps.datasets.dataset_feeder import DatasetFeeder
from tflbuild.steps.datasets.dataset_images import open_images
from tflbuild.steps.datasets.dataset_readers import DeclaredDataset, OpenDataset
from tflbuild.steps.datasets.dataset_synthetic import can_be_random, synthesize
from tflbuild.steps.datasets.dataset_tfds import open_tfds
from tflbuild.steps.datasets.dataset_tfrecord import open_tfrecord
from tflbuild.steps.datasets.sample_files import Arrays
from tflbuild.steps.datasets.sample_statistics import SampleStatistics, count_distinct, describe_inputs
from tflbuild.steps.datasets.sample_writer import SampleWriter

OPENERS: dict[str, Callable[[DeclaredDataset], OpenDataset]] = {
    "npz": open_npz,
    "npy": open_npy,
    "image_folder": open_images,
    "csv": open_csv,
    "tfrecord": open_tfrecord,
    "tfds": open_tfds,
    "audio_folder": open_audio,
    "callable": open_call,
}
# A key for the main signature. No signature has this name.
MAIN = ""

Feed = Iterator[tuple[Arrays, np.ndarray | None, Mapping[str, Arrays]]]


def run(request: StepRequest) -> Facts:
    """Run the step. Its output is the folder `samples/`.

    Returns:
        Facts: `count` of the `available` samples; `synthetic`; the names of `classes`; `unfed`, the signatures without
        samples; `inputs`, the range of the values of each input; `distinct`, the number of different samples.
    """
    params = request.params
    signature = request.read_json("signature")
    others = {entry["key"]: entry["inputs"] for entry in signature["more"]}
    writer = SampleWriter(request.outputs / "samples")
    if params["kind"] == "synthetic":
        random = {key: specs for key, specs in others.items() if can_be_random(specs)}
        ranges = write(writer, random_feed(signature["inputs"], random, params))
        unfed = [key for key in others if key not in random]
        return make_facts(writer, params["count"], unfed) | ranges | {"synthetic": True}
    label = request.labels.get("dataset") or str(params.get("call", ""))
    if "dataset" in request.inputs:
        require_own_files(request.inputs["dataset"], label, f"{request.section}.path")
    declared = DeclaredDataset(request, params, signature["inputs"], label)
    opened = OPENERS[params["kind"]](declared)
    feeder = DatasetFeeder(declared, opened, others)
    classes = list(opened.classes) if feeder.label else []
    ranges = write(writer, feeder.feed(), classes)
    feeder.require_count(writer.count)
    available = feeder.available()
    facts = make_facts(writer, writer.count if available is None else available, feeder.unfed())
    return facts | ranges | ({"classes": classes} if classes else {})


def random_feed(specs: Any, others: Mapping[str, Any], params: Mapping[str, Any]) -> Feed:
    """Yield random samples of the main signature and of others, without labels."""
    for block in synthesize({MAIN: specs, **others}, params):
        yield block.pop(MAIN), None, block


def write(writer: SampleWriter, feed: Feed, classes: Sequence[str] = ()) -> Facts:
    """Write all samples and the index, and return the facts `inputs` and `distinct`."""
    statistics: dict[str, SampleStatistics] = {}
    for inputs, labels, more in feed:
        writer.append(inputs, labels, more)
        describe_inputs(inputs, statistics)
    writer.close(classes)
    if not writer.count:
        return {}
    input_facts = {name: input_statistics.as_facts() for name, input_statistics in sorted(statistics.items())}
    return {"inputs": input_facts, "distinct": count_distinct(writer.folder)}


def make_facts(writer: SampleWriter, available: int, unfed: list[str]) -> Facts:
    """Return the facts that every kind of dataset has."""
    facts: Facts = {"count": writer.count, "available": available, "synthetic": False}
    return facts | ({"unfed": unfed} if unfed else {})
