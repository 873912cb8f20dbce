"""Entries of a profile and the layers that they stand for."""

import pytest

from tflbuild.steps.benchmarking.op_profile import DELEGATED, OPERATOR, kind_of, middle_mean, pieces_of, trace
from tflbuild.tflite.delegate_partitions import DelegatePlacement
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor


def model(*names):
    tensors = tuple(Tensor(f"layer{place}", "float32", (1,), 1, False, (), (), 0) for place in range(len(names)))
    ops = tuple(Operator(name, 1, False, (), (place,)) for place, name in enumerate(names))
    return Model(1, (Subgraph("main", tensors, ops, (), ()),), ())


def delegated(number, tag, us=1.0):
    return [DELEGATED, tag, number, 0, us]


def own(index, name, us=1.0):
    return [OPERATOR, name, index, 0, us]


def test_as_many_of_a_kind_are_the_same_ones_in_order():
    made = model("CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX", "CONV_2D")
    events = [
        delegated(0, "Convolution (NHWC, F32) IGEMM", 6.0),
        delegated(1, "Convolution (NHWC, F32) DWConv", 2.0),
        own(2, "SOFTMAX"),
        delegated(0, "Fully Connected (NC, F32) GEMM"),
    ]
    found = trace(events, made, DelegatePlacement(((0, 1), (3,)), (2,), ()))
    assert [(one.op, one.layer) for one in found] == [
        ("CONV_2D", "layer0"),
        ("DEPTHWISE_CONV_2D", "layer1"),
        ("SOFTMAX", "layer2"),
        ("CONV_2D", "layer3"),
    ]
    assert [one.percent for one in found] == [60.0, 20.0, 10.0, 10.0]
    assert [one.delegate for one in found] == [True, True, False, True]


def test_what_was_added_has_no_layer_and_takes_none_away():
    made = model("FULLY_CONNECTED", "RESHAPE")
    events = [
        delegated(0, "Convert (NC, F32, QD8)"),
        delegated(1, "Fully Connected (NC, QD8, F32, QC8W) GEMM"),
        delegated(2, "Static Reshape (NC)"),
        delegated(3, "Static Reshape (NC)"),
    ]
    found = trace(events, made, DelegatePlacement(((0, 1),), (), ()))
    assert [one.layer for one in found] == ["", "layer0", "", ""]


def test_other_numbers_of_pieces_leave_all_of_them_untraced():
    made = model("ABS", "NEG")
    events = [delegated(0, "Abs (NC)"), delegated(0, "Negate (NC)")]
    assert pieces_of(events) == [[0], [1]]
    assert [one.layer for one in trace(events, made, DelegatePlacement(((0, 1),), (), ()))] == ["", ""]
    assert [one.layer for one in trace(events, made, None)] == ["", ""]


def test_another_partition_than_the_interpreters_leaves_all_untraced():
    made = model("ABS", "NEG")
    events = [delegated(0, "Abs (NC)"), own(1, "NEG")]
    assert [one.layer for one in trace(events, made, DelegatePlacement(((0,),), (1,), ()))] == ["layer0", "layer1"]
    assert [one.layer for one in trace(events, made, DelegatePlacement(((0, 1),), (), ()))] == ["", "layer1"]


def test_operators_of_other_subgraphs_keep_their_names_only_where_they_exist():
    (found,) = trace([[OPERATOR, "ADD", 0, 7, 1.0]], model("ABS"), None)
    assert (found.kernel, found.op, found.layer) == ("ADD", "", "")


def test_the_kind_is_what_stands_before_the_types():
    assert kind_of("Batch Matrix Multiply (NC, F32)") == ("BATCH_MATMUL",)
    assert kind_of("Fuse Dims (NC)") == ()


def test_an_interrupted_run_does_not_count():
    assert middle_mean([5, 5, 6, 6, 5, 6, 5, 3000]) == pytest.approx(5.5)
    assert middle_mean([7]) == 7
