"""The interpreter's list and what was seen to run, put together."""

from __future__ import annotations

from tflbuild.steps.benchmarking.op_profile import DELEGATED, OPERATOR
from tflbuild.targets.cpu.xnnpack_placement import ObservedPlacement, confirm_placement, read_events
from tflbuild.tflite.delegate_partitions import DelegatePlacement
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph


def model(*graphs):
    made = tuple(
        Subgraph("", (), tuple(Operator(name, 1, False, (), ()) for name in names), (), ()) for names in graphs
    )
    return Model(1, made, ())


def test_one_subgraph_is_what_the_interpreter_says():
    found = confirm_placement(model(["ABS", "SIGN"]), DelegatePlacement(((0,),), (1,), ()), {})
    assert (found.left, found.taken, found.pieces, found.unknown) == (((0, 1),), 1, 1, ())


def test_what_nothing_uses_is_where_it_was_seen():
    placement = DelegatePlacement(((0,),), (), (1, 2))
    found = confirm_placement(model(["ABS", "SIGN", "EXP"]), placement, {0: ObservedPlacement(frozenset({1}), 1)})
    assert (found.left, found.taken, found.unknown) == (((0, 1),), 2, ())
    dark = confirm_placement(model(["ABS", "SIGN", "EXP"]), placement, {})
    assert (dark.taken, dark.pieces, len(dark.unknown)) == (None, None, 2)


def test_other_subgraphs_are_known_by_what_ran_of_them():
    two = model(["ABS"], ["SIGN", "NEG", "EXP"])
    found = confirm_placement(two, DelegatePlacement(((0,),), (), ()), {1: ObservedPlacement(frozenset({0}), 1)})
    assert (found.left, found.taken, found.pieces, found.unknown) == (((1, 0),), 3, 2, ())


def test_a_subgraph_that_was_not_run_leaves_the_counts_unknown():
    found = confirm_placement(model(["ABS", "SIGN"], ["NEG"]), DelegatePlacement(((0,),), (1,), ()), {})
    assert (found.left, found.taken, found.pieces) == (((0, 1),), None, None)
    assert found.unknown == ("NEG of subgraph 1: the runtime does not tell of it",)


def test_events_of_other_subgraphs_are_not_counted():
    events = [
        [DELEGATED, "Abs (NC)", 0, 0, 1],
        [OPERATOR, "SIGN", 3, 1, 1],
        [OPERATOR, "EXP", 0, 0, 1],
        [1, "", 0, 0, 9],
    ]
    assert read_events(events, 1) == ObservedPlacement(frozenset({3}), 1)
