"""Filters that a model computes: converted to int8 with the zero point 0, with a bias that fits."""

from dataclasses import replace

import numpy as np
import pytest
from one_op import SCALES, T, write_model
from one_op_cases import CASES

from tflbuild.steps.quantization.computed_filters import convert_filters
from tflbuild.tflite.tflite_reader import read_model


def computed(name, **changes):
    """A case whose filter is an input of the model, quantized as an activation is."""
    case = CASES[name]
    kind = "int16" if "int16" in name else "int8"
    weights = case.inputs[1]
    scale = SCALES[kind][0]
    filter_ = T(
        weights.shape, **({"type": kind, "scale": scale, "zero_point": 0 if kind == "int16" else -69} | changes)
    )
    bias = case.inputs[-1]
    number = len(case.inputs) - 1
    stored = replace(bias, values=np.arange(len(bias.values)) * 100, scale=scale * scale)
    inputs = tuple({1: filter_, number: stored}.get(place, operand) for place, operand in enumerate(case.inputs))
    return replace(case, inputs=inputs)


def read(folder, raw):
    (folder / "model.tflite").write_bytes(raw)
    return read_model(folder / "model.tflite").subgraphs[0]


@pytest.mark.parametrize("name", ["CONV_2D_int8", "DEPTHWISE_CONV_2D_int16", "TRANSPOSE_CONV_int8"])
def test_a_computed_filter_is_converted(tmp_path, name):
    before = read(tmp_path, write_model(computed(name)))
    after = read(tmp_path, convert_filters(write_model(computed(name))))
    assert [op.name for op in after.ops] == ["QUANTIZE", before.ops[0].name]
    conversion, op = after.ops
    old, new = (after.tensors[index] for index in (conversion.inputs[0], op.inputs[1]))
    assert conversion.outputs == op.inputs[1:2] and old == before.tensors[before.ops[0].inputs[1]]
    assert (new.type, new.zero_points, new.shape) == ("int8", (0,), old.shape)
    limit = {"int8": 127 + 69, "int16": 32767}[old.type]
    assert new.scales[0] * 127 == pytest.approx(old.scales[0] * limit)


@pytest.mark.parametrize("name", ["CONV_2D_int8", "DEPTHWISE_CONV_2D_int16", "TRANSPOSE_CONV_int8"])
def test_its_bias_stays_what_it_was(tmp_path, name):
    graphs = [
        read(tmp_path, raw) for raw in (write_model(computed(name)), convert_filters(write_model(computed(name))))
    ]
    before, after = (graph.tensors[graph.ops[-1].inputs[-1]] for graph in graphs)
    step = after.scales[0]
    fed = next(tensor for tensor in graphs[1].tensors if tensor.name.endswith("in2" if "TRANSPOSE" in name else "in0"))
    weights = graphs[1].tensors[graphs[1].ops[-1].inputs[1]]
    assert step == pytest.approx(fed.scales[0] * weights.scales[0])
    for old, new in zip(before.values, after.values, strict=True):
        assert new * step == pytest.approx(old * before.scales[0], abs=0.51 * step)


@pytest.mark.parametrize(
    "case",
    [
        CASES["CONV_2D_int8"],
        CASES["CONV_2D_float32"],
        computed("CONV_2D_int8", zero_point=0),
        computed("FULLY_CONNECTED_int8_batch1"),
    ],
    ids=["stored", "float", "symmetric already", "a kernel that subtracts zero points"],
)
def test_what_kernels_read_rightly_stays_as_it_is(case):
    assert convert_filters(write_model(case)) == write_model(case)


def test_two_operators_share_one_conversion(tmp_path):
    """The filter of a depthwise convolution, whose output a second one with the same filter reads."""
    from ai_edge_litert.tools import flatbuffer_utils

    root = flatbuffer_utils.read_model_from_bytearray(
        bytearray(write_model(computed("DEPTHWISE_CONV_2D_int16"), CASES["DEPTHWISE_CONV_2D_int16_dilation2"]))
    )
    first, second = root.subgraphs[0].operators
    second.inputs[1] = first.inputs[1]
    graph = read(tmp_path, convert_filters(bytes(flatbuffer_utils.convert_object_to_bytearray(root))))
    assert [op.name for op in graph.ops] == ["QUANTIZE", "DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D"]
    assert graph.ops[1].inputs[1] == graph.ops[2].inputs[1] == graph.ops[0].outputs[0]
