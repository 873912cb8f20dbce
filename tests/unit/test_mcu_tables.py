"""Rules of the microcontroller targets, and a lint that knows where a tool fails on the whole model."""

import pytest
from mcu_edges import EDGES
from one_op import Case, T, write_model
from one_op_cases import CASES

from tflbuild.targets.common.lint import check_model, lint
from tflbuild.targets.ethos_u.table import U55, U65, U85
from tflbuild.targets.tflm.table import TABLE
from tflbuild.tflite.tflite_reader import read_model


@pytest.fixture
def read(tmp_path):
    def write(*names):
        cases = [{**CASES, **EDGES}[name] if isinstance(name, str) else name for name in names]
        (tmp_path / "model.tflite").write_bytes(write_model(*cases))
        return read_model(tmp_path / "model.tflite")

    return write


def test_edges_are_beside_the_shared_cases():
    assert not set(EDGES) & set(CASES)
    assert len(EDGES) >= 500


@pytest.mark.parametrize(
    ("name", "u55", "u85"),
    [
        ("CONV_2D_int8", True, True),
        ("CONV_2D_float32", False, False),
        ("DEPTHWISE_CONV_2D_int8_stride4", False, True),
        ("REVERSE_V2_int8", False, True),
        ("TOPK_V2_int8", False, False),
        ("RESIZE_BILINEAR_int8_x16", False, True),
        ("RESIZE_BILINEAR_int8_x3", False, False),
        ("BATCH_MATMUL_int16", False, True),
        ("CONCATENATION_int32", False, True),
        ("MAXIMUM_int8_other_scale", False, False),
        ("TRANSPOSE_int32_nchw", False, True),
        ("MEAN_int8_5000", False, False),
    ],
)
def test_what_the_three_take(read, name, u55, u85):
    model = read(name)
    assert [check_model(table, model)[0].taken for table in (U55, U65, U85)] == [u55, u55, u85]


def test_floats_are_told_to_be_quantized(read):
    (judged,) = check_model(U55, read("CONV_2D_float32"))
    assert judged.fix == "quantization=int8"
    assert judged.reason.startswith("taken only where activations are int8, uint8 or int16")


def test_a_model_that_vela_fails_on_does_not_run_at_all(read):
    verdict = lint(U55, read("LOGICAL_NOT"), "ethos_u55")
    assert verdict.runs is False
    assert [one.op for one in verdict.fallbacks] == ["LOGICAL_NOT"]
    assert lint(U85, read("LOGICAL_NOT"), "ethos_u85").runs is True


def test_a_model_with_operators_left_to_the_cpu_does_run(read):
    verdict = lint(U55, read("RELU_int8", "TOPK_V2_int8"), "ethos_u55")
    assert verdict.runs is True
    assert (verdict.ops, verdict.on_delegate, verdict.partitions) == (2, 1, 1)


def test_there_is_nothing_to_leave_an_operator_to_in_a_microcontroller(read):
    verdict = lint(TABLE, read("RELU_int8", "TILE_int8"), "tflm")
    assert verdict.runs is False
    (fallback,) = verdict.fallbacks
    assert (fallback.op, fallback.index, fallback.fix) == ("TILE", 1, "repeat with a concatenation")


def test_what_was_never_tried_is_unknown(read):
    model = read(Case("rfft", "SignalRfft", (T((1, 16), "int16"),), (T((1, 18), "int16"),)))
    verdict = lint(TABLE, model, "tflm")
    assert verdict.runs is None
    assert verdict.on_delegate is None
    assert verdict.unknown == ("SignalRfft: cannot tell whether its kernel takes it: it was not tried",)
