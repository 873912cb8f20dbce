"""PRELU, which LiteRT's quantizer leaves in float: int8 where int8 is asked for, and float where a rule says so."""

from __future__ import annotations

import numpy as np
import pytest
from commandline import Project
from sweeps import build_all, recipe

pytestmark = pytest.mark.heavy

NETS = """import keras


def grow(x, name):
    slopes = keras.initializers.RandomUniform(-0.5, 1.5, seed=1)
    return keras.layers.PReLU(slopes, shared_axes=[1, 2], name=name)(x)


def make(end=False):
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3), name="image")
    x = grow(keras.layers.Conv2D(16, 3, name="one")(image), "bent")
    x = grow(keras.layers.Conv2D(16, 3, name="two")(x) + x[:, 1:-1, 1:-1], "twisted")
    if end:
        return keras.Model(image, x)
    return keras.Model(image, keras.layers.Dense(4, name="scores")(keras.layers.Flatten()(x)))


def make_end():
    return make(end=True)
"""
BUILT = {
    "plain": ("make", "int8", ""),
    "octav": ("make", "int8", "quantization: {algorithm: octav}"),
    "int4": ("make", "int4", ""),
    "spared": ("make", "int8", "quantization: {rules: [{match: twisted, op: PRELU, scheme: float32}]}"),
    "converter": ("make", "int8", "quantization: {engine: converter}"),
    "last": ("make_end", "int8", ""),
    "wide": ("make", "int16x8", ""),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What came of each recipe, of one sweep."""
    base = tmp_path_factory.mktemp("prelu")
    project = Project(base / "project", base / "store")
    project.write("nets.py", NETS)
    images = np.random.default_rng(1).normal(size=(40, 8, 8, 3)).astype(np.float32)
    np.savez(project.folder / "samples.npz", image=images)
    recipes = {
        name: recipe(f"source=function quantization={scheme} dataset=npz", f"source: {{call: 'nets.py:{call}'}}", more)
        for name, (call, scheme, more) in BUILT.items()
    }
    return build_all(project, recipes)[0]


def least_snr(row):
    return min(output["snr_db"] for output in row.outputs.values())


@pytest.mark.parametrize("name", ["plain", "octav", "last"])
def test_it_is_int8_like_all_else(rows, name):
    assert rows[name].operators["PRELU"] == 2
    assert {"QUANTIZE", "DEQUANTIZE"}.isdisjoint(rows[name].operators)
    assert least_snr(rows[name]) > 25


def test_it_is_as_good_as_the_converters(rows):
    assert least_snr(rows["plain"]) > least_snr(rows["converter"]) - 0.5


def test_int4_weights_have_it_beside_them(rows):
    assert rows["int4"].operators["PRELU"] == 2
    assert "DEQUANTIZE" not in rows["int4"].operators


def test_a_rule_that_spares_one_spares_that_one(rows):
    assert rows["spared"].operators["PRELU"] == 2
    assert rows["spared"].operators["DEQUANTIZE"] == rows["spared"].operators["QUANTIZE"] == 1


def test_int16_has_no_kernel_for_it_and_that_is_said(rows):
    assert "float_op: PRELU computes in float" in rows["wide"].error
