import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    least = least_runtime(needed)
    assert all(parse(one) <= parse(least) for one in needed)
    assert least in needed or not needed


def test_versions_compare_as_numbers():
    assert least_runtime(["2.9", "2.14", "1.15"]) == "2.14"
    assert parse("2.14") == parse("2.14.0") < parse("2.14.4")


def test_nothing_known_needs_nothing_known():
    assert least_runtime([]) == least_runtime(["", ""]) == ""


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
    assert unknown <= {("UNIDIRECTIONAL_SEQUENCE_LSTM", 5)}
