"""What 16-bit floats cannot hold, of what a model computes and of what it stores."""

import numpy as np
import pytest
from one_op import Case, T, write_model

from tflbuild.targets.gpu.float16_range import float16_range
from tflbuild.tflite.tflite_reader import read_model

SHAPE = (1, 2, 2, 4)


def scaled(name, factor):
    """x * factor, the factor stored."""
    return Case(name, "MUL", (T(SHAPE, "float32"), T((), "float32", factor)), (T(SHAPE, "float32"),), "MulOptions")


@pytest.fixture
def look(tmp_path):
    def ask(*cases, value=2.0):
        path = tmp_path / "model.tflite"
        path.write_bytes(write_model(*cases))
        detail = read_model(path).signatures[0].inputs["in0"]
        feed = np.full(SHAPE, value, "float32" if detail.type == "float32" else np.int8)
        return float16_range(path, read_model(path), "serving_default", [{"in0": feed}], "none")

    return ask


def test_what_is_small_enough_has_headroom(look):
    held = look(scaled("a", 4.0))
    assert held.excesses == ()
    assert held.figures() == {"max_abs_activation": 8.0, "float16_headroom": 65504 / 8}


def test_a_layer_in_the_middle_is_named_with_its_value(look):
    held = look(scaled("a", 40000.0), scaled("b", 1e-4))
    (excess,) = held.excesses
    assert (excess.layer, excess.op, excess.value, excess.stored) == ("a/out0", "MUL", 80000.0, False)
    assert "MUL a/out0 reaches 8e+04" in excess.note()
    assert held.figures()["float16_headroom"] < 1


def test_a_stored_number_that_is_too_large_is_named(look):
    held = look(scaled("a", 1e5), value=0.1)
    assert [(one.layer, one.stored) for one in held.excesses] == [("a/in1", True)]
    assert "holds 1e+05" in held.excesses[0].note()


def test_stored_numbers_that_vanish_are_named(look):
    held = look(scaled("a", 1e-9))
    assert [one.lost for one in held.excesses] == [1.0]
    assert "100% of the constant a/in1 becomes 0" in held.excesses[0].note()


def test_an_infinity_overflows(look):
    power = Case("b", "EXP", (T(SHAPE, "float32"),), (T(SHAPE, "float32"),), "ExpOptions")
    held = look(scaled("a", 1e3), power)
    assert "b/out0" in [one.layer for one in held.excesses]
    assert held.figures() == {}


def test_integers_count_as_the_real_values_that_they_stand_for(look):
    huge = T(SHAPE, "int8", scale=1000.0, zero_point=0)
    held = look(Case("a", "RELU", (huge,), (huge,)), value=100)
    assert {one.layer for one in held.excesses} == {"a/in0", "a/out0"}
    assert held.excesses[0].value == pytest.approx(1e5)
