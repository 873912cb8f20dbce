"""Calibration for TFLiteConverter with ranges that are the same on every CPU.

The converter's calibrator runs the samples on kernels that it chooses by CPU. It writes the minimum and the maximum of
every tensor into the float model, which the converter's quantizer then reads. Here the calibrator gets one sample for
each signature only, and its ranges are replaced by those that `range_subprocess` measures. Tensors in loops, branches
and operators have no such ranges. If there are any, the calibrator gets all samples, and these ranges of its own make
the artifact CPU-dependent.
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
def reproducible_ranges(request: StepRequest, ties: list[CpuDependence]) -> Iterator[None]:
    """Replace the ranges of TFLiteConverter's calibrator within the block.

    Args:
        request: The request of the step, with samples.
        ties: The list to which the CPU dependences that remain are added.
    """
    original = calibrator.Calibrator.calibrate

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
        calibrator.Calibrator.calibrate = original


def take_first(samples: Samples) -> Samples:
    """Return a function that yields the first sample of each signature only."""

    def feed() -> Iterator[Any]:
        fed_signatures = set()
        for key, sample in samples():
            if key not in fed_signatures:
                fed_signatures.add(key)
                yield key, sample

    return feed


def measure_ranges(request: StepRequest, model: bytes) -> dict[str, Any]:
    """Measure the ranges of a float model on the samples of the step.

    LiteRT runs the model in another process, which can fork because it has no threads of TensorFlow.

    Returns:
        `ranges`, tensor name -> [minimum, maximum], and the CPU dependences.

    Raises:
        WorkerError: The measurement failed.
    """
    from tflbuild.steps.calibration import range_subprocess

    folder = request.folder / "ranges"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(model)
    inputs = {"samples": str(request.inputs["samples"]), "signature": str(request.inputs["signature"])}
    (folder / "asked.json").write_text(json.dumps({**inputs, "progress": str(request.folder)}))
    command = [sys.executable, "-m", range_subprocess.__name__, str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    print(process.stdout, process.stderr)
    if process.returncode != 0:
        reason = process.stderr.strip().rpartition("\n")[2]
        raise WorkerError("the ranges of the activations could not be measured", kind="build", why=reason)
    answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    if "error" in answer:
        fields = answer["error"]
        raise WorkerError(fields["what"], **{name: text for name, text in fields.items() if name != "what"})
    return answer
