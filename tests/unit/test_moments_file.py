"""Second moments: what they are, and that nothing about how they were summed shows."""

import numpy as np
import pytest

from tflbuild.runtime.parallel_shards import map_shards
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.calibration import litert_moments
from tflbuild.steps.calibration.activation_observer import Activation
from tflbuild.steps.calibration.litert_moments import MomentSurvey, RowStatistics, find_widths, require_some
from tflbuild.steps.calibration.moments_file import load_moments, save_moments
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor

CALLS = np.random.default_rng(0).normal(size=(37, 2, 3, 4)).astype(np.float32) * 7
CALLS[5, 0, 0, 0] = 1e6  # one value that all others drown in


class Watched:
    """Shows an array's calls as the values of one tensor."""

    def __init__(self, calls):
        self.calls = calls

    def count(self):
        return len(self.calls)

    def watch(self, calls, show):
        for index in calls:
            show(Activation("x", 0, 3), self.calls[index])


def measure(calls, width=4, diagonal=False):
    survey = MomentSurvey(Watched(calls), {"x": width}, diagonal)
    seen = survey.measure_rows()
    return seen["x"], survey.add_up(seen)["x"]


def test_they_are_the_sums_of_products_over_all_rows():
    tame = np.clip(CALLS, -20, 20)
    seen, sums = measure(tame)
    rows = tame.reshape(-1, 4).astype(np.float64)
    assert seen == RowStatistics(float(np.abs(tame).max()), 37 * 6)
    np.testing.assert_allclose(sums, rows.T @ rows, rtol=1e-4, atol=1e-3 * np.abs(rows).max() ** 2)
    np.testing.assert_array_equal(measure(tame, diagonal=True)[1], np.diag(sums))


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_order_and_processes_leave_no_trace(monkeypatch, parts):
    once = measure(CALLS)[1]
    monkeypatch.setattr(litert_moments, "map_shards", lambda work, count: map_shards(work, count, parts))
    assert measure(np.random.default_rng(1).permutation(CALLS))[1].tobytes() == once.tobytes()


def test_a_row_is_as_wide_as_the_weights_that_it_meets():
    seen, sums = measure(CALLS, width=12)
    assert seen.rows == 37 * 2 and sums.shape == (12, 12)


@pytest.mark.parametrize("rows", [1, 1000, 2**21, 2**30])
def test_the_greatest_sum_is_a_whole_number_that_float64_holds(rows):
    exponent = RowStatistics(3.7, rows).exponent
    assert rows * (4 * 2.0**exponent) ** 2 <= 2**53  # 3.7 is below 4, the power of two above it


def graph(weights="float32", constant=True):
    tensors = [
        Tensor("x", "float32", (1, 2, 3, 4), 24, False, (), (), 0),
        Tensor("w", weights, (5, 12), 60, constant, (), (), 0),
        Tensor("y", "float32", (2, 5), 10, False, (), (), 0),
    ]
    ops = (Operator("FULLY_CONNECTED", 1, False, (0, 1), (2,)),)
    made = Subgraph("main", tuple(tensors), ops, (0,), (2,))
    return Model(bytes=1, subgraphs=(made,), signatures=(SignatureDef("main", 0, {}, {}),))


def test_inputs_of_stored_float_weights_count():
    assert find_widths(graph(), "main") == {"x": 12}
    assert find_widths(graph(constant=False), "main") == {}
    assert find_widths(graph(weights="int8"), "main") == {}


def test_a_model_without_any_is_refused():
    with pytest.raises(WorkerError, match="no FULLY_CONNECTED"):
        require_some({})


def test_what_is_saved_is_what_the_quantizer_reads(tmp_path):
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    save_moments(tmp_path / "moments.npz", {"a/b;c": matrix, "d": np.array([0.1, 0.2])})
    found = load_moments(tmp_path / "moments.npz")
    assert found["a/b;c"]["hessian"].dtype == np.float32
    np.testing.assert_array_equal(found["a/b;c"]["hessian"], 2 * matrix)
    np.testing.assert_array_equal(found["d"]["mu2"], [0.1, 0.2])
