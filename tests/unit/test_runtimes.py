import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflbuild.core.model import Model, Op, Subgraph, Tensor
from tflbuild.workers.contents import describe_model
from tflbuild.workers.flatbuffer import OPERATORS
from tflbuild.workers.runtimes import BY_TYPE, FIRST, first_runtime, least_runtime, needed_version, parse

KNOWN = [
    (operator, version)
    for operator, text in FIRST.items()
    for version, first in enumerate(text.split(), 1)
    if first != "-"
]


@pytest.mark.parametrize(
    ("operator", "version", "runtime"),
    [
        ("CONV_2D", 1, "1.5"),
        ("CONV_2D", 8, "2.15"),
        ("BROADCAST_TO", 1, ""),
        ("BROADCAST_TO", 2, "2.5"),
        ("TRANSPOSE", 7, "2.14.4"),
        ("CONV_2D", 9, ""),
        ("CONV_2D", 0, ""),
        ("NO_SUCH_OPERATOR", 1, ""),
    ],
)
def test_a_version_has_its_first_runtime_or_none_that_is_known(operator, version, runtime):
    assert first_runtime(operator, version) == runtime


def test_every_operator_is_one_that_the_schema_has():
    assert FIRST.keys() <= set(OPERATORS.values())


def test_operators_stand_in_order():
    assert list(FIRST) == sorted(FIRST)


@pytest.mark.parametrize("operator", FIRST)
def test_a_later_version_never_came_with_an_earlier_runtime(operator):
    firsts = [parse(first) for first in FIRST[operator].split() if first != "-"]
    assert firsts == sorted(firsts)


@given(st.lists(st.sampled_from(KNOWN)))
def test_the_least_runtime_has_them_all_and_is_one_of_theirs(operators):
    needed = [first_runtime(*one) for one in operators]
    least = least_runtime(operators)
    assert all(parse(one) <= parse(least) for one in needed)
    assert least in needed or not needed


def test_versions_compare_as_numbers():
    assert least_runtime([("CONV_2D", 6), ("RANGE", 2), ("IF", 1)]) == "2.14"
    assert [first_runtime(*pair) for pair in (("CONV_2D", 6), ("RANGE", 2), ("IF", 1))] == ["2.9", "2.14", "1.15"]
    assert parse("2.14") == parse("2.14.0") < parse("2.14.4")


def test_nothing_known_needs_nothing_known():
    assert least_runtime([]) == least_runtime([("CONV_2D", 99), ("NO_SUCH_OPERATOR", 1)]) == ""


def test_what_is_unknown_takes_nothing_from_what_is_known():
    assert least_runtime([("CONV_2D", 99), ("CONV_2D", 3)]) == "1.14"


def operator(name, version, custom=False):
    return Op(name, version, custom, (), ())


def contents(*graphs):
    """Of a model with these operators in its subgraphs."""
    made = tuple(Subgraph(f"graph {place}", (), tuple(ops), (), ()) for place, ops in enumerate(graphs))
    return describe_model(Model(bytes=1, subgraphs=made, signatures=(), min_runtime="1.5.0"))


def test_contents_count_versions_over_all_subgraphs_by_name_then_version():
    once, twice = operator("CONV_2D", 8), operator("CONV_2D", 3)
    found = contents([twice, operator("WHILE", 1)], [twice, operator("ADD", 1), once])
    assert [tuple(entry.values()) for entry in found["operator_versions"]] == [
        ("ADD", 1, 1, "1.5"),
        ("CONV_2D", 3, 2, "1.14"),
        ("CONV_2D", 8, 1, "2.15"),
        ("WHILE", 1, 1, "1.15"),
    ]
    assert list(found["operator_versions"][0]) == ["name", "version", "count", "runtime"]
    assert found["operators"] == {"ADD": 1, "CONV_2D": 3, "WHILE": 1}


def test_the_least_runtime_is_computed_and_what_the_converter_wrote_stands_beside_it():
    found = contents([operator("ADD", 1)], [operator("CONV_2D", 8)])
    assert (found["least_runtime"], found["min_runtime"]) == ("2.15", "1.5.0")


