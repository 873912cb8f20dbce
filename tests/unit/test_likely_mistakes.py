"""Parts of a recipe that probably contradict each other are warned of, by the values that are fed."""

import numpy as np
import pytest

from tflbuild.report.likely_mistakes import list_likely_mistakes
from tflbuild.steps.datasets.sample_statistics import SampleStatistics


def values(low, high, seed=0):
    one = SampleStatistics()
    one.add(np.random.default_rng(seed).uniform(low, high, (50, 7)).astype(np.float32))
    return one.as_facts()


def manifest(calibration=None, evaluation=None, distinct=50, count=50, **recipe):
    samples = {}
    for role, found in (("calibration samples", calibration), ("evaluation samples", evaluation)):
        if found is not None:
            samples[role] = {"count": count, "distinct": distinct, "inputs": {"x": found}}
    return {"samples": samples, "recipe": recipe}


def dataset(scale=None, offset=None, **options):
    return {"scale": scale, "offset": offset, "options": options}


def described(**told):
    return {"metadata": {"described": {"inputs": {"x": told}}}}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ((0, 1), (0, 255)),
        ((0, 255), (0, 1)),
        ((-1, 1), (0, 255)),
        ((0, 1), (-1, 1)),
        ((-1, 1), (0, 1)),
        ((0, 1), (0, 5)),
    ],
)
def test_samples_that_are_scaled_apart_are_warned_of_with_both_ranges(ours, theirs):
    (warning,) = list_likely_mistakes(manifest(values(*ours), values(*theirs, seed=1)))
    assert warning.startswith("the calibration samples of input 'x' range from ")
    assert "the evaluation samples from" in warning and "verify.dataset" in warning


@pytest.mark.parametrize(
    ("ours", "theirs"), [((0, 1), (0, 1)), ((0, 200), (0, 255)), ((-1, 1), (-0.5, 1)), ((3, 4), (3, 5))]
)
def test_samples_of_about_one_range_are_not_warned_of(ours, theirs):
    assert list_likely_mistakes(manifest(values(*ours), values(*theirs, seed=1))) == []


def test_one_outlier_does_not_make_ranges_differ():
    spread = {"low": -3.0, "high": 3.0, "mean": 0.0, "std": 1.0}
    assert list_likely_mistakes(manifest(spread, {**spread, "high": 40.0, "std": 1.1})) == []


def test_where_the_recipe_declares_two_scales_a_smaller_difference_counts():
    scales = {"dataset": dataset(1 / 255), "verify": {"dataset": dataset(1 / 127.5)}}
    assert list_likely_mistakes(manifest(values(0, 1), values(0, 2), **scales))
    assert list_likely_mistakes(manifest(values(0, 1), values(0, 2))) == []


@pytest.mark.parametrize(("count", "told"), [(1, "1 sample"), (64, "64 samples that are all equal")])
def test_ranges_of_a_single_sample_are_warned_of(count, told):
    (warning,) = list_likely_mistakes(manifest(values(0, 1), distinct=1, count=count))
    assert f"measured on {told}:" in warning


@pytest.mark.parametrize(
    ("told", "ends", "warned"),
    [
        ({"mean": [0.485], "std": [0.229]}, (-2, 2), True),
        ({"mean": [123.7], "std": [58.4]}, (-2, 2), False),
        ({"mean": [0.0], "std": [255.0]}, (0, 255), True),
        ({"mean": [127.5], "std": [127.5]}, (-1, 1), False),
        ({"mean": [3.0], "std": [0.1], "content": "feature"}, (-2, 2), False),
        ({"min": [0.0], "max": [1.0]}, (0, 255), True),
        ({"min": [0.0], "max": [255.0]}, (0, 255), False),
        ({"description": "a picture"}, (0, 255), False),
    ],
)
def test_metadata_are_held_against_the_values_that_are_fed(told, ends, warned):
    found = list_likely_mistakes(manifest(evaluation=values(*ends), **described(**told)))
    assert len(found) == warned and all("metadata.inputs.x" in one for one in found)


def test_pictures_resized_in_two_ways_and_normalised_in_another_unit():
    used, evaluated = dataset(resize="nearest", crop="none"), dataset(resize="bilinear", crop="none")
    (warning,) = list_likely_mistakes(manifest(dataset=used, verify={"dataset": evaluated}))
    assert warning.startswith("dataset.resize is nearest and verify.dataset.resize is bilinear")
    evaluated = dataset(mean=[0.485], std=[0.229])
    (warning,) = list_likely_mistakes(manifest(evaluation=values(-2, 1100), verify={"dataset": evaluated}))
    assert "another unit than the pixels" in warning


def test_folders_fewer_than_classes_and_a_k_that_holds_all_classes():
    accuracy = {"metrics": {"verify": {"classification": {"output": "p", "classes": 4}}}}
    found = manifest(evaluation=values(0, 1), verify={"dataset": dataset(), "top_k": 5}) | accuracy
    assert list_likely_mistakes(found) == []
    found["samples"]["evaluation samples"]["classes"] = ["a", "b", "c"]
    (warning,) = list_likely_mistakes(found)
    assert "3 class folders, and output 'p' has 4 classes" in warning
    found["recipe"]["verify"] = {"dataset": dataset(classes=["a", "b", "c"]), "top_k": 4}
    (warning,) = list_likely_mistakes(found)
    assert "verify.top_k is 4" in warning and "top-3 is reported" in warning


def test_a_drop_of_half_was_meant_as_half_a_point():
    gates = {"gates": [{"name": "top1_drop", "limit": 0.5}]}
    (warning,) = list_likely_mistakes(manifest() | gates)
    assert "allows 50 points" in warning and "0.01 is one point" in warning
    assert list_likely_mistakes(manifest() | {"gates": [{"name": "top1_drop", "limit": 0.02}]}) == []


def test_statistics_are_those_of_all_blocks():
    data = np.random.default_rng(3).normal(5, 2, (100, 4))
    one = SampleStatistics()
    for block in np.split(data, 10):
        one.add(block)
    found = one.as_facts()
    assert (found["low"], found["high"]) == (data.min(), data.max())
    assert found["mean"] == pytest.approx(data.mean(), rel=1e-5) and found["std"] == pytest.approx(data.std(), rel=1e-5)
    pixels = SampleStatistics()
    pixels.add(np.array([[0, 255]], np.uint8))
    assert pixels.as_facts() == {"low": 0.0, "high": 255.0, "mean": 127.5, "std": 127.5}
