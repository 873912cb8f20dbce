"""The step `sample`: a dataset becomes the very samples that will be fed.

Every disagreement with the signature is refused here, by name, with what the dataset has beside
what the model wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.dataset_arrays import open_npy, open_npz
from tflbuild.workers.dataset_audio import open_audio
from tflbuild.workers.dataset_call import open_call
from tflbuild.workers.dataset_csv import open_csv
from tflbuild.workers.dataset_images import open_images
from tflbuild.workers.dataset_synthetic import can_be_random, synthesize
from tflbuild.workers.dataset_tfds import open_tfds
from tflbuild.workers.dataset_tfrecord import open_tfrecord
from tflbuild.workers.datasets import Declared, Opened
from tflbuild.workers.feeder import Feeder
from tflbuild.workers.sample_writer import SampleWriter
from tflbuild.workers.samples import Arrays

OPENERS: dict[str, Callable[[Declared], Opened]] = {
    "npz": open_npz,
    "npy": open_npy,
    "image_folder": open_images,
    "csv": open_csv,
    "tfrecord": open_tfrecord,
    "tfds": open_tfds,
    "audio_folder": open_audio,
    "callable": open_call,
}
MAIN = ""  # no signature has this name

Feed = Iterator[tuple[Arrays, np.ndarray | None, Mapping[str, Arrays]]]


def run(request: Request) -> Facts:
    """Outputs samples/; facts: count, available, synthetic, class names, and the signatures left unfed."""
    params = request.params
    signature = request.read_json("signature")
    others = {entry["key"]: entry["inputs"] for entry in signature["more"]}
    writer = SampleWriter(request.outputs / "samples")
    if params["kind"] == "synthetic":
        random = {key: specs for key, specs in others.items() if can_be_random(specs)}
        write(writer, random_feed(signature["inputs"], random, params))
        return told(writer, params["count"], [key for key in others if key not in random]) | {"synthetic": True}
    label = request.labels.get("dataset") or str(params.get("call", ""))
    declared = Declared(request, params, signature["inputs"], label)
    opened = OPENERS[params["kind"]](declared)
    feeder = Feeder(declared, opened, others)
    classes = list(opened.classes) if feeder.label else []
    write(writer, feeder.feed(), classes)
    feeder.require_count(writer.count)
    available = feeder.available()
    facts = told(writer, writer.count if available is None else available, feeder.unfed())
    return facts | ({"classes": classes} if classes else {})


def random_feed(wanted: Any, others: Mapping[str, Any], params: Mapping[str, Any]) -> Feed:
    """Random samples of the main signature and of others, without labels."""
    for block in synthesize({MAIN: wanted, **others}, params):
        yield block.pop(MAIN), None, block


def write(writer: SampleWriter, feed: Feed, classes: Sequence[str] = ()) -> None:
    """Everything that is fed, then the index."""
    for inputs, labels, more in feed:
        writer.append(inputs, labels, more)
    writer.close(classes)


def told(writer: SampleWriter, available: int, unfed: list[str]) -> Facts:
    """The facts of every kind of dataset."""
    facts: Facts = {"count": writer.count, "available": available, "synthetic": False}
    return facts | ({"unfed": unfed} if unfed else {})
