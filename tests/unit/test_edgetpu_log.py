"""The log of edgetpu_compiler: what it tells, and which layers it means."""

import edgetpu_logs as logs
import pytest
from planted import planted

from tflbuild.targets.common.lint import lint
from tflbuild.targets.edgetpu.compiler_log import MAPPED, SECOND_SUBGRAPH, name_layers, read_log
from tflbuild.targets.edgetpu.table import TABLE

UNSPECIFIED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
CHAIN = ("CONV_2D_int8_relu6", "RELU_int8", "HARD_SWISH_int8", "CONV_2D_int8", "RELU_int8_rank3")
ROWS = (
    ("CONV_2D", 1, MAPPED),
    ("CONV_2D", 1, SECOND_SUBGRAPH),
    ("RELU", 1, MAPPED),
    ("RELU", 1, SECOND_SUBGRAPH),
    ("HARD_SWISH", 1, "Operation not supported"),
)


def named(log, *names, compiled=None):
    model = planted(*names)
    return name_layers(read_log(log), model, compiled, lint(TABLE, model, "tpu").fallbacks)


def test_all_mapped():
    report = read_log(logs.log(("CONV_2D", 2, MAPPED), ("RELU", 1, MAPPED), on_chip="1.50MiB", off_chip="23.40MiB"))
    assert report.compiled
    assert (report.version, report.on_tpu(), report.subgraphs, report.ops) == (logs.VERSION, 3, 1, 3)
    assert report.figures == {"on_chip_bytes": 1572864, "on_chip_left_bytes": 6333399, "off_chip_bytes": 24536678}


def test_the_table_may_be_told_twice():
    text = logs.log(*ROWS)
    report = read_log(f"{text}\n{text}")
    assert (report.on_tpu(), len(report.rows)) == (2, 5)


@pytest.mark.parametrize(
    ("text", "error", "late"),
    [
        (logs.CRASHED, "Internal compiler error. Aborting!", False),
        (logs.UNQUANTIZED, "Invalid model: model.tflite; Model not quantized", False),
        (logs.LATE, "", True),
        ("", "", False),
    ],
)
def test_what_came_of_nothing(text, error, late):
    report = read_log(text)
    assert (report.compiled, report.error, report.late) == (False, error, late)


def test_layers_are_those_that_the_compiled_model_still_has():
    found = named(logs.log(*ROWS), *CHAIN, compiled=planted("HARD_SWISH_int8", "CONV_2D_int8", "RELU_int8_rank3"))
    assert [(one.op, one.layer, one.index) for one in found] == [
        ("HARD_SWISH", "HARD_SWISH_int8/out0", 2),
        ("CONV_2D", "CONV_2D_int8/out0", 3),
        ("RELU", "RELU_int8_rank3/out0", 4),
    ]
    assert found[0].reason == "edgetpu_compiler: Operation not supported (Edge TPU has no HARD_SWISH)"
    assert found[0].fix == "relu6"
    assert found[1].reason.startswith(f"edgetpu_compiler: {SECOND_SUBGRAPH} (comes after HARD_SWISH")


def test_layers_are_those_that_the_rules_refuse_where_the_compiled_model_tells_nothing():
    found = named(logs.log(*ROWS), *CHAIN, compiled=planted("TANH_int8"))
    assert [one.layer for one in found] == ["HARD_SWISH_int8/out0", "CONV_2D_int8/out0", "RELU_int8_rank3/out0"]


def test_a_layer_is_left_open_where_nothing_tells_it():
    rows = (("RELU", 1, MAPPED), ("RELU", 1, UNSPECIFIED), ("TANH", 1, MAPPED))
    (found,) = named(logs.log(*rows), "RELU_int8", "TANH_int8", "RELU_int8_rank3")
    assert (found.op, found.layer, found.index) == ("RELU", "", -1)
    assert found.reason == f"edgetpu_compiler: {UNSPECIFIED} (1 of 2; it does not say which)"


def test_all_of_a_name_are_named_without_help():
    rows = (("RELU", 1, MAPPED), ("TRANSPOSE", 1, UNSPECIFIED))
    (found,) = named(logs.log(*rows), "RELU_int8", "TRANSPOSE_int8")
    assert (found.layer, found.reason) == ("TRANSPOSE_int8/out0", f"edgetpu_compiler: {UNSPECIFIED}")
