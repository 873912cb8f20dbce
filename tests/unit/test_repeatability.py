"""Outputs that are no numbers, and outputs that differ between two runs of the same samples."""

from __future__ import annotations

import numpy as np
import pytest
from one_op import Case, T, write_model

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.verification import repeatability
from tflbuild.steps.verification.repeatability import require_finite, require_repeatable, require_same
from tflbuild.tflite.tflite_reader import read_model

SIGNATURE = {"key": "serving_default", "inputs": [{"name": "in0", "shape": [1, 4], "dtype": "float32"}]}
RUN = {"delegate": "reference", "threads": 1}
INPUTS = {"in0": np.arange(12, dtype=np.float32).reshape(3, 4)}


@pytest.fixture
def opened(tmp_path):
    def write(*cases):
        path = tmp_path / "model.tflite"
        path.write_bytes(write_model(*cases))
        return path, read_model(path)

    return write


def test_infinities_and_nan_are_counted_by_output():
    require_finite({"y": np.ones(3), "ids": np.ones(3, np.int32), "words": np.array([b"a"])}, "the samples")
    with pytest.raises(WorkerError) as caught:
        require_finite({"y": np.array([1, np.inf, np.nan])}, "the evaluation samples")
    assert caught.value.fields["what"] == "the artifact gives NaN or infinity in its output 'y'"
    assert caught.value.fields["why"].startswith("2 of 3 values on the evaluation samples")


def test_one_value_that_differs_is_enough():
    require_same({"y": np.ones((2, 3))}, {"y": np.ones((2, 3))})
    with pytest.raises(WorkerError) as caught:
        require_same({"y": np.ones((2, 3))}, {"y": np.array([[1, 1, 1], [1, 1, 1 + 1e-12]])})
    assert "output 'y' differs between two runs" in caught.value.fields["what"]
    assert caught.value.fields["why"].startswith("1 of 6 values differ")


def test_samples_are_run_again_in_the_opposite_order(opened, monkeypatch):
    one = T((1, 4), "float32")
    path, model = opened(Case("neg", "NEG", (one,), (one,), "NegOptions"))
    first = {"out0": -INPUTS["in0"][:, None]}
    seen = []
    real = repeatability.run_samples
    monkeypatch.setattr(repeatability, "run_samples", lambda *a, **k: seen.append(a[2]["in0"][:, 0]) or real(*a, **k))
    require_repeatable(path, model, SIGNATURE, INPUTS, first, RUN)
    assert seen[0].tolist() == [4, 0]
    with pytest.raises(WorkerError, match="not repeatable"):
        require_repeatable(path, model, SIGNATURE, INPUTS, {"out0": first["out0"] + 1}, RUN)


def test_a_model_that_draws_random_numbers_is_let_through(opened):
    shape = T((2,), "int32", [1, 4], raw=True)
    draw = Case("draw", "RANDOM_UNIFORM", (shape,), (T((1, 4), "float32"),), "RandomOptions", {})
    one = T((1, 4), "float32")
    path, model = opened(draw, Case("sum", "ADD", (one, one), (one,), "AddOptions", {}))
    assert repeatability.list_random_operators(model) == ["RANDOM_UNIFORM"]
    require_repeatable(path, model, SIGNATURE, INPUTS, {}, RUN)