def test_custom_and_flex_operators_are_listed_without_a_runtime_whatever_their_names():
    ops = [operator("FlexErf", 1, custom=True), operator("CONV_2D", 8, custom=True), operator("ADD", 99)]
    found = contents(ops)
    assert [(entry["name"], entry["runtime"]) for entry in found["operator_versions"]] == [
        ("ADD", ""),
        ("CONV_2D", ""),
        ("FlexErf", ""),
    ]
    assert (found["flex_operators"], found["custom_operators"]) == (["FlexErf"], ["CONV_2D"])
    assert found["least_runtime"] == ""


@pytest.mark.parametrize(
    ("operator", "stated", "kinds", "needed"),
    [
        ("CONV_2D", 1, [], 1),
        ("CONV_2D", 1, ["int8"], 3),
        ("CONV_2D", 5, ["int8"], 5),
        ("FULLY_CONNECTED", 1, ["hybrid", "hybrid per channel"], 12),
        ("RESHAPE", 1, ["int8"], 1),
    ],
)
def test_an_operator_needs_what_its_types_need_whatever_the_file_states(operator, stated, kinds, needed):
    assert needed_version(operator, stated, kinds) == needed


@pytest.mark.parametrize("kind", BY_TYPE)
def test_every_version_that_a_type_needs_has_a_runtime(kind):
    unknown = {(op, version) for op, version in BY_TYPE[kind].items() if not first_runtime(op, version)}
    assert unknown <= {("LSTM", 5), ("UNIDIRECTIONAL_SEQUENCE_LSTM", 5)}


@pytest.mark.parametrize("kind", BY_TYPE)
def test_every_operator_of_a_type_is_one_that_the_schema_has(kind):
    assert BY_TYPE[kind].keys() <= set(OPERATORS.values())


def tensor(type, constant=False, scales=(0.5,), state=False):
    return Tensor("tensor", type, (1, 4), 4, constant, scales, (0,) * len(scales), 0, state)


def version_needed(name, *tensors, stated=1, custom=False):
    """Of an operator between these tensors, the last of which it gives."""
    *inputs, output = range(len(tensors))
    op = Op(name, stated, custom, tuple(inputs), (output,))
    graph = Subgraph("main", tensors, (op,), (), ())
    (found,) = describe_model(Model(bytes=1, subgraphs=(graph,), signatures=()))["operator_versions"]
    return found["version"]


REAL, PLAIN = tensor("float32", scales=()), tensor("int32", scales=())
WEIGHTS, CHANNELS = tensor("int8", constant=True), tensor("int8", constant=True, scales=(0.5, 0.25))


@pytest.mark.parametrize(
    ("tensors", "version"),
    [
        ((REAL, tensor("float32", constant=True, scales=()), REAL), 1),
        ((REAL, WEIGHTS, REAL), 3),
        ((REAL, CHANNELS, REAL), 12),
        ((tensor("int8"), CHANNELS, tensor("int32", constant=True), tensor("int8")), 4),
        ((tensor("int16"), CHANNELS, tensor("int64", constant=True), tensor("int16")), 7),
        ((tensor("int16"), CHANNELS, tensor("int32", constant=True), tensor("int16")), 11),
        ((tensor("int8"), tensor("int4", constant=True), tensor("int8")), 10),
        ((tensor("int8", scales=()), PLAIN), 1),
    ],
)
def test_the_tensors_of_an_operator_tell_its_version(tensors, version):
    assert version_needed("FULLY_CONNECTED", *tensors) == version
    assert version_needed("FULLY_CONNECTED", *tensors, stated=99) == 99


def test_the_state_of_an_int8_lstm_makes_it_no_int16_one():
    name, cell = "UNIDIRECTIONAL_SEQUENCE_LSTM", tensor("int16", state=True)
    assert version_needed(name, tensor("int8"), WEIGHTS, cell, tensor("int8")) == 1
    assert version_needed(name, tensor("int16"), WEIGHTS, cell, tensor("int16")) == 5


def test_a_custom_operator_has_the_version_that_it_states_even_under_a_builtins_name():
    int8 = (tensor("int8"), WEIGHTS, tensor("int8"))
    assert version_needed("FULLY_CONNECTED", *int8) == 4
    assert version_needed("FULLY_CONNECTED", *int8, custom=True) == 1
