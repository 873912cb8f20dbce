"""The two parts of the evaluation samples: halves that share no sample, whatever the order."""

import numpy as np
import pytest

from tflbuild.steps.datasets.sample_writer import save_samples
from tflbuild.steps.verification.evaluation_split import choose_part, take_known, take_samples

SIGNATURE = {"key": "main", "stateful": False, "more": [], "inputs": [{"name": "x", "shape": [None, 3]}], "outputs": []}


def parts(folder, values, signature=SIGNATURE):
    save_samples(folder, {"x": np.asarray(values, np.float32).reshape(len(values), -1)})
    return [choose_part(folder, signature, part) for part in ("selection", "report")]


@pytest.mark.parametrize("count", [10, 11, 400])
def test_every_sample_is_in_one_half(tmp_path, count):
    (ours, facts), (theirs, _) = parts(tmp_path / "samples", np.arange(count))
    assert sorted([*ours, *theirs]) == list(range(count))
    assert abs(len(ours) - len(theirs)) <= 1 and facts == {"name": "selection", "of": count}


def test_the_order_of_the_samples_changes_nothing(tmp_path):
    values = np.arange(50)
    (first, _), _ = parts(tmp_path / "a", values)
    shuffled = np.random.default_rng(1).permutation(values)
    (second, _), _ = parts(tmp_path / "b", shuffled)
    assert set(values[first]) == set(shuffled[second])


def test_equal_samples_are_in_one_part(tmp_path):
    values = np.arange(60) % 15
    (ours, _), (theirs, _) = parts(tmp_path / "samples", values)
    assert not set(values[ours]) & set(values[theirs]) and len(ours) + len(theirs) == 60


def test_few_samples_and_models_with_state_are_not_split(tmp_path):
    (places, facts), _ = parts(tmp_path / "a", np.arange(100) % 9)
    assert places is None and facts["unsplit"] == "there are 9 different samples, and 10 are needed"
    (places, facts), _ = parts(tmp_path / "b", np.arange(100), {**SIGNATURE, "stateful": True})
    assert places is None and "keeps state" in facts["unsplit"]


def test_what_is_called_together_stays_together(tmp_path):
    batched = {**SIGNATURE, "inputs": [{"name": "x", "shape": [4, 3]}]}
    (ours, _), (theirs, _) = parts(tmp_path / "samples", np.arange(42), batched)
    assert sorted([*ours, *theirs]) == list(range(42))
    assert not {place // 4 for place in ours} & {place // 4 for place in theirs}


def test_arrays_with_another_number_of_rows_stay_as_they_are():
    arrays = {"y": np.arange(5)}
    assert take_samples(arrays, np.array([1, 3]))["y"].tolist() == [1, 3]
    assert take_known(arrays, np.array([1, 3]), 5)["y"].tolist() == [1, 3]
    assert take_known(arrays, np.array([1, 3]), 6)["y"].tolist() == [0, 1, 2, 3, 4]
