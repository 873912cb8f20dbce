"""The set of one-operator models is what it is meant to be: readable, and alike to what a converter writes."""

import pytest
from one_op import write_model
from one_op_cases import CASES

from tflbuild.targets.common.rules import each_view
from tflbuild.tflite.tflite_reader import read_model


def test_there_are_enough():
    assert len(CASES) >= 150
    assert len({case.op for case in CASES.values()}) >= 70


@pytest.mark.parametrize("name", ["CONV_2D_int8_stride2", "PACK_int16", "GATHER_float32"])
def test_what_was_written_is_read(name, tmp_path):
    case, path = CASES[name], tmp_path / "model.tflite"
    path.write_bytes(write_model(case))
    (view,) = each_view(read_model(path))
    assert view.op.name == case.op
    assert [tensor.type for tensor in view.outputs] == [one.type for one in case.outputs]
    assert {option: view.option(option) for option in case.options} == case.options


def test_operators_follow_one_another(tmp_path):
    (tmp_path / "model.tflite").write_bytes(write_model(CASES["RELU_float32"], CASES["TANH_float32"]))
    model = read_model(tmp_path / "model.tflite")
    assert [view.op.name for view in each_view(model)] == ["RELU", "TANH"]
    assert model.subgraphs[0].ops[1].inputs == model.subgraphs[0].ops[0].outputs
