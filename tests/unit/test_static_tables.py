"""Tables of targets that no build machine has: what they take, what not, and in what words."""

import pytest
from planted import planted

from tflbuild.config.schema.recipe_schema import OPTIONS
from tflbuild.config.schema.schema_target import TableTarget
from tflbuild.targets.common.lint import check_model, lint
from tflbuild.targets.support_tables import TABLES

TAKEN = {
    "edgetpu": ["CONV_2D_int8_relu6", "DEPTHWISE_CONV_2D_int8", "MEAN_int8_hw", "FULLY_CONNECTED_int8_batch1"],
    "nnapi": ["CONV_2D_int8", "CONV_2D_float32", "LOGISTIC_int8", "SUM_float32_hw", "QUANTIZE_float32_to_int8"],
    "hexagon": ["CONV_2D_int8", "RELU_int8@2", "RESIZE_BILINEAR_int8_16", "FULLY_CONNECTED_int8_batch3"],
    "coreml": ["CONV_2D_float32", "DEPTHWISE_CONV_2D_float32", "MEAN_float32_hw", "TRANSPOSE_CONV_float32@1"],
}
REFUSED = {
    "edgetpu": {
        "CONV_2D_float32": "taken only where activations are int8 or uint8",
        "CONV_2D_int8_batch2": "taken only where only the 3 innermost dimensions are larger than 1",
        "HARD_SWISH_int8": "Edge TPU has no HARD_SWISH",
        "SOFTMAX_int8_rank4": "taken only where input is one-dimensional, of at most 16000 elements",
        "STRIDED_SLICE_int8": "taken only where every stride is 1",
        "FULLY_CONNECTED_int8_batch3": "taken only where output has one dimension larger than 1",
    },
    "nnapi": {
        "COS_float32": "NNAPI has no COS",
        "ABS_int8": "taken only where input 0 is float32",
        "ADD_float32@4": "taken only where the operator's version is at most 2",
        "CONV_2D_int16": "taken only where activations are float32, float16, int8, uint8, int32 or bool",
    },
    "hexagon": {
        "ADD_float32": "taken only where input 0 is int8 or uint8 and input 1 is int8 or uint8",
        "CONV_2D_int8_stride4": "taken only where stride across is 1 to 3 and stride down is 1 to 3",
        "RELU_int8": "taken only where the operator's version is 2",
        "ADD_int8_rank5": "taken only where activations have at most 4 dimensions",
        "SUM_int8_hw": "Hexagon delegate has no SUM",
    },
    "coreml": {
        "CONV_2D_int8": "taken only where the first input is float32",
        "TRANSPOSE_CONV_float32": "taken only where the operator's version is at most 1",
        "ADD_float32_broadcast_both": (
            "taken only where shapes broadcast in whole: the batch, height with width, or channels"
        ),
        "MEAN_float32_channels": "taken only where dimensions are kept and height and width are reduced",
        "RESHAPE_float32": "taken only where Core ML is 2 and the new shape has 3 or 4 dimensions",
    },
}
UNKNOWN = {"edgetpu": ["TRANSPOSE_int8", "RESIZE_BILINEAR_int8_16"]}


def pairs(cases):
    return [(table, one) for table, names in cases.items() for one in names]


def judged(table, name, version=""):
    (judgement,) = check_model(TABLES[table], planted(name), version)
    return judgement


@pytest.mark.parametrize(("table", "name"), pairs(TAKEN))
def test_taken(table, name):
    found = judged(table, name)
    assert (found.taken, found.reason) == (True, "")


@pytest.mark.parametrize(("table", "name"), pairs(REFUSED))
def test_refused_in_these_words(table, name):
    found = judged(table, name)
    assert (found.taken, found.reason) == (False, REFUSED[table][name])


@pytest.mark.parametrize(("table", "name"), pairs(UNKNOWN))
def test_what_is_not_published_is_unknown(table, name):
    found = judged(table, name)
    assert found.taken is None
    assert found.reason.startswith("cannot tell whether ")
    verdict = lint(TABLES[table], planted(name), "phone")
    assert (verdict.on_delegate, verdict.partitions) == (None, None)
    assert verdict.unknown[0].startswith(name.split("_int8")[0])


@pytest.mark.parametrize(
    ("name", "version", "reason"),
    [
        ("CONV_2D_int8", "1.1", "taken only where input 0 is float32 or uint8 and the kernel has one scale"),
        ("CONV_2D_float32_dilation2", "1.1", "taken only where dilation is 1"),
        ("CONV_2D_float32_dilation2", "1.2", ""),
        ("ABS_float32", "1.1", "ABS is there from NNAPI 1.2"),
        ("PACK_float32", "1.2", "PACK is there from NNAPI 1.3"),
        ("PACK_float32", "1.3", ""),
        ("SPLIT_int8", "1.2", "taken only where input 1 is float32, uint8 or int32"),
        ("SPLIT_int8", "1.3", ""),
        ("ADD_int32", "1.2", "taken only where input 0 is float32, int8 or uint8"),
        ("ADD_int32", "1.3", ""),
        ("FULLY_CONNECTED_int8_rank3", "1.2", "taken only where dimensions are not kept"),
    ],
)
def test_nnapi_by_feature_level(name, version, reason):
    assert judged("nnapi", name, version).reason == reason


def test_core_ml_reshapes_in_its_version_2_alone():
    model = planted("UNPACK_float32")
    assert check_model(TABLES["coreml"], model, "2")[0].reason == "Core ML delegate has no UNPACK"
    assert judged("coreml", "RESHAPE_float32", "2").reason == "taken only where the new shape has 3 or 4 dimensions"


def test_what_is_said_of_a_target_is_told_with_its_verdict():
    assert any("Android 15 deprecated" in note for note in lint(TABLES["nnapi"], planted("RELU_int8"), "x").notes)
    assert any("888" in note for note in lint(TABLES["hexagon"], planted("RELU_int8@2"), "x").notes)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_table_says_where_it_is_from(table):
    assert table.source
    assert table.title
    assert set(table.fixes).isdisjoint(name for name, row in table.rows.items() if not row.rules)


def test_every_profile_of_a_table_names_one():
    """Otherwise `lint_target` would know nothing of the target, and say so of every operator."""
    profiles = [kind for kind in OPTIONS["target"].values() if issubclass(kind, TableTarget)]
    assert profiles and {kind.table for kind in profiles} <= TABLES.keys()
