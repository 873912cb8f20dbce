import json

import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from one_op import write_model
from one_op_cases import CASES
from packed_weights import with_buffers_behind, written

from tflbuild.runtime.step_contract import StepRequest
from tflbuild.steps.quantization.litert_quantize import convert_ranges, quantize
from tflbuild.steps.quantization.quantizer_recipe import make_recipe
from tflbuild.steps.sources import litert_import
from tflbuild.steps.sources.litert_import import with_current_codes
from tflbuild.tflite.buffer_placement import has_buffers_behind
from tflbuild.tflite.tflite_metadata import append_files, read_metadata
from tflbuild.tflite.tflite_reader import read_buffers, read_model

CONV = CASES["CONV_2D_float32"]
INT8 = {"scheme": "int8", "granularity": "per_channel", "input_type": "int8", "output_type": "int8"}


def as_before_2020(raw):
    """The code of each operator where files of schema v3 have it."""
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(raw))
    for code in root.operatorCodes:
        code.deprecatedBuiltinCode, code.builtinCode = code.builtinCode, 0
    return bytes(flatbuffer_utils.convert_object_to_bytearray(root))


def test_a_file_from_before_2020_gets_the_codes_that_tools_read():
    current = write_model(CONV)
    assert with_current_codes(current) is current
    old = as_before_2020(current)
    (code,) = flatbuffer_utils.read_model_from_bytearray(bytearray(with_current_codes(old))).operatorCodes
    assert code.builtinCode == schema.BuiltinOperator.CONV_2D


def do_import(folder, *, must_be_float, model=None):
    (folder / "in.tflite").write_bytes(model or as_before_2020(write_model(CONV)))
    (folder / "outputs").mkdir()
    declared = {"key": "serving_default", "entry": "", "batch": 1, "inputs": [], "outputs": {}, "preprocess": {}}
    params = {"signature": declared, "must_be_float": must_be_float}
    litert_import.run(StepRequest(folder, params, {"source": folder / "in.tflite"}, {"source": "in.tflite"}))
    assert json.loads((folder / "outputs" / "signature.json").read_text())["key"] == "serving_default"
    return folder / "outputs" / "model.tflite"


def test_its_convolution_is_quantized_as_one(tmp_path):
    """Without its code the quantizer takes it for ADD: its bias would be int8, and its weights have zero points."""
    path = do_import(tmp_path, must_be_float=True)
    tensors = [tensor for tensor in read_model(path).subgraphs[0].tensors if not tensor.constant]
    ranges = {one.name: {"min": -1.0, "max": 1.0, "rank": len(one.shape)} for one in tensors}
    (tmp_path / "int8.tflite").write_bytes(quantize(path.read_bytes(), make_recipe(INT8), convert_ranges(ranges)))
    graph = read_model(tmp_path / "int8.tflite").subgraphs[0]
    (conv,) = graph.ops
    _, kernel, bias = (graph.tensors[index] for index in conv.inputs)
    assert (kernel.type, set(kernel.zero_points), bias.type) == ("int8", {0}, "int32")


def test_what_is_taken_as_it_is_keeps_its_bytes(tmp_path):
    made = do_import(tmp_path, must_be_float=False)
    assert made.read_bytes() == (tmp_path / "in.tflite").read_bytes()


@pytest.mark.parametrize("form", [bytes, as_before_2020])
def test_both_forms_are_read_alike(tmp_path, form):
    (tmp_path / "net.tflite").write_bytes(form(write_model(CONV)))
    (op,) = read_model(tmp_path / "net.tflite").subgraphs[0].ops
    assert op.name == "CONV_2D"


def test_buffers_behind_the_flatbuffer_are_moved_inside(tmp_path):
    behind = with_buffers_behind(write_model(CONV))
    made = do_import(tmp_path, must_be_float=False, model=behind)
    assert has_buffers_behind(behind) and not has_buffers_behind(made.read_bytes())
    assert read_buffers(made) == read_buffers(tmp_path / "in.tflite")


def test_a_file_without_signatures_keeps_its_associated_files(tmp_path):
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(write_model(CONV), 0))
    root.signatureDefs = []
    made = do_import(tmp_path, must_be_float=False, model=append_files(written(root), {"labels.txt": b"cat\n"}))
    assert [entry.key for entry in read_model(made).signatures] == ["serving_default"]
    assert [file["name"] for file in read_metadata(made)["files"]] == ["labels.txt"]
