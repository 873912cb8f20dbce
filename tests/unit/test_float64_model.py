"""Every operator in float64 against the runtime's reference kernels, and ranges that need it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from one_op import Case, T, write_model
from one_op_cases import CASES

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.calibration import litert_calibrate
from tflbuild.steps.calibration.activation_observer import FLOAT64, Observer, find_activations
from tflbuild.steps.calibration.float64_model import list_computable
from tflbuild.steps.calibration.float64_operators import OPERATORS
from tflbuild.steps.calibration.range_grid import OVERSHOOT, find_span
from tflbuild.steps.calibration.reproducible_ranges import UNSETTLED
from tflbuild.steps.datasets.sample_writer import save_samples
from tflbuild.tflite.tflite_reader import read_model

ROUNDING = 2e-6  # what float32 may lose in one operator, as a share of the span
MOVES = ("RESHAPE", "TRANSPOSE", "CONCATENATION", "PAD", "PADV2", "SLICE", "STRIDED_SLICE", "SPLIT", "PACK", "UNPACK")
COMPARED = [
    case
    for case in CASES.values()
    if case.op in OPERATORS
    and any(t and t.type == "float32" for t in case.outputs)
    and case.name != "FULLY_CONNECTED_hybrid"  # its weights are quantized
]
PLANTED = 5.0 + OVERSHOOT * 2.0**-6 + 2.0**-20  # just above where the rounding of a range 0 to 5 changes
OPTIONS = {"padding": 1, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}


def observe(path: Path, feed, kernels: str) -> Observer:
    """One call of a model with one signature."""
    model = read_model(path)
    entry = model.signatures[0]
    specs = [{"name": name, "shape": [1], "dtype": tensor.type} for name, tensor in entry.inputs.items()]
    arrays = {name: np.asarray(feed[name])[None] for name in entry.inputs}
    signature = {"key": entry.key, "inputs": specs}
    return Observer(path, signature, arrays, kernels, find_activations(model, entry.key))


class Whole(Observer):
    """Feeds an input as it is, whatever its first size."""

    def feed(self, call):
        return {name: array[0] for name, array in self.inputs.items()}


def values_of(path, feed, kernels, outputs):
    seen = observe(path, feed, kernels)
    whole = Whole(seen.model, seen.signature, seen.inputs, kernels, seen.activations)
    return {activation.name: values for activation, values in whole.open()(0) if activation.index in outputs}


def run_kernels(path, feed, outputs):
    try:
        return values_of(path, feed, "reference", outputs)
    except WorkerError:  # the reference kernels lack ELU
        return values_of(path, feed, "none", outputs)


@pytest.mark.parametrize("case", COMPARED, ids=lambda case: case.name)
def test_float64_gives_what_the_kernels_give(tmp_path, case):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(case))
    model = read_model(path)
    graph = model.subgraphs[0]
    assert set(graph.outputs) <= list_computable(graph)
    random = np.random.default_rng(0)
    feed = {}
    for name, tensor in model.signatures[0].inputs.items():
        real = tensor.type == "float32"
        feed[name] = (random.uniform(0.1, 2.0, tensor.shape) if real else random.integers(0, 2, tensor.shape)).astype(
            tensor.type
        )
    try:
        made = values_of(path, feed, FLOAT64, graph.outputs)
    except NotImplementedError as error:
        assert case.op not in MOVES, error
        return
    for name, expected in run_kernels(path, feed, graph.outputs).items():
        assert made[name].shape == expected.shape
        limit = ROUNDING * max(find_span(float(expected.min()), float(expected.max())), 1e-9)
        np.testing.assert_allclose(made[name], expected, rtol=0, atol=limit)


def calibrate(tmp_path, case, greatest):
    """Calibrate a model in which one sample attains a value that an operator hands on."""
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(case))
    samples = np.random.default_rng(0).uniform(0.0, 4.0, (6, 4, 4, 1)).astype(np.float32)
    samples[:, 3, 3] = 0.0
    samples[2, 0, 0] = greatest
    (tmp_path / "outputs").mkdir()
    signature = {"key": "serving_default", "inputs": [{"name": "in0", "shape": [1, 4, 4, 1], "dtype": "float32"}]}
    (tmp_path / "signature.json").write_text(json.dumps({**signature, "more": []}))
    save_samples(tmp_path / "samples", {"in0": samples})
    inputs = {"model": path, "signature": tmp_path / "signature.json", "samples": tmp_path / "samples"}
    facts = litert_calibrate.run(StepRequest(tmp_path, {"method": "min_max", "kernels": "fast"}, inputs, {}))
    found = json.loads((tmp_path / "outputs" / "ranges.json").read_text())
    return facts, found[f"{case.name}/out0"], found[f"{case.name}/in0"]


IMAGE = T((1, 4, 4, 1), "float32")
CONV = Case(
    "planted",
    "CONV_2D",
    (IMAGE, T((1, 1, 1, 1), "float32", [1.0]), T((1,), "float32", [0.0])),
    (IMAGE,),
    "Conv2DOptions",
    OPTIONS,
)
# an operator that float64 does not cover: only the reference kernels can settle its range
RESIZE = Case(
    "planted",
    "RESIZE_BILINEAR",
    (IMAGE, T((2,), "int32", [8, 8], raw=True)),
    (T((1, 8, 8, 1), "float32"),),
    "ResizeBilinearOptions",
    {"alignCorners": True},
)


def test_a_planted_value_is_settled_in_float64(tmp_path):
    facts, made, fed = calibrate(tmp_path, CONV, PLANTED)
    assert facts["settled"] == 1 and "tied" not in facts
    assert made["max"] == 5.0 + 2.0**-6 and made["min"] == 0.0
    assert fed["max"] == np.float32(PLANTED)  # an input's own value, which is exact


def test_a_planted_value_that_nothing_settles_is_tied(tmp_path):
    facts, _, _ = calibrate(tmp_path, RESIZE, PLANTED)
    assert facts["tied"] == [{"operator": "RESIZE_BILINEAR", "layer": "planted/out0", "reason": UNSETTLED}]


def test_no_planted_value_needs_no_settling(tmp_path):
    for number, case in enumerate((CONV, RESIZE)):
        folder = tmp_path / str(number)
        folder.mkdir()
        facts, made, _ = calibrate(folder, replace(case, name="usual"), 5.0)
        assert "settled" not in facts and "tied" not in facts
        assert made == {"min": 0.0, "max": 5.0, "rank": 4}
