"""The table of runtimes, and what a model asks of them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_op import write_model
from packed_weights import with_buffers_behind
from runtime_cases import MORE_CASES

from tflbuild.tflite.contents_json import describe_model
from tflbuild.tflite.runtime_evidence import RUNTIMES
from tflbuild.tflite.runtime_features import FILE_FEATURES, count_features
from tflbuild.tflite.runtime_table import (
    LETTERS,
    RuntimeRow,
    find_least_runtime,
    find_newer_features,
    judge_features,
    parse_version,
    read_table,
    write_evidence,
)
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor
from tflbuild.tflite.tflite_reader import OPERATORS, read_model

TABLE = read_table()
KNOWN = [feature for feature, row in TABLE.items() if row.first_runtime]


def test_the_table_covers_the_old_runtimes_in_order():
    assert {"2.7", "2.8", "2.10", "2.13", "2.14"} <= set(RUNTIMES)
    assert list(RUNTIMES) == sorted(RUNTIMES, key=parse_version)
    assert all(list(row.results) == list(RUNTIMES) for row in TABLE.values())


def test_every_row_is_of_an_operator_or_of_the_file_and_right_on_the_newest():
    owners = {feature.split(" ")[0] for feature in TABLE if feature not in FILE_FEATURES}
    assert owners <= set(OPERATORS.values())
    assert set(FILE_FEATURES) <= TABLE.keys() and set(KNOWN) == TABLE.keys()


def test_what_is_written_is_what_is_read():
    text = write_evidence({feature: list(row.results.values()) for feature, row in TABLE.items()})
    from tflbuild.tflite.runtime_evidence import EVIDENCE

    assert text == EVIDENCE.strip()


@pytest.mark.parametrize(
    ("feature", "runtime"),
    [
        ("FULLY_CONNECTED int8, int8/channel, int32 > int8", "2.10"),
        ("FULLY_CONNECTED int8, int32 > int8", "2.5"),
        ("FULLY_CONNECTED float32, int8/channel > float32", "2.16"),
        ("CONV_2D int8, int8/channel, int32 > int8", "2.5"),
        ("buffers behind the flatbuffer", "2.14"),
        ("CONV_2D version 8", "2.15"),
    ],
)
def test_the_first_runtime_is_the_one_from_which_on_all_are_right(feature, runtime):
    assert TABLE[feature].first_runtime == runtime


@pytest.mark.parametrize(("letters", "first"), [("RRRR", "1"), ("w-RR", "3"), ("RRwR", "4"), ("RRR-", "")])
def test_a_runtime_that_is_right_before_one_that_is_not_does_not_count(letters, first):
    results = {str(place): LETTERS[letter] for place, letter in enumerate(letters, 1)}
    assert RuntimeRow("x", results).first_runtime == first


def test_the_result_on_a_runtime_is_that_of_the_newest_before_it():
    row = TABLE["FULLY_CONNECTED int8, int8/channel, int32 > int8"]
    assert [row.result_on(runtime) for runtime in ("2.4", "2.8", "2.9.3", "2.10", "3.0")] == [
        *("", "wrong", "wrong", "right", "right")
    ]


@given(st.lists(st.sampled_from(KNOWN)))
def test_the_least_runtime_has_them_all_and_is_one_of_theirs(features):
    needs = judge_features(dict.fromkeys(features, 1))
    least = find_least_runtime(needs)
    assert all(parse_version(need.runtime) <= parse_version(least) for need in needs)
    assert least in [need.runtime for need in needs] or not needs


def test_versions_compare_as_numbers():
    assert parse_version("2.9") < parse_version("2.14") == parse_version("2.14.0") < parse_version("2.14.4")


def tensor(type, constant=False, scales=(), **more):
    return Tensor("tensor", type, (1, 4), 4, constant, scales, (0,) * len(scales), 0, **more)


def features_of(*tensors, name="FULLY_CONNECTED", version=1, custom=False):
    """Of an operator between these tensors, the last of which it gives; None is an input left out."""
    stored = [one for one in tensors if one is not None]
    places = [-1 if one is None else stored.index(one) for one in tensors]
    op = Operator(name, version, custom, tuple(places[:-1]), (places[-1],))
    return list(count_features(Model(1, (Subgraph("main", tuple(stored), (op,), (), ()),), ())))


REAL, QUANTIZED = tensor("float32"), tensor("int8", scales=(0.5,))
WEIGHTS = tensor("int8", constant=True, scales=(0.5, 0.25))


@pytest.mark.parametrize(
    ("tensors", "types"),
    [
        ((REAL, REAL, REAL), "float32 > float32"),
        ((REAL, replace(REAL, constant=True), None, REAL), "float32 > float32"),
        ((QUANTIZED, WEIGHTS, tensor("int32", True, (0.5, 0.25)), QUANTIZED), "int8, int8/channel, int32 > int8"),
        ((QUANTIZED, replace(WEIGHTS, scales=(0.5,)), QUANTIZED), "int8 > int8"),
        ((REAL, tensor("int4", constant=True, block=32), REAL), "float32, int4/block > float32"),
        ((REAL, replace(REAL, constant=True, sparse=True), REAL), "float32, float32/sparse > float32"),
    ],
)
def test_an_operator_has_its_types_and_its_version(tensors, types):
    assert features_of(*tensors, version=4) == [f"FULLY_CONNECTED {types}", "FULLY_CONNECTED version 4"]


def test_a_custom_operator_has_no_feature_even_under_a_builtins_name():
    assert features_of(REAL, REAL, custom=True) == []


def test_the_file_has_features_of_its_own():
    free = Tensor("free", "float32", (-1, 4), 4, False, (), (), 0)
    graph = Subgraph("main", (free,), (), (0,), ())
    signatures = tuple(SignatureDef(key, 0, {}, {}) for key in "ab")
    assert list(count_features(Model(1, (graph,), signatures, buffers_behind=True))) == sorted(FILE_FEATURES)


def describe(tmp_path, model):
    path = tmp_path / "model.tflite"
    path.write_bytes(model)
    return describe_model(read_model(path))


def test_the_least_runtime_of_a_file_comes_with_the_features_that_decide(tmp_path):
    plain = write_model(MORE_CASES["FULLY_CONNECTED_int8_int8_int32"])
    assert describe(tmp_path, plain)["least_runtime"] == "2.5"
    channels = describe(tmp_path, write_model(MORE_CASES["FULLY_CONNECTED_int8_int8_channels_int32"]))
    assert channels["least_runtime"] == "2.10"
    decisive = [entry["feature"] for entry in channels["features"] if entry["runtime"] == "2.10"]
    assert decisive == ["FULLY_CONNECTED int8, int8/channel, int32 > int8"]
    assert describe(tmp_path, with_buffers_behind(plain))["least_runtime"] == "2.14"


def test_one_scale_for_each_tensor_is_the_way_out_where_that_is_older(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(write_model(MORE_CASES["FULLY_CONNECTED_int8_int8_channels_int32"]))
    (text,) = find_newer_features(read_model(path), "2.8")
    assert text == (
        "FULLY_CONNECTED int8, int8/channel, int32 > int8 needs TFLite 2.10, opset.max_runtime is 2.8, which computes"
        " it wrongly (quantization.granularity=per_tensor gives what it runs right)"
    )
    assert list(find_newer_features(read_model(path), "2.10")) == []
    assert all(
        "is older than all" in text and "per_tensor" not in text
        for text in find_newer_features(read_model(path), "2.4")
    )


def test_what_was_not_tried_is_listed_without_a_runtime(tmp_path):
    found = describe(tmp_path, write_model(replace(MORE_CASES["FULLY_CONNECTED_int8_int8_int32"], version=99)))
    assert {"feature": "FULLY_CONNECTED version 99", "count": 1, "runtime": ""} in found["features"]
    assert found["operator_versions"] == [{"name": "FULLY_CONNECTED", "version": 99, "count": 1}]
