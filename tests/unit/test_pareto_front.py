"""What is on a Pareto front, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_records import FOUR, entry, failed, sweep, timed

from tflbuild.core.objective import Objective
from tflbuild.report.sweeps.pareto_front import choose_default_objectives, costs_of, dominates, find_pareto_front

COSTS = st.integers(1, 3).flatmap(
    lambda size: st.lists(st.none() | st.tuples(*[st.sampled_from((-2.5, -1.0, 0.0, 1.0, 7.0))] * size), max_size=12)
)


@given(COSTS)
def test_what_is_on_the_front_is_dominated_by_none_and_everything_else_by_one_of_it(costs):
    front = find_pareto_front(costs)
    for place, one in enumerate(costs):
        if place in front:
            assert not any(dominates(other, one) for other in costs if other is not None)
        elif one is not None:
            assert any(dominates(costs[other], one) for other in front)


@given(COSTS)
def test_what_was_not_measured_is_on_no_front_and_changes_none(costs):
    front = find_pareto_front(costs)
    known = [one for one in costs if one is not None]
    assert all(costs[place] is not None for place in front)
    assert {costs[place] for place in front} == {known[place] for place in find_pareto_front(known)}
    assert bool(front) == bool(known)


@given(COSTS, st.randoms())
def test_the_front_does_not_depend_on_the_order(costs, random):
    order = list(range(len(costs)))
    random.shuffle(order)
    assert {order[place] for place in find_pareto_front([costs[place] for place in order])} == find_pareto_front(costs)


def test_equal_ones_are_on_the_front_together():
    assert find_pareto_front([(1.0, 2.0), (1.0, 2.0), (2.0, 2.0)]) == {0, 1}


@pytest.mark.parametrize(
    ("figures", "costs"),
    [
        ({"top1": 0.9, "bytes": 10.0}, (-0.9, 10.0)),
        ({"bytes": 10.0}, None),
        ({"top1": float("nan"), "bytes": 10.0}, None),
        ({"top1": 0.9, "bytes": float("inf")}, None),
    ],
)
def test_a_cost_is_less_where_it_is_better(figures, costs):
    assert costs_of(figures, (Objective("top1", "max"), Objective("bytes", "min"))) == costs


def aims(*figures):
    return [objective.text for objective in choose_default_objectives(figures)]


def test_without_objectives_accuracy_and_size_count():
    assert aims({"bytes": 1.0, "snr_db": 3.0}, {"bytes": 1.0, "top1": 0.5, "snr_db": 3.0}) == ["top1:max", "bytes:min"]
    assert aims({"bytes": 1.0, "snr_db": 3.0}) == ["snr_db:max", "bytes:min"]
    assert aims({"bytes": 1.0}) == aims() == ["bytes:min"]


def test_only_what_passed_is_on_the_front_of_a_sweep():
    assert sweep(*FOUR).front == {1, 2}  # int4 is smaller, and missed its gate; float is larger and not better
    assert sweep(*FOUR, failed("quantization=int16x8")).front == {1, 2}
    assert sweep(failed("a=1"), failed("a=2")).front == frozenset()


def test_another_objective_is_another_front():
    both = (timed(entry("a=1", 100, 0.9), 5.0), timed(entry("a=2", 200, 0.8), 1.0))
    assert sweep(*both).front == {0}
    assert sweep(*both, objectives=(Objective("latency_ms", "min"),)).front == {1}
    assert sweep(*both, objectives=(Objective("latency_ms", "min"), Objective("top1", "max"))).front == {0, 1}
