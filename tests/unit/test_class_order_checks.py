"""Label files and class folders name the same classes: in one order, or the recipe is refused."""

from dataclasses import replace

import pytest
from frozen import recipe

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.freezing.class_order_checks import check_class_names
from tflbuild.core.recipe import Metadata
from tflbuild.errors import RecipeError

LABELLED = Metadata({"outputs": {"p": {"labels": "labels.txt"}}})


def check(lines, folders, trained=()):
    facts = {
        "evaluation samples": {"classes": list(folders)},
        "training samples": {"classes": list(trained)},
        "check": {"metadata": {"files": [{"name": "labels.txt", "labels": list(lines)}]}},
    }
    check_class_names(replace(recipe(), metadata=LABELLED), facts, RecipeErrors(KeyLocations()))


@pytest.mark.parametrize(
    ("lines", "folders"),
    [
        (["ant", "bee", "cat"], ["ant", "bee", "cat"]),
        (["Tabby Cat", "bee"], ["tabby_cat", "bee"]),
        (["ant", "bee", "cat"], ["n01", "n02", "n03"]),  # other names: nothing can be said
        (["ant", "bee", "cat"], ["ant", "bee"]),
        (["ant", "bee"], []),
        ([], ["ant", "bee"]),
    ],
)
def test_names_that_do_not_contradict_are_accepted(lines, folders):
    check(lines, folders)


@pytest.mark.parametrize(
    ("lines", "folders", "place"),
    [
        (["bee", "ant", "cat"], ["ant", "bee", "cat"], "class 0 is 'bee' in labels.txt, and its folder is 'ant'"),
        (["ant", "bee", "cat"], ["ant", "cat"], "labels without a folder: bee"),
        (["background", "ant", "bee"], ["ant", "bee"], "labels without a folder: background"),
        (["10", "2", "1"], ["1", "10", "2"], "class 0 is '10'"),
    ],
)
def test_another_order_is_refused_with_the_first_difference_and_the_order_to_give(lines, folders, place):
    with pytest.raises(RecipeError) as caught:
        check(lines, folders)
    assert "different orders" in caught.value.what and place in caught.value.why
    assert "verify.dataset.classes=[" in caught.value.next_step


def test_more_folders_than_labels_are_refused():
    with pytest.raises(RecipeError) as caught:
        check(["ant"], ["ant", "bee"])
    assert caught.value.what == "labels.txt has 1 labels, and verify.dataset has 2 class folders"


def test_training_and_evaluation_number_classes_alike():
    check([], ["ant", "bee"], ["ant", "bee"])
    with pytest.raises(RecipeError) as caught:
        check([], ["ant", "bee"], ["bee", "ant"])
    assert "other labels" in caught.value.what
