"""The scale that an output's values come in."""

import pytest

from tflbuild.steps.verification.output_resolution import find_coarse_joins, read_output_steps
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor


def tensor(name, type="int8", scales=(0.5,)):
    return Tensor(name, type, (1, 9), 9, False, scales, (0,) * len(scales), 0)


def op(name, inputs, outputs):
    return Operator(name, 1, False, inputs, outputs)


def model(tensors, ops, output):
    graph = Subgraph("main", tuple(tensors), tuple(ops), (0,), (output,))
    return Model(100, (graph,), (SignatureDef("serve", 0, {"x": tensors[0]}, {"y": tensors[output]}),))


FLOAT = tensor("f", "float32", ())


def test_of_a_quantized_output_it_is_its_own():
    assert read_output_steps(model([FLOAT, tensor("y", scales=(0.25,))], [op("QUANTIZE", (0,), (1,))], 1), "serve") == {
        "y": 0.25
    }


@pytest.mark.parametrize("last", [[], ["RESHAPE"], ["RESHAPE", "TRANSPOSE"]])
def test_of_a_float_output_it_is_what_its_dequantize_reads(last):
    tensors = [tensor("x"), *(tensor(name, "float32", ()) for name in ("d", *last))]
    ops = [op("DEQUANTIZE", (0,), (1,)), *(op(name, (at + 1,), (at + 2,)) for at, name in enumerate(last))]
    assert read_output_steps(model(tensors, ops, len(tensors) - 1), "serve") == {"y": 0.5}


def test_what_is_computed_in_float_has_none():
    tensors = [tensor("x"), tensor("d", "float32", ()), tensor("y", "float32", ())]
    ops = [op("DEQUANTIZE", (0,), (1,)), op("ADD", (1, 1), (2,))]
    assert read_output_steps(model(tensors, ops, 2), "serve") == {}
    assert read_output_steps(model(tensors, ops, 2), "another") == {}


@pytest.mark.parametrize(
    ("scale", "maker", "lost"),
    [(2.5, "LOGISTIC", True), (2.5, "QUANTIZE", True), (0.1, "LOGISTIC", False), (2.5, "CONV_2D", False)],
)
def test_what_a_join_inside_the_model_loses_is_known_from_the_operators_before_it(scale, maker, lost):
    tensors = [tensor("x", scales=(0.01,)), tensor("small", scales=(scale,)), tensor("r", scales=(scale,))]
    tensors += [tensor("large", scales=(scale,)), tensor("joined", scales=(scale,))]
    ops = [
        op(maker, (0,), (1,)),
        op("RESHAPE", (1,), (2,)),
        op("CONV_2D", (0,), (3,)),
        op("CONCATENATION", (2, 3), (4,)),
    ]
    found = find_coarse_joins(model(tensors, ops, 4))
    assert found == ([{"name": "joined", "step": scale, "inputs": ["r"]}] if lost else [])


def test_operators_without_outputs_join_nothing():
    handle = Tensor("table", "resource", (), 1, False, (), (), 0)
    made = model([FLOAT, handle], [op("ASSIGN_VARIABLE", (1, 0), ())], 0)
    assert find_coarse_joins(made) == []
