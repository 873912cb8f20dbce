"""Which operator gets which scheme: the order of upgrades."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tflbuild.search.scheme_assignment import (
    SchemeOption,
    damage_removed_per_byte,
    list_efficient_options,
    make_chain,
    upgrade,
)

NUMBERS = st.floats(0, 1e6, allow_nan=False)
OPTIONS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6).map(
    lambda pairs: [SchemeOption(f"s{index}", cost, damage) for index, (cost, damage) in enumerate(pairs)]
)
OPERATORS = st.dictionaries(st.text("abc", min_size=1, max_size=3), OPTIONS, min_size=1, max_size=6)


def options(**pairs):
    return [SchemeOption(name, *pair) for name, pair in pairs.items()]


@given(OPTIONS)
def test_a_hull_starts_with_the_cheapest_and_ends_with_the_least_damage(given_options):
    found = list_efficient_options(given_options)
    assert found[0].cost == min(option.cost for option in given_options)
    assert found[-1].damage == min(option.damage for option in given_options)


@given(OPTIONS)
def test_along_a_hull_each_byte_is_worth_less(given_options):
    found = list_efficient_options(given_options)
    worths = [damage_removed_per_byte(low, high) for low, high in pairwise(found)]
    assert worths == sorted(worths, reverse=True)
    assert all(low.cost < high.cost and low.damage > high.damage for low, high in pairwise(found))


@given(OPERATORS)
def test_every_upgrade_costs_something_and_removes_damage(operators):
    known = {name: {option.scheme: option for option in each} for name, each in operators.items()}
    start, upgrades = make_chain(operators)

    def total(assignment):
        chosen = [known[name][scheme] for name, scheme in assignment.items()]
        return sum(option.cost for option in chosen), sum(option.damage for option in chosen)

    totals = [total(upgrade(start, upgrades[:count])) for count in range(len(upgrades) + 1)]
    assert all(a[0] <= b[0] and a[1] >= b[1] for a, b in pairwise(totals))
    assert (
        totals[-1][1] == total({name: list_efficient_options(each)[-1].scheme for name, each in operators.items()})[1]
    )


def test_what_removes_most_damage_for_a_byte_is_made_first():
    operators = {
        "small": options(int8=(100, 8.0), float32=(400, 0.0)),
        "large": options(int8=(1000, 8.0), float32=(4000, 0.0)),
    }
    start, upgrades = make_chain(operators)
    assert start == {"small": "int8", "large": "int8"}
    assert [one.operator for one in upgrades] == ["small", "large"]


def test_an_option_that_costs_more_and_is_no_better_is_never_taken():
    operators = {"op": options(int4=(50, 5.0), int8=(100, 5.0), float32=(400, 0.0))}
    start, upgrades = make_chain(operators)
    assert (start, [one.scheme for one in upgrades]) == ({"op": "int4"}, ["float32"])
