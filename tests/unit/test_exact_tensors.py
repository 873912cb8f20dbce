"""Which activations are the same on every CPU, and which depend on an operator that jumps."""

import pytest

from tflbuild.steps.calibration.exact_tensors import UnboundedOperator, find_exact
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor


def tensor(name, constant=False, type="float32"):
    return Tensor(name, type, (1, 4), 4, constant, (), (), 0)


def graph(*ops, types=()):
    """A chain: tensor 0 is fed, 1 is a constant, operator i makes tensor i + 2 from the one before and the constant."""
    kinds = dict(types)
    tensors = [tensor("x"), tensor("w", constant=True)]
    made = []
    for place, name in enumerate(ops):
        tensors.append(tensor(f"t{place}", type=kinds.get(place, "float32")))
        before = 0 if place == 0 else place + 1
        made.append(Operator(name, 1, False, (before, 1), (place + 2,)))
    return Subgraph("main", tuple(tensors), tuple(made), (0,), (len(tensors) - 1,))


def look(*ops, types=()):
    whole = graph(*ops, types=types)
    return find_exact(Model(0, (whole,), ()), whole)


@pytest.mark.parametrize("ops", [("RESHAPE", "RELU6"), ("MUL", "SUB", "PAD"), ("MAX_POOL_2D", "ADD"), ("FLOOR",)])
def test_moving_comparing_and_rounding_once_stay_exact(ops):
    assert look(*ops).exact == frozenset(range(len(ops) + 2)) and not look(*ops).jumps


@pytest.mark.parametrize("op", ["CONV_2D", "DIV", "SQRT", "MEAN", "SOFTMAX", "EXP", "NO_SUCH_OPERATOR"])
def test_what_follows_a_sum_or_a_function_is_inexact(op):
    assert look("MUL", op, "RESHAPE").exact == {0, 1, 2}


def test_an_operator_that_jumps_hands_on_its_name():
    assert look("CONV_2D", "FLOOR", "RELU").jumps == {
        3: UnboundedOperator("FLOOR", "t1"),
        4: UnboundedOperator("FLOOR", "t1"),
    }
    assert look("CONV_2D", "CAST", types=[(1, "int32")]).jumps == {3: UnboundedOperator("CAST", "t1")}
    assert not look("CONV_2D", "CAST").jumps


def test_a_loop_jumps_where_its_body_does():
    body = graph("FLOOR")
    main = graph("CONV_2D", "WHILE")
    loop = Operator("WHILE", 1, False, (2,), (3,), options={"condSubgraphIndex": 1, "bodySubgraphIndex": 1})
    main = Subgraph("main", main.tensors, (main.ops[0], loop), (0,), (3,))
    assert find_exact(Model(0, (main, body), ()), main).jumps == {3: UnboundedOperator("WHILE", "t1")}
    assert not find_exact(Model(0, (main, graph("MUL")), ()), main).jumps
