"""Datasets as the recipe has them once they are frozen."""

import pytest

from tflbuild.config.composing.compose import compose
from tflbuild.config.freezing.freeze import freeze
from tflbuild.errors import RecipeError

COMMON = ("+recipe=mobilenet_int8",)


pytestmark = pytest.mark.usefixtures("empty_folder")


def dataset(*overrides):
    (composed,) = compose([*COMMON, *overrides])
    return freeze(composed).dataset


def test_a_kind_keeps_its_own_options():
    found = dataset("dataset=image_folder", "dataset.path=p", "dataset.label=folder")
    assert (found.kind, found.path, found.label, found.arrays, found.scale) == ("image_folder", "p", "folder", (), 1.0)
    assert found.options["resize"] == "bilinear" and found.options["size"] == []


def test_a_dataset_of_arrays_has_no_options():
    assert dataset().options == {} and dataset().call == ""


def test_code_has_no_path_and_no_seed():
    found = dataset("dataset=callable", "dataset.call=a.py:b")
    assert (found.call, found.path, found.seed) == ("a.py:b", "", 0)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (("dataset=image_folder", "dataset.path=''"), "dataset.path"),
        (("dataset=image_folder", "dataset.path=p", "dataset.size=[1,2,3]"), "dataset.size"),
        (("dataset=audio_folder", "dataset.path=p", "dataset.length=0"), "dataset.length"),
        (("dataset=csv", "dataset.path=p", "+dataset.columns.image=[]"), "dataset.columns.image"),
        (("dataset=tfrecord", "dataset.path=p", "+dataset.raw.image=string"), "dataset.raw.image"),
        (("dataset=tfds", "dataset.path=p", "dataset.split=''"), "dataset.split"),
        (("dataset=tfds", "dataset.path=p", "dataset.split=test", "dataset.size=[28]"), "dataset.size"),
        (("dataset=callable", "dataset.call=a.py"), "dataset.call"),
        (("dataset=npy", "dataset.path=p", "dataset.count=0"), "dataset.count"),
    ],
)
def test_values_out_of_range_are_refused_at_their_key(overrides, key):
    with pytest.raises(RecipeError) as caught:
        dataset(*overrides)
    assert caught.value.where.startswith(f"command line: {key}=") or key in caught.value.where
