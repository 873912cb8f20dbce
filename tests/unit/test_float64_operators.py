"""Operators in float64 against plain definitions, and what is refused instead of guessed."""

import math

import numpy as np
import pytest

from tflbuild.steps.calibration.float64_operators import OPERATORS
from tflbuild.tflite.tflite_model import Operator

RANDOM = np.random.default_rng(0)
SAME, VALID = 0, 1


def run(name, *inputs, activation="", **options):
    op = Operator(name, 1, False, tuple(range(len(inputs))), (9,), activation=activation, options=options)
    arrays = [value if value is None else np.asarray(value) for value in inputs]
    return OPERATORS[name](op, arrays)[0]


def padded(x, size, stride, dilation, padding):
    if padding == VALID:
        return x
    reach = (size - 1) * dilation + 1
    total = max((-(-x.shape[1] // stride) - 1) * stride + reach - x.shape[1], 0)
    pads = (total // 2, total - total // 2)
    return np.pad(x, ((0, 0), pads, pads, (0, 0)))


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("depthwise", [False, True])
def test_convolutions_are_sums_of_products(padding, stride, dilation, depthwise):
    x, bias = RANDOM.normal(size=(2, 7, 7, 3)), RANDOM.normal(size=6)
    weights = RANDOM.normal(size=(1, 3, 3, 6) if depthwise else (6, 3, 3, 3))
    options = {"padding": padding, "strideH": stride, "strideW": stride}
    options |= {"dilationHFactor": dilation, "dilationWFactor": dilation}
    made = run("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", x, weights, bias, activation="RELU", **options)
    wide = padded(x, 3, stride, dilation, padding)
    for row, column, channel in np.ndindex(made.shape[1:]):
        at, across = row * stride, column * stride
        window = wide[:, at : at + 2 * dilation + 1 : dilation, across : across + 2 * dilation + 1 : dilation]
        taps = weights[0, :, :, channel, None] if depthwise else weights[channel]
        window = window[..., channel // 2, None] if depthwise else window
        expected = np.maximum((window * taps).sum(axis=(1, 2, 3)) + bias[channel], 0.0)
        np.testing.assert_allclose(made[:, row, column, channel], expected, atol=1e-12)


def test_pooling_counts_no_padding():
    x = RANDOM.normal(size=(1, 3, 3, 2))
    options = {"padding": SAME, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    np.testing.assert_allclose(run("AVERAGE_POOL_2D", x, **options)[0, 1, 1], x[0, 2, 2])
    np.testing.assert_allclose(run("AVERAGE_POOL_2D", x, **options)[0, 0, 0], x[0, :2, :2].mean(axis=(0, 1)))
    np.testing.assert_array_equal(run("MAX_POOL_2D", x, **options)[0, 0, 0], x[0, :2, :2].max(axis=(0, 1)))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("TANH", math.tanh),
        ("EXP", math.exp),
        ("LOGISTIC", lambda x: 1 / (1 + math.exp(-x))),
        ("GELU", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("ELU", lambda x: x if x > 0 else math.expm1(x)),
        ("HARD_SWISH", lambda x: x * min(max(x + 3, 0), 6) / 6),
        ("RSQRT", lambda x: 1 / math.sqrt(x) if x > 0 else math.nan),
        ("SIN", math.sin),
    ],
)
def test_functions_are_those_of_the_definition(name, function):
    x = RANDOM.normal(size=40) * 3
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(run(name, x), [function(value) for value in x], rtol=1e-13)


def test_layers_are_connected():
    x, weights, bias = RANDOM.normal(size=(2, 3, 4)), RANDOM.normal(size=(5, 4)), RANDOM.normal(size=5)
    np.testing.assert_allclose(run("FULLY_CONNECTED", x, weights, bias, keepNumDims=True), x @ weights.T + bias)
    assert run("FULLY_CONNECTED", x, weights, None).shape == (6, 5)
    left, right = RANDOM.normal(size=(2, 4, 3)), RANDOM.normal(size=(2, 5, 4))
    expected = np.swapaxes(left, 1, 2) @ np.swapaxes(right, 1, 2)
    np.testing.assert_allclose(run("BATCH_MATMUL", left, right, adjX=True, adjY=True), expected)
    powers = np.exp(x)
    np.testing.assert_allclose(run("SOFTMAX", x, beta=1.0), powers / powers.sum(axis=-1, keepdims=True))


def test_a_transposed_convolution_is_the_gradient_of_one():
    x, weights = RANDOM.normal(size=(1, 2, 2, 3)), RANDOM.normal(size=(4, 3, 3, 3))
    made = run("TRANSPOSE_CONV", np.array([1, 5, 5, 4]), weights, x, padding=VALID, strideH=2, strideW=2)
    expected = np.zeros((1, 5, 5, 4))
    for row, column in np.ndindex(2, 2):
        part = np.einsum("i,ohwi->hwo", x[0, row, column], weights)
        expected[0, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += part
    np.testing.assert_allclose(made, expected, atol=1e-12)


def test_shapes_are_moved_as_the_runtime_does():
    x = RANDOM.normal(size=(2, 6, 4))
    np.testing.assert_array_equal(run("SPLIT", np.array(1), x, numSplits=3), x[:, :2])
    masks = {"beginMask": 1, "endMask": 1, "shrinkAxisMask": 2}
    taken = run("STRIDED_SLICE", x, np.array([0, 2, 1]), np.array([0, 3, 4]), np.array([1, 1, 2]), **masks)
    np.testing.assert_array_equal(taken, x[:, 2, 1:4:2])
    np.testing.assert_array_equal(run("SLICE", x, np.array([0, 1, 0]), np.array([2, -1, 3])), x[:, 1:, :3])
    np.testing.assert_allclose(run("MEAN", x, np.array([1]), keepDims=True), x.mean(axis=1, keepdims=True))
    assert run("REDUCE_PROD", np.array([2, 3], np.int32), np.array([0])).tolist() == 6


@pytest.mark.parametrize(
    ("name", "inputs", "options"),
    [
        ("CONV_2D", (np.zeros((1, 4, 4, 4)), np.zeros((4, 1, 1, 2))), {"padding": 1, "strideH": 1, "strideW": 1}),
        ("FULLY_CONNECTED", (np.zeros((1, 4)), np.zeros((2, 4))), {"weightsFormat": 1}),
        ("STRIDED_SLICE", (np.zeros(4), *[np.array([1])] * 3), {"ellipsisMask": 1}),
        ("MEAN", (np.zeros(4, np.int32), np.array([0])), {}),
    ],
)
def test_unknown_options_are_refused(name, inputs, options):
    with pytest.raises(NotImplementedError):
        run(name, *inputs, **options)
