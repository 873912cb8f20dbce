"""Constants that the quantizer leaves in float32, each in a model of one operator that is run on every kernel."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from one_op import Case, T, write_model

from tflbuild.steps.quantization.constant_compression import compress_constants
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.tflite_reader import read_model

RANDOM = np.random.default_rng(1)
TABLE = RANDOM.uniform(-1, 1, (400, 32)).astype(np.float32)
IDS = np.array([[3, 399, 0]], np.int32)
BOUNDS = {"float16": 65, "dynamic_int8": 38, "weight_only_int8": 38, "dynamic_int4": 15}
SHARES = {"float16": 0.53, "dynamic_int8": 0.28, "weight_only_int8": 0.28, "dynamic_int4": 0.16}


def gather(table, axis=0, batch=0):
    rows = np.take(np.zeros(table.shape, bool), IDS, axis).shape
    options = {"axis": axis, "batchDims": batch}
    inputs = (T(table.shape, "float32", table), T(IDS.shape, "int32", raw=True))
    return Case("rows", "GATHER", inputs, (T(rows, "float32"),), "GatherOptions", options)


def add(constant):
    one = T(constant.shape, "float32")
    return Case("sum", "ADD", (one, T(constant.shape, "float32", constant)), (one,), "AddOptions", {})


def conv3d(filters):
    inputs = (T((1, 4, 4, 4, 8), "float32"), T(filters.shape, "float32", filters), None)
    output = T((1, 2, 2, 2, filters.shape[-1]), "float32")
    options = {"padding": 1, "strideD": 1, "strideH": 1, "strideW": 1}
    options |= {"dilationDFactor": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    return Case("volume", "CONV_3D", inputs, (output,), "Conv3DOptions", options)


def narrowed(tmp_path, model, scheme, granularity="per_channel"):
    """(the narrow model's contents, the least SNR over the kernels, its bytes as a share of the model's)."""
    made = compress_constants(model, lambda operator, name: scheme, granularity)
    before, after = tmp_path / "float.tflite", tmp_path / "narrow.tflite"
    before.write_bytes(model)
    after.write_bytes(made)
    return read_model(after), min(compare(before, after, kernels) for kernels in ("reference", "none", "xnnpack"))


def compare(before, after, kernels):
    feed = {}
    for name, detail in open_signature(before, "serving_default", kernels).input_details.items():
        shape, whole = detail["shape"], detail["dtype"] is np.int32
        feed[name] = IDS.reshape(shape) if whole else np.random.default_rng(2).normal(size=shape).astype(np.float32)
    wanted, has = (open_signature(path, "serving_default", kernels)(feed)["out0"] for path in (before, after))
    return 10 * np.log10((wanted**2).mean() / ((wanted - has) ** 2).mean())


def constant_bytes(made):
    sizes = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "int4": 0.5, "int32": 4.0}
    found = {t.buffer: t.elements * sizes[t.type] for g in made.subgraphs for t in g.tensors if t.constant}
    return sum(found.values())


@pytest.mark.parametrize("scheme", BOUNDS)
def test_a_table_is_as_small_as_the_scheme_says_and_looked_up_alike(tmp_path, scheme):
    made, snr = narrowed(tmp_path, write_model(gather(TABLE)), scheme)
    assert constant_bytes(made) <= SHARES[scheme] * TABLE.nbytes
    assert snr > BOUNDS[scheme]
    assert [op.name for op in made.subgraphs[0].ops].count("GATHER") == 1


@pytest.mark.parametrize(("scheme", "bound"), [("dynamic_int8", 38), ("dynamic_int4", 15)])
def test_rows_of_different_size_have_factors_of_their_own(tmp_path, scheme, bound):
    uneven = TABLE * np.geomspace(1e-3, 10, len(TABLE), dtype=np.float32)[:, None]
    made, snr = narrowed(tmp_path, write_model(gather(uneven)), scheme)
    assert snr > bound
    assert constant_bytes(made) <= (SHARES[scheme] + 0.02) * TABLE.nbytes
    small = open_signature(tmp_path / "narrow.tflite", "serving_default", "reference")
    row = small({"in0": np.array([[0, 0, 0]], np.int32)})["out0"][0, 0]
    assert np.corrcoef(row, uneven[0])[0, 1] > 0.98, "the smallest row is lost"
    _, plain = narrowed(tmp_path, write_model(gather(uneven)), scheme, "per_tensor")
    assert [op.name for op in read_model(tmp_path / "narrow.tflite").subgraphs[0].ops] == ["GATHER", "DEQUANTIZE"]
    assert plain > 10


def test_int4_rows_that_do_not_fill_bytes_are_int8(tmp_path):
    made, snr = narrowed(tmp_path, write_model(gather(TABLE[:, :31])), "dynamic_int4")
    assert made.type_counts()["int8"] == 2 and snr > 38


@pytest.mark.parametrize("case", [gather(np.ascontiguousarray(TABLE.T), axis=1), gather(TABLE.reshape(400, 4, 8))])
def test_tables_of_other_shapes_are_looked_up_too(tmp_path, case):
    for scheme in ("dynamic_int8", "dynamic_int4", "float16"):
        assert narrowed(tmp_path, write_model(case), scheme)[1] > BOUNDS[scheme]


def test_what_operators_add_and_convolve_with_is_widened_before_them(tmp_path):
    filters = RANDOM.normal(size=(3, 3, 3, 8, 4)).astype(np.float32) * [1, 10, 100, 1000]
    for case, axes in ((add(TABLE[:40]), 1), (conv3d(filters.astype(np.float32)), 4)):
        for scheme in ("float16", "dynamic_int8", "weight_only_int8"):
            made, snr = narrowed(tmp_path, write_model(case), scheme)
            stored = next(t for t in made.subgraphs[0].tensors if t.type in ("int8", "float16"))
            assert snr > BOUNDS[scheme], (case.op, scheme)
            assert len(stored.scales) == (axes if stored.type == "int8" else 0)
            assert constant_bytes(made) <= 0.52 * case.inputs[1].values.nbytes


def test_one_value_a_channel_and_small_constants_stay_float32():
    for values in (RANDOM.normal(size=(1, 2048)), RANDOM.normal(size=(16, 16))):
        model = write_model(add(values.astype(np.float32)))
        assert compress_constants(model, lambda operator, name: "dynamic_int8") == model


def test_an_operator_that_a_rule_leaves_in_float_keeps_its_table():
    model = write_model(gather(TABLE))
    asked = []
    assert compress_constants(model, lambda operator, name: asked.append((operator, name)) or "none") == model
    assert compress_constants(model, lambda operator, name: "int8") == model
    assert asked == [("GATHER", "rows/out0")]


def test_the_lookup_keeps_its_name_and_signature(tmp_path):
    made, _ = narrowed(tmp_path, write_model(gather(TABLE)), "dynamic_int8")
    (graph,) = made.subgraphs
    assert [graph.tensors[op.outputs[0]].name for op in graph.ops] == ["rows/out0", "rows/out0_dequant"]
    assert made.signatures[0].outputs["out0"].name == "rows/out0_dequant"


def tied(scales):
    """A table of float32, and beside it its own codes in int8: an output layer that is tied to it."""
    codes = np.rint(TABLE / scales[:, None]).astype(np.int8)
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(write_model(gather(TABLE)), 0))
    (graph,) = root.subgraphs
    tensor, buffer, op = schema.TensorT(), schema.BufferT(), schema.OperatorT()
    tensor.name, tensor.shape, tensor.type = b"tied", list(codes.shape), schema.TensorType.INT8
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = list(scales), [0] * len(scales)
    buffer.data = np.frombuffer(codes.tobytes(), np.uint8)
    root.buffers.append(buffer)
    tensor.buffer = len(root.buffers) - 1
    graph.tensors.append(tensor)
    wide = schema.TensorT()
    wide.name, wide.shape, wide.type = b"wide", list(codes.shape), schema.TensorType.FLOAT32
    graph.tensors.append(wide)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 5
    root.operatorCodes.append(code)
    op.opcodeIndex, op.inputs, op.outputs = len(root.operatorCodes) - 1, [len(graph.tensors) - 2], [-1]
    op.outputs = [len(graph.tensors) - 1]
    graph.operators.append(op)
    builder = flatbuffers.Builder(1024)
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_table_that_an_output_layer_is_tied_to_is_stored_once(tmp_path):
    scales = (np.abs(TABLE).max(axis=1) / 127).astype(np.float32)
    made, snr = narrowed(tmp_path, tied(scales), "dynamic_int8")
    tables = [t for t in made.subgraphs[0].tensors if t.type == "int8" and t.constant]
    assert len(tables) == 2 and len({t.buffer for t in tables}) == 1
    assert snr > 38


def test_equal_constants_share_a_buffer(tmp_path):
    twice = [gather(TABLE), add(np.zeros((1, 3, 32), np.float32)), add(np.zeros((1, 3, 32), np.float32))]
    assert compress_constants(write_model(*twice), lambda operator, name: "none") == write_model(*twice)
    big = np.ones((32, 32), np.float32)
    both = write_model(add(big), add(big))
    made = compress_constants(both, lambda operator, name: "none")
    assert len(made) < len(both) - 3000
