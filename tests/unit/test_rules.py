"""What is asked of an operator, what was applied, and whether the one is the other."""

import pytest

from tflbuild.tflite.rules import (
    computes_as_declared,
    each_operator,
    find_applied_scheme,
    find_declared_scheme,
    make_rule_selectors,
    unmatched,
    weight_of,
)
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor

RULES = [
    {"match": "block_1/", "op": "", "scheme": "none"},
    {"match": "", "op": "SOFTMAX", "scheme": "int16x8"},
    {"match": "block_1/last", "op": "CONV_2D", "scheme": "int4"},
]


@pytest.mark.parametrize(
    ("operator", "name", "scheme"),
    [
        ("CONV_2D", "block_2/conv", "int8"),
        ("CONV_2D", "block_1/conv", "none"),
        ("SOFTMAX", "block_1/softmax", "int16x8"),
        ("CONV_2D", "block_1/last", "int4"),
        ("ADD", "block_1/last", "none"),
    ],
)
def test_of_the_rules_that_match_the_last_counts(operator, name, scheme):
    assert find_declared_scheme("int8", RULES, operator, name) == scheme


def tensor(name, type, constant=False, scales=None):
    quantized = type in ("int8", "int4", "int16") if scales is None else scales
    values = (0.5,) if quantized else ()
    return Tensor(name, type, (4, 4), 16, constant, values, (0,) * len(values), 0)


def convolution(activation, weights, widened=False):
    """image x weights -> out, the weights perhaps through a DEQUANTIZE."""
    tensors = [tensor("image", activation), tensor("weights", weights, constant=True), tensor("out", activation)]
    ops = [Operator("CONV_2D", 1, False, (0, 1), (2,))]
    if widened:
        tensors.append(tensor("wide", "float32"))
        ops = [Operator("DEQUANTIZE", 1, False, (1,), (3,)), Operator("CONV_2D", 1, False, (0, 3), (2,))]
    graph = Subgraph("main", tuple(tensors), tuple(ops), (0,), (2,))
    return graph, ops[-1]


@pytest.mark.parametrize(
    ("activation", "weights", "widened", "scheme"),
    [
        ("float32", "float32", False, "none"),
        ("float32", "float16", True, "float16"),
        ("float32", "int8", False, "dynamic_int8"),
        ("float32", "int4", False, "dynamic_int4"),
        ("float32", "int8", True, "weight_only_int8"),
        ("float32", "int4", True, "weight_only_int4"),
        ("int8", "int8", False, "int8"),
        ("int8", "int4", False, "int4"),
        ("int16", "int8", False, "int16x8"),
    ],
)
def test_how_an_operator_computes_is_read_from_its_tensors(activation, weights, widened, scheme):
    assert find_applied_scheme(*convolution(activation, weights, widened)) == scheme


def test_an_operator_without_weights_computes_as_its_activations_are():
    graph = Subgraph("main", (tensor("a", "float32"), tensor("b", "float32")), (), (0,), (1,))
    op = Operator("TANH", 1, False, (0,), (1,))
    assert find_applied_scheme(graph, op) == "none"
    assert computes_as_declared("dynamic_int8", "none", op, None) and computes_as_declared("float16", "none", op, None)
    assert not computes_as_declared("int8", "none", op, None)


@pytest.mark.parametrize(("wanted", "found", "good"), [("int4", "int8", False), ("int4", "int4", True)])
def test_where_a_kernel_takes_int4_int8_is_not_what_was_asked(wanted, found, good):
    graph, op = convolution("int8", "int8")
    assert computes_as_declared(wanted, found, op, weight_of(graph, op)) is good


def test_where_no_kernel_takes_int4_int8_stands_for_it():
    op = Operator("DEPTHWISE_CONV_2D", 1, False, (0, 1), (2,))
    assert computes_as_declared("int4", "int8", op, tensor("weights", "int8", constant=True))
    assert computes_as_declared("dynamic_int4", "dynamic_int8", op, tensor("weights", "int8", constant=True))


def test_a_rule_that_nothing_answers_to_is_found_with_the_nearest_name():
    graph, _ = convolution("float32", "float32")
    model = Model(bytes=1, subgraphs=(graph,), signatures=())
    assert list(unmatched([{"match": "out", "op": "CONV_2D", "scheme": "none"}], model)) == []
    assert list(unmatched([{"match": "ouf", "op": "", "scheme": "none"}], model)) == [
        (0, "no name has 'ouf' in it; the nearest is out")
    ]
    assert list(unmatched([{"match": "", "op": "SOFTMAX", "scheme": "none"}], model)) == [
        (0, "there is no SOFTMAX; its operators: CONV_2D")
    ]


def test_what_only_moves_values_between_types_is_no_operator_of_the_model():
    graph, _ = convolution("float32", "int8", widened=True)
    assert [op.name for _, op, _ in each_operator(Model(1, (graph,), ()))] == ["CONV_2D"]


def chain(*operators):
    """A model of unary operators, given by (operator, name of its output)."""
    tensors = (tensor("in", "float32"), *(tensor(name, "float32") for _, name in operators))
    ops = tuple(Operator(op, 1, False, (place,), (place + 1,)) for place, (op, _) in enumerate(operators))
    return Model(0, (Subgraph("main", tensors, ops, (0,), (len(ops),)),), ())


def test_operators_to_blame_are_selected_by_their_kind_where_all_of_it_are():
    model = chain(("TILE", "a"), ("SIN", "b"), ("TILE", "c"))
    assert make_rule_selectors(model, [("TILE", "a"), ("TILE", "c")]) == [{"op": "TILE", "match": ""}]


def test_operators_to_blame_are_selected_by_name_where_others_of_their_kind_are_not():
    model = chain(("RELU", "a/one;bias"), ("RELU", "a/two"), ("SIN", "b"))
    found = make_rule_selectors(model, [("RELU", "a/one;bias"), ("SIN", "b"), ("SIN", "b")])
    assert found == [{"op": "", "match": "^a/one(;|$)"}, {"op": "SIN", "match": ""}]


def test_more_operators_than_a_command_should_name_are_selected_by_their_kind():
    model = chain(*(("RELU", f"relu_{number}") for number in range(9)))
    blamed = [("RELU", f"relu_{number}") for number in range(7)]
    assert make_rule_selectors(model, blamed) == [{"op": "RELU", "match": ""}]
    assert len(make_rule_selectors(model, blamed[:3])) == 3
