"""One operator of a file as a model of its own: the same results on the same values."""

import numpy as np
import pytest
from one_op import write_model
from one_op_cases import CASES
from packed_weights import packed

from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.operator_slices import KEY, Slices, make_product_model
from tflbuild.tflite.tflite_reader import read_model

CHAIN = ("RELU_float32", "CONV_2D_float32", "TANH_float32")


def run(path, key, feed):
    return open_signature(path, key, "none")(feed)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(write_model(CASES["RELU_float32"], CASES["CONV_2D_float32"]))
    return file


def test_an_operator_keeps_its_constants_and_takes_what_moves(path, tmp_path):
    slices = Slices(path)
    assert [len(slices.inputs(0, index)) for index in (0, 1)] == [1, 1]
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(slices.operator(0, 1))
    (op,) = read_model(alone).subgraphs[0].ops
    assert op.name == "CONV_2D"
    feed = np.random.default_rng(1).uniform(0, 1, (1, 8, 8, 4)).astype(np.float32)  # RELU changes none of it
    whole = run(path, "serving_default", {"in0": feed})
    np.testing.assert_array_equal(run(alone, KEY, {"in0": feed})["out0"], whole["out0"])


def test_what_unpacks_its_constants_comes_along(tmp_path):
    path, alone = tmp_path / "model.tflite", tmp_path / "alone.tflite"
    path.write_bytes(packed(write_model(CASES["CONV_2D_float32"]), "float16"))
    slices = Slices(path)
    assert len(slices.inputs(0, 2)) == 1
    alone.write_bytes(slices.operator(0, 2))
    assert [op.name for op in read_model(alone).subgraphs[0].ops] == ["DEQUANTIZE", "DEQUANTIZE", "CONV_2D"]
    feed = np.ones((1, 8, 8, 4), np.float32)
    whole = run(path, "serving_default", {"in0": feed})
    np.testing.assert_array_equal(run(alone, KEY, {"in0": feed})["out0"], whole["out0"])


def test_the_product_multiplies(tmp_path):
    path = tmp_path / "product.tflite"
    path.write_bytes(make_product_model(4))
    feed = {name: np.full((1, 1, 1, 4), 300.0, np.float32) for name in ("in0", "in1")}
    np.testing.assert_array_equal(run(path, KEY, feed)["out0"], np.full((1, 1, 1, 4), 9e4, np.float32))
