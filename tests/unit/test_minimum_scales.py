"""Scales of vanishing activations, which kernels refuse or end the process at."""

from dataclasses import replace

import numpy as np
import pytest
from one_op import RELU6, Case, T, write_model
from one_op_cases import CASES, conv

from tflbuild.steps.quantization.minimum_scales import SMALLEST_SOFTMAX_SCALE, enlarge_ranges, enlarge_softmax_inputs
from tflbuild.targets.tflm import tflm_runtime
from tflbuild.tflite.tflite_reader import read_model

TINY = {"min": 0.0, "max": 1e-9, "rank": 4}
SOFTMAX = Case(
    "softmax",
    "SOFTMAX",
    (T((1, 8), "int8", scale=2.0**-30),),
    (T((1, 8), "int8", scale=1 / 256, zero_point=-128),),
    "SoftmaxOptions",
    {"beta": 1.0},
)


def parse(tmp_path, model):
    path = tmp_path / "model.tflite"
    path.write_bytes(model)
    return read_model(path)


@pytest.mark.parametrize(("scheme", "steps"), [("int8", 255), ("int16x8", 32767)])
def test_a_range_behind_a_fused_relu6_becomes_one_whose_scale_a_kernel_takes(tmp_path, scheme, steps):
    model = parse(tmp_path, write_model(conv("conv", "float32", activation=RELU6)))
    name = model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]].name
    found = enlarge_ranges(model, {name: TINY, "other": TINY}, scheme)
    assert 6 / (found[name]["max"] / steps) < 2**31 - 1
    assert found["other"] == TINY
    wide = {name: TINY | {"max": 6.0}}
    assert enlarge_ranges(model, wide, scheme) == wide
    assert enlarge_ranges(model, {name: TINY}, "dynamic_int8") == {name: TINY}


def test_ranges_before_a_softmax_are_widened_through_what_keeps_a_scale(tmp_path):
    reshape = CASES["RESHAPE_float32"]
    softmax = Case(
        "softmax", "SOFTMAX", (T((1, 256), "float32"),), (T((1, 256), "float32"),), "SoftmaxOptions", {"beta": 1.0}
    )
    model = parse(tmp_path, write_model(reshape, softmax))
    names = ["RESHAPE_float32/in0", "RESHAPE_float32/out0"]
    found = enlarge_ranges(model, dict.fromkeys(names, TINY), "int8")
    assert [found[name]["max"] / 255 for name in names] == [pytest.approx(SMALLEST_SOFTMAX_SCALE)] * 2
    assert enlarge_ranges(model, dict.fromkeys(names, TINY), "int16x8") == dict.fromkeys(names, TINY)


def dense(scale):
    case = CASES["FULLY_CONNECTED_int8_batch1"]
    return replace(case, outputs=(replace(case.outputs[0], scale=scale),))


def runs(model, folder):
    return tflm_runtime.call_in_large_arena(model, [[np.ones((1, 16), np.int8)]], 1, folder / "log").good


def test_a_quantized_softmax_gets_a_scale_that_does_not_end_the_process(tmp_path):
    model = write_model(dense(2.0**-30), SOFTMAX)
    made = enlarge_softmax_inputs(model, parse(tmp_path, model))
    assert not runs(model, tmp_path) and runs(made, tmp_path)
    graph = parse(tmp_path, made).subgraphs[0]
    assert graph.tensors[graph.ops[1].inputs[0]].scales == (SMALLEST_SOFTMAX_SCALE,)


def test_a_scale_that_is_large_enough_or_not_free_stays(tmp_path):
    good = write_model(dense(0.5), replace(SOFTMAX, inputs=(replace(SOFTMAX.inputs[0], scale=0.5),)))
    assert enlarge_softmax_inputs(good, parse(tmp_path, good)) is good
    entering = write_model(SOFTMAX)
    assert enlarge_softmax_inputs(entering, parse(tmp_path, entering)) is entering
