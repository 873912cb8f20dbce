"""`tflbuild advise`: what calibration samples are worth, from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from refusals import refused_at_once

RECIPE = "+recipe=mobilenet_int8"
heavy = pytest.mark.heavy


def advice(project, *arguments):
    done = project.run("advise", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def choose(project, pick):
    """Leave those images in the calibration set that `pick` gives."""
    samples = project.folder / "data" / "calibration.npz"
    np.savez(samples, image=pick(np.load(samples)["image"]))


@heavy
def test_it_measures_once_and_says_what_it_found(warm):
    first = warm.run("advise", RECIPE)
    assert first.code == 0, first.err
    assert first.steps["advise"] == "ran" and first.steps["convert"] == "hit" and "predict" not in first.steps
    again = warm.run("advise", RECIPE)
    assert set(again.steps.values()) == {"hit"} and again.out == first.out
    page = warm.folder / first.out.splitlines()[-1].removeprefix("chart  ")
    assert page == warm.output() / "advice.html" and "<polyline" in page.read_text()
    assert "not enough: 2 of 15 ranges still grew by more than 2% with the last half of the 256 samples" in first.out


@heavy
def test_samples_of_one_kind_are_told_from_enough_samples(warm, local_recipe):
    local_recipe(warm)
    choose(warm, lambda images: np.repeat(images[:1], 24, axis=0))
    found = advice(warm, "+recipe=local", "verify.dataset.count=200")
    assert found["enough"] and found["samples"] == {"serving_default": 24}
    assert all(row["constant"] and row["settled"] == 1 for row in found["tensors"])
    assert max(row["outside"] for row in found["tensors"]) > 0.01
    assert "evaluation samples have that the calibration samples have not" in found["next"]


@heavy
def test_one_wild_pixel_costs_bits_and_is_seen(warm, local_recipe):
    local_recipe(warm)
    choose(warm, lambda images: images[:32].astype(np.float32))
    tame = advice(warm, "+recipe=local", "verify=none")
    choose(warm, lambda images: np.where(np.arange(images.size).reshape(images.shape) == 400, 64 * 255, images))
    wild = advice(warm, "+recipe=local", "verify=none")
    bits = [max(row["bits_lost"] for row in found["tensors"] if row["operator"] == "INPUT") for found in (tame, wild)]
    assert bits[0] < 0.1 and bits[1] > 5.9


@heavy
def test_without_evaluation_data_and_without_quantization_it_says_the_rest(warm):
    found = advice(warm, RECIPE, "verify=none", "quantization=dynamic_int8")
    assert found["evaluated"] == {} and {row["outside"] for row in found["tensors"]} == {None}
    assert len(found["tensors"]) == 15


@heavy
def test_what_is_cut_off_is_what_the_recipe_s_own_ranges_cut_off(warm):
    narrow = ("quantization.calibration.method=percentile", "quantization.calibration.percentile=90")
    cut = advice(warm, RECIPE, "verify.dataset.count=200", *narrow)
    assert max(row["outside"] for row in cut["tensors"]) > 0.05


def test_without_samples_there_is_nothing_to_say(project):
    found = refused_at_once(project.run("advise", RECIPE, "quantization=none", "dataset=none"))
    assert found.what == "advise needs calibration data"
    assert found.where == "command line: dataset=none"


@pytest.mark.parametrize("verb", ["advise", "sensitivity"])
def test_one_variant_at_a_time(project, verb):
    assert f"{verb} takes one variant" in refused_at_once(project.run(verb, "-m", RECIPE), "usage").what
