"""Inputs that no operator reads, and constant outputs, in the declared types."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from one_op import Case, T, add_tensor, sign, write_model

from tflbuild.steps.quantization.unused_inputs_outputs import type_unused_inputs_outputs
from tflbuild.steps.verification.artifact_runner import run_real
from tflbuild.tflite.interpreters import open_signature

ANCHORS = np.linspace(-2, 6, 12, dtype=np.float32).reshape(1, 12)


@pytest.fixture(scope="module")
def model():
    """An int8 operator; beside it an input that nothing reads, an output that is a constant, and an input given back.

    in0 -> out0, in1 unread, out1 a constant, in2 = out2.
    """
    one = T((1, 8), "int8")
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(write_model(Case("relu", "RELU", (one,), (one,))), 0))
    (graph,) = root.subgraphs
    for name, tensor in (("spare", T((1, 2), "float32")), ("same", T((1, 2), "float32"))):
        graph.inputs = [*graph.inputs, add_tensor(root, graph, tensor, name)]
    anchors = add_tensor(root, graph, T((1, 12), "float32", ANCHORS), "anchors")
    graph.outputs = [*graph.outputs, anchors, graph.inputs[2]]
    root.signatureDefs = [sign(graph)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("type", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("name", ["spare", "in1"])
def test_they_get_the_declared_type_and_the_measured_range(tmp_path, model, type, name):
    path = tmp_path / "model.tflite"
    path.write_bytes(type_unused_inputs_outputs(model, type, type, {name: (-1.0, 3.0)}))
    running = open_signature(path, "serving_default", "reference")
    assert [np.dtype(running.input_details[place]["dtype"]).name for place in ("in0", "in1", "in2")] == [
        "int8",
        type,
        "float32",
    ]
    assert np.dtype(running.output_details["out1"]["dtype"]).name == type
    scale, zero_point = running.input_details["in1"]["quantization"]
    assert scale == pytest.approx(3 / 32767 if type == "int16" else 4 / 255)
    assert (zero_point == 0) == (type == "int16")
    feed = {"in0": np.ones((1, 8), np.float32), "in1": np.ones((1, 2)), "in2": np.ones((1, 2), np.float32)}
    outputs = run_real(running, feed)
    assert np.abs(outputs["out1"] - ANCHORS).max() <= 8 / 255
    assert outputs["out2"].tolist() == [[1, 1]]


def test_float32_borders_stay_as_they_are(model):
    assert type_unused_inputs_outputs(model, "float32", "float32", {}) == model
    assert type_unused_inputs_outputs(model, "float32", "int8", {}) != model


def test_an_input_that_nothing_measured_gets_some_scale(tmp_path, model):
    path = tmp_path / "model.tflite"
    path.write_bytes(type_unused_inputs_outputs(model, "int8", "int8", {}))
    assert open_signature(path, "serving_default", "xnnpack").input_details["in1"]["quantization"][0] > 0
