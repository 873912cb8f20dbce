"""Samples that are in both sets are found by what is fed."""

import numpy as np

from tflbuild.report.quality_warnings import list_warnings
from tflbuild.runtime.step_contract import StepRequest
from tflbuild.steps.datasets import sample_overlap
from tflbuild.steps.datasets.sample_writer import digests, save_samples


def compared(folder, calibration, evaluation):
    (folder / "outputs").mkdir()
    inputs = {"used": folder / "c", "evaluation": folder / "e"}
    save_samples(inputs["used"], calibration)
    save_samples(inputs["evaluation"], evaluation)
    return sample_overlap.run(StepRequest(folder=folder, params={}, inputs=inputs, labels={}))


def test_a_sample_in_both_sets_is_counted_and_placed(tmp_path):
    train = {"x": np.arange(12.0).reshape(6, 2), "y": np.arange(6)}
    test = {"x": np.array([[9.0, 9.0], [4.0, 5.0], [4.0, 5.0]]), "y": np.array([0, 2, 3])}
    assert compared(tmp_path, train, test) == {"count": 1, "of": 3, "first": [1]}


def test_sets_apart_share_nothing(tmp_path):
    found = compared(tmp_path, {"x": np.zeros((3, 2))}, {"x": np.ones((4, 2))})
    assert found == {"count": 0, "of": 4, "first": []}


def test_text_is_the_same_text_at_any_width():
    narrow, wide = np.array([[b"a"], [b"b"]], "S1"), np.array([[b"a"], [b"b"]], "S9")
    assert list(digests({"t": narrow})) == list(digests({"t": wide}))


def test_where_one_input_ends_and_the_next_begins_matters_by_name():
    first, second = np.array([[1, 2]], np.int8), np.array([[2, 1]], np.int8)
    assert list(digests({"a": first, "b": second})) != list(digests({"a": second, "b": first}))


def test_only_what_overlaps_is_warned_of():
    apart = {"overlap": {"count": 0, "of": 9}, "synthetic_data": [], "metrics": {}}
    assert list_warnings(apart) == [] and list_warnings({"overlap": None, "synthetic_data": [], "metrics": {}}) == []
    (line,) = list_warnings(apart | {"overlap": {"count": 1200, "of": 2000}})
    assert "1,200 of 2,000 evaluation samples" in line
    assert "calibration samples" in list_warnings(apart | {"synthetic_data": ["calibration samples"]})[0]


def test_trained_samples_are_warned_of_as_calibrated_ones_are():
    (line,) = list_warnings({"training_overlap": {"count": 128, "of": 2000}, "synthetic_data": [], "metrics": {}})
    assert "128 of 2,000 evaluation samples were trained with" in line
