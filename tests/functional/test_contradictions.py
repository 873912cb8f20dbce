"""Contradictions between parts of a recipe on the real command line: refused, or warned of in the last lines."""

from __future__ import annotations

import numpy as np
import pytest
from commandline import ASSETS
from PIL import Image

RECIPE = "+recipe=mobilenet_int8"
CLASSES = ["top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
LOOSE = "verify.gates.top1_drop=null"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Folders of a class each: four test images."""
    folder = tmp_path_factory.mktemp("photos")
    with np.load(ASSETS / "evaluation.npz") as data:
        for number, name in enumerate(CLASSES):
            (folder / name).mkdir()
            for place, picture in enumerate(data["image"][data["label"] == number][:4]):
                Image.fromarray(picture[..., 0]).save(folder / name / f"{place}.png")
    return folder


def verified_on(photos, *settings):
    dataset = ("dataset@verify.dataset=image_folder", f"verify.dataset.path={photos}", "verify.dataset.label=folder")
    return (RECIPE, LOOSE, *dataset, "verify.dataset.scale=1.0", *settings)


def test_a_label_file_in_another_order_than_the_class_folders_is_refused(warm, photos):
    warm.write("labels.txt", "\n".join(CLASSES) + "\n")
    labels = "+metadata.outputs={probabilities: {labels: labels.txt}}"
    done = warm.run(*verified_on(photos, labels))
    assert done.code == 2
    assert "labels.txt and the class folders of verify.dataset are in different orders" in done.err
    assert "class 0 is 'top' in labels.txt, and its folder is 'bag'" in done.err
    assert "verify.dataset.classes=[top, trouser, pullover, dress, coat, ...]" in done.err
    ordered = f"verify.dataset.classes=[{','.join(CLASSES)}]"
    done = warm.run(*verified_on(photos, labels, ordered))
    assert done.code == 0 and "folders" not in done.err, done.err


def test_calibration_samples_in_another_range_are_warned_of(warm):
    with np.load(ASSETS / "calibration.npz") as data:
        np.savez(warm.folder / "shares.npz", image=data["image"].astype(np.float32) / 255)
    done = warm.run(RECIPE, LOOSE, "dataset.path=shares.npz")
    assert done.code == 0
    assert (
        "warning: the calibration samples of input 'image' range from 0 to 1, the evaluation samples from 0 to 255"
        in (done.err)
    )


def test_a_single_calibration_sample_is_warned_of(warm):
    done = warm.run(RECIPE, LOOSE, "dataset.count=1")
    assert done.code == 0 and "activation ranges were measured on 1 sample: " in done.err


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            ["+metadata.inputs={image: {mean: [127.5], std: [127.5]}}", "verify.dataset.scale=0.003921569"],
            "differently",
        ),
        (["verify.gates.top1_drop=1"], "'verify.gates.top1_drop' is 1, which every artifact meets"),
        (["dataset.path=${verify.dataset.path}", "dataset.scale=0.003921569"], "feed the same values differently"),
    ],
)
def test_what_certainly_contradicts_is_refused_before_anything_runs(warm, settings, told):
    done = warm.run(RECIPE, *settings)
    assert done.code == 2 and told in done.err and not done.steps


def test_the_shipped_recipe_is_not_warned_of(warm):
    done = warm.run(RECIPE)
    assert done.code == 0 and "warning" not in done.err
