"""What a target leaves out of a whole model: partitions from the start alone, the largest, those of some size."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_op_cases import CASES
from planted import planted

from tflbuild.targets.common.lint import APART, apply_model_rules, check_model, count_partitions, lint
from tflbuild.targets.common.rules import SupportTable, each_view, row
from tflbuild.targets.support_tables import TABLES
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor

TAKES_RELU = SupportTable(name="relu", title="the relu unit", source="made up", rows={"RELU": row()})
RELU, TANH = "RELU_float32", "TANH_float32"
AFTER = "comes after TANH (TANH_float32/out0), which stays on the CPU"


def chain(table, *names):
    verdict = lint(table, planted(*names), "x")
    return verdict, {one.index: one.reason for one in verdict.fallbacks}


def test_one_partition_ends_at_the_first_operator_that_stays():
    table = dataclasses.replace(TAKES_RELU, one_partition=True)
    verdict, reasons = chain(table, RELU, RELU, TANH, RELU, RELU)
    assert (verdict.on_delegate, verdict.partitions, verdict.runs) == (2, 1, True)
    assert reasons == {2: "the relu unit has no TANH", 3: AFTER, 4: AFTER}


def test_many_partitions_are_the_rule():
    verdict, reasons = chain(TAKES_RELU, RELU, RELU, TANH, RELU, RELU)
    assert (verdict.on_delegate, verdict.partitions) == (4, 2)
    assert list(reasons) == [2]


def test_an_operator_that_passes_does_not_end_the_partition():
    table = dataclasses.replace(TAKES_RELU, one_partition=True, passes=("TANH",))
    verdict, reasons = chain(table, TANH, RELU, RELU)
    assert (verdict.on_delegate, verdict.partitions, list(reasons)) == (2, 1, [0])
    verdict, reasons = chain(table, "ABS_float32", TANH, RELU)
    assert (verdict.on_delegate, list(reasons)) == (0, [0, 1, 2])
    assert reasons[2] == "comes after ABS (ABS_float32/out0), which stays on the CPU"


def test_what_comes_after_an_unknown_operator_is_unknown():
    table = dataclasses.replace(TAKES_RELU, one_partition=True, complete=False)
    verdict, reasons = chain(table, RELU, TANH, RELU)
    assert reasons == {}
    assert verdict.unknown == (
        "TANH: the rules for the relu unit say nothing about TANH",
        "RELU: comes after TANH (TANH_float32/out0), which may stay on the CPU",
    )


def test_a_small_partition_stays():
    table = dataclasses.replace(TAKES_RELU, fewest=2)
    verdict, reasons = chain(table, RELU, TANH, RELU, RELU)
    assert (verdict.on_delegate, verdict.partitions) == (2, 1)
    assert reasons[0] == "the relu unit takes no partition of less than 2 operators"


def test_the_largest_partitions_are_taken():
    table = dataclasses.replace(TAKES_RELU, most=1)
    verdict, reasons = chain(table, RELU, TANH, RELU, RELU)
    assert (verdict.on_delegate, verdict.partitions) == (2, 1)
    assert reasons[0] == APART


def tensor(name, type="float32", constant=False, shape=(1, 4, 4, 2)):
    return Tensor(name, type, shape, 32, constant, (), (), 0)


def float16_conv():
    tensors = (
        tensor("in"),
        tensor("kernel16", "float16", True, (2, 3, 3, 2)),
        tensor("kernel", shape=(2, 3, 3, 2)),
        tensor("bias", constant=True, shape=(2,)),
        tensor("out"),
        tensor("relu"),
    )
    ops = (
        Operator("DEQUANTIZE", 1, False, (1,), (2,)),
        Operator("CONV_2D", 1, False, (0, 2, 3), (4,), options={"strideW": 1}),
        Operator("RELU", 1, False, (4,), (5,)),
    )
    return Model(0, (Subgraph("main", tensors, ops, (0,), (5,)),), ())


def test_weights_stored_as_float16_are_constant_to_a_delegate_that_reads_them():
    verdict = lint(TABLES["coreml"], float16_conv(), "phone")
    assert (verdict.on_delegate, verdict.partitions, verdict.fallbacks) == (3, 1, ())
    other = dataclasses.replace(TABLES["coreml"], float16_weights=False, fewest=1)
    reasons = [one.reason for one in lint(other, float16_conv(), "phone").fallbacks]
    assert reasons == ["Core ML delegate has no DEQUANTIZE", "taken only where the kernel is constant"]


PLANTED = {
    "edgetpu": (
        ("QUANTIZE_float32_to_int8", "CONV_2D_int8_relu6", "HARD_SWISH_int8", "CONV_2D_int8"),
        {
            0: ("QUANTIZE", "QUANTIZE_float32_to_int8/out0", "activations are int8 or uint8"),
            2: ("HARD_SWISH", "HARD_SWISH_int8/out0", "Edge TPU has no HARD_SWISH"),
            3: ("CONV_2D", "CONV_2D_int8/out0", "comes after HARD_SWISH (HARD_SWISH_int8/out0)"),
        },
        1,
    ),
    "nnapi": (
        ("RELU_float32", "COS_float32", "RELU6_float32", "CONV_2D_float32"),
        {1: ("COS", "COS_float32/out0", "NNAPI has no COS")},
        2,
    ),
    "hexagon": (
        ("RELU6_int8", "LOGISTIC_int8", "ABS_int8", "CONV_2D_int8_stride4", "TANH_int8", "TANH_int8"),
        {
            2: ("ABS", "ABS_int8/out0", "Hexagon delegate has no ABS"),
            3: ("CONV_2D", "CONV_2D_int8_stride4/out0", "stride across is 1 to 3"),
        },
        2,
    ),
    "coreml": (
        ("RELU_float32", "TANH_float32", "LEAKY_RELU_float32", "CONV_2D_float32"),
        {
            2: ("LEAKY_RELU", "LEAKY_RELU_float32/out0", "Core ML delegate has no LEAKY_RELU"),
            3: ("CONV_2D", "CONV_2D_float32/out0", "takes no partition of less than 2 operators"),
        },
        1,
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_operator_layer_and_reason_are_named(name):
    cases, expected, partitions = PLANTED[name]
    verdict = lint(TABLES[name], planted(*cases), "device")
    assert {one.index for one in verdict.fallbacks} == set(expected)
    for one in verdict.fallbacks:
        op, layer, reason = expected[one.index]
        assert (one.op, one.layer) == (op, layer)
        assert reason in one.reason
    assert verdict.partitions == partitions
    assert verdict.on_delegate == len(cases) - len(expected)


NAMES = sorted(CASES)
CHAINS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6)
VERSIONS = {"nnapi": ("1.0", "1.1", "1.2", "1.3"), "coreml": ("2", "3")}


@pytest.mark.parametrize("name", sorted(TABLES))
@settings(max_examples=120, deadline=None)
@given(names=CHAINS, data=st.data())
def test_any_model_gets_a_sane_verdict(name, names, data):
    table, model = TABLES[name], planted(*names)
    version = data.draw(st.sampled_from(VERSIONS.get(name, ("",))))
    verdict = lint(table, model, "device", version)
    assert verdict.ops == len(names)
    if verdict.on_delegate is None:
        assert verdict.unknown
        assert verdict.partitions is None
    else:
        assert verdict.on_delegate + len(verdict.fallbacks) == len(names)
        assert (verdict.partitions == 0) == (verdict.on_delegate == 0)
        assert verdict.partitions <= min(verdict.on_delegate, len(verdict.fallbacks) + 1)
        assert not table.one_partition or verdict.partitions <= 1
    for one in verdict.fallbacks:
        assert one.reason
        assert one.layer


@settings(max_examples=60, deadline=None)
@given(names=CHAINS, bits=st.lists(st.booleans(), min_size=6, max_size=6))
def test_partitions_of_a_chain_are_its_runs(names, bits):
    model = planted(*names)
    taken = {(0, view.index) for view in each_view(model) if bits[view.index]}
    runs = sum(1 for at in range(len(names)) if bits[at] and (at == 0 or not bits[at - 1]))
    assert count_partitions(model, taken) == runs


@settings(max_examples=60, deadline=None)
@given(names=CHAINS)
def test_settling_only_ever_takes_away(names):
    model = planted(*names)
    for table in TABLES.values():
        before = check_model(table, model)
        after = apply_model_rules(table, model, before)
        assert [one.view for one in after] == [one.view for one in before]
        assert all(was.taken or not now.taken for was, now in zip(before, after, strict=True))
