"""Each operator of a model as a model of its own."""

from one_flow import FLOWS
from one_op import write_model
from one_op_cases import CASES

from tflbuild.targets.common.rules import each_view
from tflbuild.targets.common.single_operator_models import each_slice
from tflbuild.tflite.tflite_reader import read_buffers, read_model


def test_every_operator_stands_alone_with_its_own_constants(tmp_path):
    path = tmp_path / "model.tflite"
    names = ("RELU_int8", "CONV_2D_int8", "MUL_int8_const")
    path.write_bytes(write_model(*(CASES[name] for name in names)))
    whole = read_model(path)
    weights = [read_buffers(path)[one.buffer] for one in whole.subgraphs[0].tensors if one.constant]
    found = []
    for one in each_slice(path):
        (tmp_path / "one.tflite").write_bytes(one.model)
        (view,) = each_view(read_model(tmp_path / "one.tflite"))
        assert view.op.name == one.view.op.name
        assert view.op.options == one.view.op.options
        assert [tensor.scales for tensor in view.outputs] == [tensor.scales for tensor in one.view.outputs]
        assert [value.shape for value in one.feed] == [view.inputs[0].shape]
        assert one.outputs == 1
        buffers = read_buffers(tmp_path / "one.tflite")
        found += [buffers[tensor.buffer] for tensor in view.graph.tensors if tensor.constant]
    assert found == weights
    assert len(weights) == 3


def test_the_model_is_given_back_as_it_was(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(CASES["CONV_2D_int8"], CASES["RELU_int8"]))
    first = [one.model for one in each_slice(path)]
    assert [one.model for one in each_slice(path)] == first


def test_a_division_is_not_by_zero(tmp_path):
    (tmp_path / "model.tflite").write_bytes(write_model(CASES["FLOOR_DIV_float32"]))
    (one,) = each_slice(tmp_path / "model.tflite")
    assert one.feed[1].min() == 1


def test_an_operator_with_other_subgraphs_cannot_stand_alone(tmp_path):
    (tmp_path / "model.tflite").write_bytes(FLOWS["WHILE"]("float32", (1, 2, 4)))
    assert [op.name for op in read_model(tmp_path / "model.tflite").subgraphs[0].ops] == ["WHILE"]
    assert "WHILE" not in [one.view.op.name for one in each_slice(tmp_path / "model.tflite")]
