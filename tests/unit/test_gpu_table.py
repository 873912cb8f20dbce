"""The GPU's table: what it says of operators, and what the linter makes of it."""

import pytest
from one_op import write_model
from one_op_cases import CASES
from one_op_edges import EDGES
from packed_weights import lstm, packed

from tflbuild.targets.common.lint import APART, check_model, lint
from tflbuild.targets.gpu.measured_runs import CRASHED, DISAGREEMENTS, SILENTLY_WRONG
from tflbuild.targets.gpu.table import ABSENT, TABLE
from tflbuild.tflite.tflite_reader import read_model

ALL = {**CASES, **EDGES}


@pytest.fixture
def judged(tmp_path):
    """Judgements of the operators of a file."""

    def ask(data):
        path = tmp_path / "model.tflite"
        path.write_bytes(data)
        return check_model(TABLE, read_model(path))

    return ask


@pytest.mark.parametrize(
    ("name", "taken", "words"),
    [
        ("CONV_2D_float32", True, ""),
        ("CONV_2D_int8", True, ""),
        ("CONV_2D_int16", False, "input 0 is float32, int8 or uint8"),
        ("CONV_2D_float32_tanh", False, "wrong results"),
        ("CONV_2D_float32_groups2", False, "no groups"),
        ("CONV_2D_float32_moving_bias", False, "end the app's process"),
        ("LOGISTIC_rank5", False, "at most 4 dimensions"),
        ("L2_NORMALIZATION_float32", False, "has no L2_NORMALIZATION"),
        ("FULLY_CONNECTED_rank4_flattened", False, "row of weights"),
        ("FULLY_CONNECTED_rank4_point", True, ""),
        ("SOFTMAX_float32_rank1", False, "at least 2 dimensions"),
        ("STRIDED_SLICE_shrink", False, "no axis is dropped"),
        ("STRIDED_SLICE_backwards", False, "steps go forward"),
        ("BATCH_MATMUL_float32_broadcast", False, "same batches"),
        ("BATCH_MATMUL_float32_stored_rank2_heads", True, ""),
        ("ADD_int32_stored", False, "does not compile"),
        ("ADD_int32_stored_scalar", True, ""),
        ("SUM_int16_wide", False, "share one scale"),
        ("PAD_batch", False, "first dimension is not padded"),
        ("CUMSUM_float32_exclusive", False, "not exclusive"),
        ("PRELU_alpha_pixels", False, "one value a channel"),
    ],
)
def test_an_operator_is_judged_with_its_reason(judged, name, taken, words):
    (one,) = judged(write_model(ALL[name]))
    assert one.taken is taken
    assert words in one.reason


def test_float16_weights_are_as_good_as_stored_ones(judged):
    assert [one.taken for one in judged(packed(write_model(CASES["CONV_2D_float32"]), "float16"))] == [True] * 3


def test_weights_of_8_bits_behind_a_dequantize_are_none_for_a_dense_layer(judged):
    found = judged(packed(write_model(CASES["FULLY_CONNECTED_float32_batch1"]), "int8", least_rank=2))
    assert [(one.view.op.name, one.taken) for one in found] == [("DEQUANTIZE", False), ("FULLY_CONNECTED", False)]
    assert "float16" in found[1].fix


@pytest.mark.parametrize(("name", "runs"), [("CONV_2D_float32_moving_bias", False), ("ARG_MIN_float32", True)])
def test_what_stops_the_whole_artifact_is_told_from_what_is_left_to_the_cpu(tmp_path, name, runs):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(ALL[name]))
    verdict = lint(TABLE, read_model(path), "gpu")
    assert verdict.runs is runs and len(verdict.fallbacks) == 1


def test_a_state_is_refused(judged):
    (one,) = judged(lstm())
    assert one.taken is False and "unroll" in one.fix


def test_what_was_never_tried_is_unknown(judged, tmp_path):
    assert not TABLE.complete and "SVDF" not in TABLE.rows and "SVDF" not in TABLE.absent
    for name in TABLE.absent:
        assert name not in TABLE.rows


def test_only_the_largest_piece_runs_there(tmp_path):
    path = tmp_path / "model.tflite"
    names = ("RELU_float32", "L2_NORMALIZATION_rank4", "TANH_float32", "EXP_float32")
    path.write_bytes(write_model(*(ALL[name] for name in names)))
    verdict = lint(TABLE, read_model(path), "gpu")
    assert (verdict.ops, verdict.on_delegate, verdict.partitions) == (4, 2, 1)
    assert [(one.op, one.index) for one in verdict.fallbacks] == [("RELU", 0), ("L2_NORMALIZATION", 1)]
    assert verdict.fallbacks[0].reason == APART and "rsqrt" in verdict.fallbacks[1].fix


def test_disagreements_are_cases_and_say_why():
    for listed in (DISAGREEMENTS, SILENTLY_WRONG, CRASHED):
        assert set(listed) <= set(ALL)
        assert all(listed.values())
    assert not set(SILENTLY_WRONG) & set(CRASHED)


def test_the_edges_are_other_cases():
    assert not set(CASES) & set(EDGES)
    assert len(EDGES) >= 600


def test_the_table_says_where_it_is_from():
    assert "2.3.0" in TABLE.source and "2.3.0" in TABLE.checked
    assert {name for name, fix in ABSENT.items() if fix} == set(TABLE.fixes)
