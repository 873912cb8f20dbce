"""TFLiteConverter with ranges that are the same on every CPU.

Its calibrator runs the samples on kernels that the CPU chooses, and writes every least and greatest value into the
float model that its quantizer then reads. Here the calibrator sees one sample of each signature, and the ranges that
`range_process` measures take the place of what it found. What that does not show (bodies of loops and branches, states
inside an operator) keeps what the calibrator finds on all samples, and is tied to this CPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from tensorflow.lite.python.optimize import calibrator

from tflbuild.workers.buffers import write_aligned
from tflbuild.workers.contract import Request, WorkerError
from tflbuild.workers.model_editing import parse_model

HIDDEN = "its range is measured inside of a loop, a branch or an operator, on kernels that the CPU chooses"
NOT_REPLACED = "the quantizer for it measures ranges on kernels that the CPU chooses"

Tie = dict[str, str]
Samples = Callable[[], Iterator[Any]]


@contextmanager
def settled_ranges(request: Request, ties: list[Tie]) -> Iterator[None]:
    """Replace the ranges that TFLiteConverter's calibrator finds, as long as this lasts. Adds what stays tied."""
    before = calibrator.Calibrator.calibrate

    def calibrate(self: Any, samples: Samples) -> bytes:
        answer = measure_ranges(request, self._model_content)
        ties.extend(answer["ties"])
        ranges = answer["ranges"]
        hidden = list_hidden(self._model_content, ranges)
        self._feed_tensors(samples if hidden else take_first(samples), resize_input=True)
        return replace_ranges(self._calibrator.Calibrate(), ranges, ties)

    calibrator.Calibrator.calibrate = calibrate
    try:
        yield
    finally:
        calibrator.Calibrator.calibrate = before


def sort_ties(ties: Iterable[Tie]) -> list[Tie]:
    """Return every tie once, in the order of their texts."""
    return [dict(pairs) for pairs in sorted({tuple(sorted(tie.items())) for tie in ties})]


def take_first(samples: Samples) -> Samples:
    """Return what feeds the first sample of each signature."""

    def feed() -> Iterator[Any]:
        seen = set()
        for key, sample in samples():
            if key not in seen:
                seen.add(key)
                yield key, sample

    return feed


def measure_ranges(request: Request, model: bytes) -> dict[str, Any]:
    """Return `ranges`, tensor -> [least, greatest], and `ties` of a float model on the step's samples.

    LiteRT runs it in a process of its own, which has no threads of TensorFlow's and may fork.
    """
    from tflbuild.workers import range_process

    folder = request.folder / "ranges"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(model)
    inputs = {"samples": str(request.inputs["samples"]), "signature": str(request.inputs["signature"])}
    (folder / "asked.json").write_text(json.dumps({**inputs, "progress": str(request.folder)}))
    command = [sys.executable, "-m", range_process.__name__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    if done.returncode != 0:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise WorkerError("the ranges of the activations could not be measured", kind="build", why=reason)
    answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    if "error" in answer:
        fields = answer["error"]
        raise WorkerError(fields["what"], **{name: text for name, text in fields.items() if name != "what"})
    return answer


def list_hidden(model: bytes, ranges: Mapping[str, Any]) -> list[str]:
    """Return the float tensors that some operator of the model computes and `ranges` lacks."""
    root = parse_model(model)
    shown = {entry.subgraphIndex for entry in root.signatureDefs or ()}
    hidden = []
    for number, graph in enumerate(root.subgraphs):
        for op in graph.operators:
            inner = () if op.intermediates is None else op.intermediates
            for index in (*op.outputs, *inner):
                name = graph.tensors[index].name.decode("utf-8", "replace")
                if graph.tensors[index].type == 0 and (number not in shown or name not in ranges):
                    hidden.append(name)
    return hidden


def replace_ranges(model: bytes, ranges: Mapping[str, Any], ties: list[Tie]) -> bytes:
    """Return a calibrated model with these ranges in place of its own. Adds a tie for each of its own that stays."""
    root = parse_model(model)
    shown = {entry.subgraphIndex for entry in root.signatureDefs or ()}
    for number, graph in enumerate(root.subgraphs):
        for tensor in graph.tensors:
            found = tensor.quantization
            if found is None or found.min is None or len(found.min) != 1:
                continue
            name = tensor.name.decode("utf-8", "replace")
            if number in shown and name in ranges:
                low, high = ranges[name]
                found.min, found.max = np.array([low], np.float32), np.array([high], np.float32)
            else:
                ties.append({"operator": "calibration", "layer": name, "reason": HIDDEN})
    return write_aligned(root, len(model))
