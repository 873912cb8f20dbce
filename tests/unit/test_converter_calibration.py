"""Ranges that replace those of TFLiteConverter's calibrator, and what keeps its own."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from one_op import write_model
from one_op_cases import conv

from tflbuild.core.cpu_dependence import CpuDependence, add_cpu_dependence
from tflbuild.steps.conversion.converter_calibration import HIDDEN, list_hidden, replace_ranges
from tflbuild.tflite.model_editing import parse_model, serialize_model

NAMES = ("first/in0", "first/out0", "second/out0")


def calibrated():
    """Two convolutions whose computed tensors carry ranges."""
    root = parse_model(write_model(conv("first", "float32"), conv("second", "float32", size=8)))
    for tensor in root.subgraphs[0].tensors:
        if tensor.name.decode() in NAMES:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.min = np.array([-1.2345], np.float32)
            tensor.quantization.max = np.array([2.3456], np.float32)
    return root


def ranges_in(model):
    tensors = parse_model(model).subgraphs[0].tensors
    kept = [one for one in tensors if one.quantization is not None and one.quantization.min is not None]
    return {one.name.decode(): (float(one.quantization.min[0]), float(one.quantization.max[0])) for one in kept}


def test_every_range_is_replaced():
    ties = []
    made = replace_ranges(serialize_model(calibrated()), dict.fromkeys(NAMES, (-1.25, 2.5)), ties)
    assert ranges_in(made) == dict.fromkeys(NAMES, (-1.25, 2.5)) and not ties


def test_what_was_not_measured_keeps_its_range_and_is_tied():
    model, ties = serialize_model(calibrated()), []
    known = dict.fromkeys(NAMES[:2], (-1.25, 2.5))
    assert list_hidden(model, known) == ["second/out0"] and not list_hidden(model, dict.fromkeys(NAMES, (0, 1)))
    assert ranges_in(replace_ranges(model, known, ties))["second/out0"] == (np.float32(-1.2345), np.float32(2.3456))
    assert ties == [CpuDependence("calibration", "second/out0", HIDDEN)]


def test_a_body_of_a_loop_is_hidden_whatever_its_names():
    root = calibrated()
    root.subgraphs.append(calibrated().subgraphs[0])
    model, ties = serialize_model(root), []
    assert set(list_hidden(model, dict.fromkeys(NAMES, (0, 1)))) == {"first/out0", "second/out0"}
    replace_ranges(model, dict.fromkeys(NAMES, (0, 1)), ties)
    assert {tie.layer for tie in ties} == set(NAMES)
    assert len(add_cpu_dependence({}, [*ties, *ties])["tied"]) == len(NAMES)
