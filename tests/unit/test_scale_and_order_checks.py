"""Granularity, zero points, order and the converter's options against models that break them."""

from dataclasses import replace

import pytest

from tflbuild.steps.checking.scale_and_order_checks import (
    check_converter_options,
    check_granularity,
    check_order,
    check_zero_points,
)
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor


def tensor(name, type="int8", shape=(1, 4), scales=(0.5,), zero=0, constant=False, axis=0, block=0):
    quantized = type != "float32"
    return Tensor(
        name=name,
        type=type,
        shape=shape,
        elements=4096,
        constant=constant,
        scales=scales if quantized else (),
        zero_points=(zero,) * len(scales) if quantized else (),
        axis=axis,
        block=block,
    )


def model(*tensors, op="FULLY_CONNECTED", ops=None, names=("x",), made=("y",)):
    """One operator on the tensors but the last, which it makes; or `ops`."""
    count = len(tensors) - 1
    graph = Subgraph("main", tensors, ops or (Operator(op, 1, False, tuple(range(count)), (count,)),), (0,), (count,))
    ends = dict.fromkeys(names, tensors[0]), dict.fromkeys(made, tensors[-1])
    return Model(bytes=1, subgraphs=(graph,), signatures=(SignatureDef("main", 0, *ends),))


def weighted(op="FULLY_CONNECTED", type="int8", shape=(8, 4), **weights):
    return model(tensor("x"), tensor("w", type, shape, constant=True, **weights), tensor("y"), op=op)


EIGHT = (0.5,) * 8


@pytest.mark.parametrize(
    ("made", "granularity", "words"),
    [
        (weighted(scales=EIGHT), "per_channel", ""),
        (weighted(), "per_channel", "has per_tensor weights, per_channel was declared"),
        (weighted(shape=(1, 4)), "per_channel", ""),
        (weighted(), "per_tensor", ""),
        (weighted(scales=EIGHT), "per_tensor", "has per_channel weights, per_tensor was declared"),
        (weighted(scales=EIGHT, axis=1), "per_channel", "has 8 scales along axis 1 of weights"),
        (weighted(scales=(0.5,) * 4), "per_channel", "has 4 scales along axis 0 of weights"),
        (weighted("DEPTHWISE_CONV_2D", shape=(1, 3, 3, 8), scales=EIGHT, axis=3), "per_channel", ""),
        (weighted("DEPTHWISE_CONV_2D", shape=(1, 3, 3, 8), scales=EIGHT, axis=0), "per_channel", "along axis 0"),
        (weighted(type="int4", scales=(), block=32), "blockwise_32", ""),
        (weighted(type="int4", scales=(), block=64), "blockwise_32", "has blockwise_64 weights, blockwise_32 was"),
        (weighted(type="int4", scales=EIGHT), "blockwise_32", "has per_channel weights, blockwise_32 was"),
        (weighted("CONV_2D", type="int4", shape=(8, 3, 3, 4), scales=EIGHT), "blockwise_32", ""),
    ],
)
def test_the_scales_of_weights_are_those_declared(made, granularity, words):
    found = [finding.text for finding in check_granularity(made, granularity)]
    assert len(found) == bool(words) and all(words in text for text in found), found


def test_int8_weights_beside_int4_ones_are_per_channel():
    dense = weighted(type="int4").subgraphs[0].tensors
    beside = (*dense, tensor("d", shape=(1, 3, 3, 8), scales=EIGHT, axis=3, constant=True), tensor("z"))
    ops = (Operator("FULLY_CONNECTED", 1, False, (0, 1), (2,)), Operator("DEPTHWISE_CONV_2D", 1, False, (2, 3), (4,)))
    assert not list(check_granularity(model(*beside, ops=ops), "per_tensor"))


def test_zero_points_are_0_but_those_that_a_kernel_fixes():
    fixed = tensor("p", scales=(1 / 256,), zero=-128)
    ops = (Operator("SOFTMAX", 1, False, (0,), (1,)), Operator("RESHAPE", 1, False, (1,), (2,)))
    assert not list(check_zero_points(model(tensor("x"), fixed, replace(fixed, name="r"), ops=ops)))
    shifted = model(tensor("x", zero=3), tensor("y"), op="RELU")
    assert [finding.text for finding in check_zero_points(shifted)] == ["the input is int8 with the zero point 3: x"]
    wrong = model(tensor("x"), tensor("y", zero=-128), op="RESHAPE")
    assert [finding.text for finding in check_zero_points(wrong)] == ["RESHAPE gives int8 with the zero point -128: y"]


def two_outputs(order, names=("a", "b"), tensors=("Call:0", "Call:1")):
    x, first, second = tensor("x"), tensor(tensors[0]), tensor(tensors[1])
    graph = Subgraph("main", (x, first, second), (Operator("SPLIT", 1, False, (0,), (1, 2)),), (0,), order)
    ends = dict(zip(names, (first, second), strict=True))
    return Model(bytes=1, subgraphs=(graph,), signatures=(SignatureDef("main", 0, {"x": x}, ends),))


SIGNATURE = {"key": "main", "inputs": [{"name": "x"}], "outputs": [{"name": "a"}, {"name": "b"}]}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (two_outputs((1, 2)), ""),
        (two_outputs((1, 2), tensors=("Call:0_quantized", "Call:1_dequantized")), ""),
        (two_outputs((2, 1)), "the outputs are in the order b, a, a, b was declared"),
        (two_outputs((1, 2), names=("b", "a")), "output 'b' is the tensor of 'a' in the float model"),
        (two_outputs((1, 0)), "the graph's outputs are a, (no name), those declared are a, b"),
        (two_outputs((1,)), "the graph's outputs are a, those declared are a, b"),
    ],
)
def test_the_order_and_the_names_are_those_of_the_float_model(made, words):
    found = [finding.text for finding in check_order(made, two_outputs((1, 2)), SIGNATURE, True)]
    assert (words in found) if words else not found


def test_a_tflite_keeps_its_own_order():
    own = two_outputs((2, 1))
    assert not list(check_order(own, own, SIGNATURE, False))
    assert list(check_order(two_outputs((1, 2)), own, SIGNATURE, False))


def test_options_of_the_converter_that_leave_a_trace():
    dense = weighted(scales=EIGHT)
    for option in (
        "_experimental_disable_per_channel",
        "_experimental_disable_per_channel_quantization_for_dense_layers",
    ):
        assert [finding.rule for finding in check_converter_options(dense, {option: True})] == ["converter"]
        assert not list(check_converter_options(weighted(), {option: True}))
    bias = tensor("b", "int32", (8,), scales=EIGHT, constant=True)
    biased = model(tensor("x"), tensor("w", shape=(8, 4), constant=True), bias, tensor("y"))
    option = {"_experimental_full_integer_quantization_bias_type": "int64"}
    assert "has an int32 bias, int64 was declared" in next(check_converter_options(biased, option)).text
    assert not list(check_converter_options(biased, {}))
