"""Why XNNPACK left an operator: what is known, and that it is unknown where it is."""

from __future__ import annotations

from tflbuild.targets.common.rules import OperatorView
from tflbuild.targets.cpu.xnnpack_reasons import NO_REASON, TRIED, explain_unsupported
from tflbuild.tflite.tflite_model import Operator, Subgraph, Tensor


def tensor(kind="float32", constant=False, shape=(1, 4)):
    return Tensor("t", kind, shape, 4, constant, (), (), 0)


def view(name, *inputs, activation="", out=None):
    tensors = (*inputs, out or tensor(inputs[0].type))
    op = Operator(name, 1, False, tuple(range(len(inputs))), (len(inputs),), activation=activation)
    return OperatorView(op, Subgraph("main", tensors, (op,), (), ()), 0)


def test_a_type_that_was_tried_is_named():
    assert "took no int8 SOFTMAX that was tried" in explain_unsupported(view("SOFTMAX", tensor("int8")))
    assert "but float32 ones" in explain_unsupported(view("SOFTMAX", tensor("int8")))


def test_an_operator_of_which_none_was_taken():
    assert explain_unsupported(view("SIGN", tensor())).startswith("XNNPACK took no SIGN that was tried")


def test_a_fused_activation_and_computed_weights_are_reasons():
    assert "TANH is fused" in explain_unsupported(view("ADD", tensor(), tensor(), activation="TANH"))
    assert "computed, not stored" in explain_unsupported(view("FULLY_CONNECTED", tensor(), tensor()))
    stored = explain_unsupported(view("FULLY_CONNECTED", tensor(), tensor(constant=True)))
    assert stored == f"{NO_REASON}; it took float32 FULLY_CONNECTED in other models"


def test_what_is_not_known_is_said():
    assert explain_unsupported(view("HASHTABLE_FIND", tensor())) == f"{NO_REASON}; HASHTABLE_FIND was not tried alone"
    assert explain_unsupported(view("ADD", tensor("uint8"), tensor("uint8"))) == NO_REASON
    free = tensor(shape=(-1, 4))
    assert "here a size is free" in explain_unsupported(view("LOGISTIC", free, out=free))


def test_no_type_is_both():
    assert not [name for name, tried in TRIED.items() if set(tried.taken) & set(tried.refused)]
