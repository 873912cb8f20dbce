"""Whether the scale of an input follows from the calibration data, or from an operand that must share its scale."""

import pytest

from tflbuild.steps.checking.input_scale_check import check_calibrated
from tflbuild.tflite.tflite_model import Model, Operator, SignatureDef, Subgraph, Tensor

SIGNATURE = {"key": "serving_default"}
RANGES = {"x": (-1.0, 1.0)}


def tensor(name, scale, constant=False):
    return Tensor(name, "int8", (1, 4), 4, constant, (scale,), (0,), 0)


def findings(ops, scales, ranges=RANGES):
    """Of a graph whose first tensor is the input, and the last one its output; "c" is stored."""
    tensors = tuple(tensor(name, scale, constant=name == "c") for name, scale in scales)
    graph = Subgraph("main", tensors, tuple(ops), (0,), (len(tensors) - 1,))
    entry = SignatureDef("serving_default", 0, {"x": tensors[0]}, {"y": tensors[-1]})
    return [
        finding.text
        for finding in check_calibrated(Model(0, (graph,), (entry,)), {"scheme": "int8"}, SIGNATURE, ranges)
    ]


def op(name, inputs, output):
    return Operator(name, 1, False, inputs, (output,))


WIDE = 10 / 255


@pytest.mark.parametrize("name", ["CONCATENATION", "PACK", "MAXIMUM"])
def test_an_input_may_have_the_scale_of_what_it_is_joined_with(name):
    assert findings([op(name, (0, 1), 2)], [("x", WIDE), ("c", WIDE), ("y", WIDE)]) == []


def test_also_behind_operators_that_move_its_values_or_change_its_type():
    ops = [op("QUANTIZE", (0,), 1), op("RESHAPE", (1,), 2), op("SELECT_V2", (0, 2, 3), 4)]
    assert findings(ops, [("x", WIDE), ("q", WIDE), ("r", WIDE), ("c", WIDE), ("y", WIDE)]) == []


def test_an_input_that_is_joined_with_nothing_has_the_scale_of_the_data():
    ops = [op("RESHAPE", (0,), 1), op("ADD", (1, 2), 3)]
    (text,) = findings(ops, [("x", WIDE), ("r", WIDE), ("c", WIDE), ("y", WIDE)])
    assert text == "input 'x' spans 10, and the calibration data 2"


def test_a_shared_scale_is_never_narrower_than_the_data():
    assert findings([op("PACK", (0, 1), 2)], [("x", 1 / 255), ("c", 1 / 255), ("y", 1 / 255)])


def test_an_operand_of_another_scale_decides_nothing():
    assert findings([op("CONCATENATION", (0, 1), 2)], [("x", WIDE), ("c", 1.0), ("y", 1.0)])
