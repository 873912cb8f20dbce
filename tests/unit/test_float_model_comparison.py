"""The artifact's operators and constants against the float model's: rounding and clipping pass, other values do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from one_op import Case, T, write_model

from tflbuild.steps.checking.float_model_comparison import check_agreement, check_ranges, measure_error, unpack_codes
from tflbuild.tflite.tflite_reader import read_buffers, read_model

RANDOM = np.random.default_rng(3)
TABLE = RANDOM.normal(size=(64, 64)).astype(np.float32)
BIAS = RANDOM.normal(size=64).astype(np.float32)
ROW = T((1, 64), "float32")
LITERT = {"engine": "litert", "algorithm": "min_max"}


def dense(weights, bias=None, activation=0):
    options = {"fusedActivationFunction": activation}
    return Case("fc", "FULLY_CONNECTED", (ROW, weights, bias), (ROW,), "FullyConnectedOptions", options)


FLOAT = dense(T((64, 64), "float32", TABLE), T((64,), "float32", BIAS))


def coded(values=TABLE, scale=1 / 32, type="int8", greatest=127):
    codes = np.clip(np.rint(values / scale), -greatest, greatest)
    if type == "int4":  # two to a byte
        halves = codes.astype(np.int8).ravel()
        codes = (halves[::2] & 15) | (halves[1::2] << 4)
    return T((64, 64), type, codes, scale=scale, zero_point=0)


def look(tmp_path, made, source=FLOAT, params=LITERT):
    """The texts of the findings about an artifact with one operator."""
    files = []
    for name, case in (("made", made), ("source", source)):
        files.append(tmp_path / f"{name}.tflite")
        files[-1].write_bytes(write_model(*([case] if isinstance(case, Case) else case)))
    models = [(read_model(file), read_buffers(file)) for file in files]
    return [finding.text for finding in check_agreement(*models[0], *models[1], params)]


@pytest.mark.parametrize(
    "weights",
    [
        T((64, 64), "float32", TABLE),
        T((64, 64), "float16", TABLE.astype(np.float16)),
        coded(),
        coded(scale=1 / 64),
        coded(scale=1.0, type="int4", greatest=7),
        coded(scale=0.2, type="int4", greatest=7),
    ],
    ids=["float32", "float16", "int8", "clipped", "int4", "clipped int4"],
)
def test_rounding_and_clipping_are_no_difference(tmp_path, weights):
    assert look(tmp_path, dense(weights, T((64,), "float32", BIAS))) == []


@pytest.mark.parametrize(
    "values",
    [np.zeros_like(TABLE), TABLE.T, TABLE * 2, TABLE[::-1], -TABLE, np.where(np.eye(64) > 0, 0, TABLE)],
    ids=["zeros", "transposed", "doubled", "reversed", "negative", "one value of each row"],
)
@pytest.mark.parametrize("type", ["int8", "int4"])
def test_other_values_are_a_finding(tmp_path, values, type):
    weights = coded(values, 0.5 if type == "int4" else 1 / 32, type, 7 if type == "int4" else 127)
    (text,) = look(tmp_path, dense(weights, T((64,), "float32", BIAS)))
    assert "its constant fc/in1 is not the float model's" in text and "of 4,096 values differ" in text


def test_a_bias_is_compared_in_its_own_scale(tmp_path):
    def stored(values):
        return T((64,), "int32", np.rint(values / 1e-3), scale=1e-3, zero_point=0)

    assert look(tmp_path, dense(coded(), stored(BIAS))) == []
    (text,) = look(tmp_path, dense(coded(), stored(BIAS[::-1])))
    assert "its bias fc/in2 is not the float model's" in text
    (text,) = look(tmp_path, dense(coded()))
    assert text == "FULLY_CONNECTED 'fc/out0' has no bias, and the float model has one"


def test_options_are_those_of_the_float_model(tmp_path):
    bias = T((64,), "float32", BIAS)
    (text,) = look(tmp_path, dense(coded(), bias), dense(T((64, 64), "float32", TABLE), bias, activation=1))
    assert "fusedActivationFunction is 0, and 1 in the float model" in text


def test_an_operator_that_is_missing_is_named_where_the_quantizer_keeps_all(tmp_path):
    more = [FLOAT, replace(FLOAT, name="other")]
    (text,) = look(tmp_path, FLOAT, more)
    assert text == "FULLY_CONNECTED 'other/out0' of the float model is missing"
    assert look(tmp_path, FLOAT, more, {"engine": "converter"}) == []


@pytest.mark.parametrize(("algorithm", "count"), [("gptq", 0), ("hadamard", 0), ("min_max", 1), ("octav", 1)])
def test_algorithms_that_move_values_are_compared_by_what_they_keep(tmp_path, algorithm, count):
    moved = coded(TABLE + RANDOM.normal(size=TABLE.shape) * 0.1)
    params = {**LITERT, "algorithm": algorithm}
    assert len(look(tmp_path, dense(moved, T((64,), "float32", BIAS)), params=params)) == count
    lost = look(tmp_path, dense(coded(TABLE.T), T((64,), "float32", BIAS)), params=params)
    assert len(lost) == (algorithm != "hadamard")


def test_scales_of_channels_along_the_last_axis_are_those_of_the_channels(tmp_path):
    values = RANDOM.normal(size=(1, 3, 3, 4)).astype(np.float32) * np.array([1, 10, 100, 1000], np.float32)
    scales = np.abs(values).max((0, 1, 2)) / 127
    path = tmp_path / "model.tflite"
    tensor = T(values.shape, "int8", np.rint(values / scales), scale=1.0, zero_point=0)
    path.write_bytes(write_model(Case("c", "MUL", (T(values.shape, "float32"), tensor), (ROW,), "MulOptions", {})))
    model = read_model(path)
    stored = next(one for one in model.subgraphs[0].tensors if one.constant)
    stored = replace(stored, scales=tuple(scales), zero_points=(0, 0, 0, 0), axis=3)
    codes = unpack_codes(stored, read_buffers(path)[stored.buffer]).astype(np.float64)
    error, allowed = measure_error(stored, codes, values.ravel().astype(np.float64), 0)
    assert (error <= allowed).all()


def test_an_activation_must_hold_most_of_what_calibration_measured(tmp_path):
    path = tmp_path / "model.tflite"
    given, made = T((1, 64), "int8", scale=0.1, zero_point=0), T((1, 64), "int8", scale=0.01, zero_point=-128)
    path.write_bytes(write_model(Case("a", "ABS", (given,), (made,), "AbsOptions", {})))
    model = read_model(path)
    assert not list(check_ranges(model, {"a/out0": {"min": 0.0, "max": 5.0}}))
    (finding,) = check_ranges(model, {"a/out0": {"min": 0.0, "max": 11.0}})
    assert finding.text == "ABS 'a/out0' holds 0 to 2.55, and calibration measured 0 to 11"


@pytest.mark.parametrize("type", ["int32", "int64"])
def test_the_bias_of_a_channel_without_weights_may_end_where_an_activation_makes_it_zero(tmp_path, type):
    values = np.where(np.arange(64) == 5, -1.0, 0.0).astype(np.float32)
    stored = T((64,), type, np.where(values < 0, np.iinfo(np.int32).min, 0), scale=1e-14, zero_point=0)
    for activation, count in ((0, 1), (1, 0)):
        source = dense(T((64, 64), "float32", TABLE), T((64,), "float32", values), activation)
        assert len(look(tmp_path, dense(coded(), stored, activation), source)) == count
