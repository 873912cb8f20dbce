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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tensorflow.lite.python.optimize import calibrator

from tflbuild.core.cpu_dependence import CpuDependence, read_cpu_dependence
from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.conversion.converter_calibration import list_hidden, replace_ranges

NOT_REPLACED = "the quantizer for it measures ranges on kernels that the CPU chooses"

Samples = Callable[[], Iterator[Any]]


@contextmanager
def settled_ranges(request: StepRequest, ties: list[CpuDependence]) -> Iterator[None]:
    """Replace the ranges that TFLiteConverter's calibrator finds, as long as this lasts. Adds what stays tied."""
    before = calibrator.Calibrator.calibrate

    def calibrate(self: Any, samples: Samples) -> bytes:
        answer = measure_ranges(request, self._model_content)
        ties.extend(read_cpu_dependence(answer))
        ranges = answer["ranges"]
        hidden = list_hidden(self._model_content, ranges)
        self._feed_tensors(samples if hidden else take_first(samples), resize_input=True)
        return replace_ranges(self._calibrator.Calibrate(), ranges, ties)

    calibrator.Calibrator.calibrate = calibrate
    try:
        yield
    finally:
        calibrator.Calibrator.calibrate = before


def take_first(samples: Samples) -> Samples:
    """Return what feeds the first sample of each signature."""

    def feed() -> Iterator[Any]:
        seen = set()
        for key, sample in samples():
            if key not in seen:
                seen.add(key)
                yield key, sample

    return feed


def measure_ranges(request: StepRequest, model: bytes) -> dict[str, Any]:
    """Return `ranges`, tensor -> [least, greatest], and what is `tied` of a float model on the step's samples.

    LiteRT runs it in a process of its own, which has no threads of TensorFlow's and may fork.
    """
    from tflbuild.steps.calibration import range_subprocess

    folder = request.folder / "ranges"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(model)
    inputs = {"samples": str(request.inputs["samples"]), "signature": str(request.inputs["signature"])}
    (folder / "asked.json").write_text(json.dumps({**inputs, "progress": str(request.folder)}))
    command = [sys.executable, "-m", range_subprocess.__name__, str(folder)]
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
