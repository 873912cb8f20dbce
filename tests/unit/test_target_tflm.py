"""The proof by TensorFlow Lite Micro: what agrees, what was disturbed, what it has no kernel for. Forks alone."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from one_op import Case, T, write_model
from one_op_cases import CASES
from packed_weights import with_buffers_behind
from proving import prove, request

from tflbuild.targets.tflm import proof as target_tflm
from tflbuild.targets.tflm import tflm_runtime
from tflbuild.targets.tflm.tflm_runtime import TflmRun
from tflbuild.tflite.tflite_reader import read_model

TARGET = {"name": "board", "table": "tflm", "version": "", "least_snr_db": 40, "symbol": "net"}


def asked(folder, *names):
    return request(folder, TARGET, *(CASES[name] for name in names))


def test_what_runs_as_on_the_cpu_is_proven(tmp_path):
    verdict = prove(target_tflm.run, asked(tmp_path, "RELU_int8", "CONV_2D_int8"))
    assert (verdict.target, verdict.proof, verdict.runs, verdict.agrees) == ("board", "proven", True, True)
    assert (verdict.ops, verdict.on_delegate, verdict.partitions) == (2, 2, 1)
    assert verdict.device.startswith("tflite-micro ") and "on this host" in verdict.device
    assert verdict.figures["model_bytes"] == (tmp_path / "model.tflite").stat().st_size
    assert sorted(path.name for path in (tmp_path / "outputs" / "compiled").iterdir()) == ["model.cc", "model.h"]


def test_the_arena_is_the_least_in_which_it_runs(tmp_path):
    step = asked(tmp_path, "RELU_int8", "CONV_2D_int8")
    arena = int(prove(target_tflm.run, step).figures["arena_bytes"])
    assert f"#define NET_ARENA_BYTES {arena}\n" in (tmp_path / "outputs" / "compiled" / "model.h").read_text()
    raw, feed = (tmp_path / "model.tflite").read_bytes(), [[np.ones((1, 8, 8, 4), np.int8)]]
    assert tflm_runtime.call(raw, feed, 1, arena, tmp_path / "log").good
    right = tflm_runtime.call(raw, feed, 1, 65536, tmp_path / "log").value
    assert not tflm_runtime._same(tflm_runtime.call(raw, feed, 1, arena - 16, tmp_path / "log"), right)


def disturb(outputs):
    outputs[0] = outputs[0] + np.int8(9)
    return outputs


def lose(outputs):
    return [np.full_like(one, np.nan) for one in outputs]


def shorten(outputs):
    return [one[:, :4] for one in outputs]


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("RELU_int8", disturb, "of their scale, from the CPU's outputs, and 40 dB is asked for"),
        ("RELU_float32", lose, "not finite"),
        ("RELU_float32", shorten, "output out0 has the shape [1, 4, 8, 4], and [1, 8, 8, 4] on the CPU"),
    ],
)
def test_disturbed_outputs_are_no_proof(tmp_path, monkeypatch, name, change, told):
    honest = tflm_runtime._call

    def call(*arguments):
        done = honest(*arguments)
        return TflmRun([change(outputs) for outputs in done.outputs], done.arena)

    monkeypatch.setattr(tflm_runtime, "_call", call)
    verdict = prove(target_tflm.run, asked(tmp_path, name))
    assert (verdict.proof, verdict.agrees, verdict.runs) == ("unproven", False, True)
    assert told in verdict.how


def test_a_runtime_that_dies_is_a_verdict(tmp_path, monkeypatch):
    monkeypatch.setattr(tflm_runtime, "_call", lambda *_: __import__("os").abort())
    verdict = prove(target_tflm.run, asked(tmp_path, "RELU_int8"))
    assert (verdict.proof, verdict.runs) == ("proven", False)
    assert "SIGABRT" in verdict.how
    assert verdict.figures == {"model_bytes": (tmp_path / "model.tflite").stat().st_size}


def test_every_operator_without_a_kernel_is_named(tmp_path):
    names = ("RELU_int8", "GELU_int8", "ABS_int8", "HARD_SWISH_int8", "REDUCE_PROD_int8_hw")
    verdict = prove(target_tflm.run, asked(tmp_path, *names))
    assert (verdict.proof, verdict.runs, verdict.ops, verdict.on_delegate) == ("proven", False, 5, 3)
    assert [(one.op, one.layer, one.index) for one in verdict.fallbacks] == [
        ("GELU", "GELU_int8/out0", 1),
        ("REDUCE_PROD", "REDUCE_PROD_int8_hw/out0", 4),
    ]
    assert verdict.fallbacks[0].reason == "TensorFlow Lite Micro: Didn't find op for builtin opcode 'GELU'"
    assert verdict.fallbacks[0].fix == "use ReLU or HardSwish"
    assert not list((tmp_path / "outputs" / "compiled").iterdir())


def test_a_type_without_a_kernel_is_told_in_its_own_words(tmp_path):
    verdict = prove(target_tflm.run, asked(tmp_path, "RELU_int16", "REDUCE_MAX_int16_hw"))
    (fallback,) = verdict.fallbacks
    assert (fallback.op, fallback.fix) == ("REDUCE_MAX", "quantization=int8")
    assert fallback.reason == "TensorFlow Lite Micro: Only float32 and int8 types are supported."


def test_a_kernel_that_the_reference_lacks_is_compared_with_the_optimized_one(tmp_path):
    verdict = prove(target_tflm.run, asked(tmp_path, "ELU_int8"))
    assert (verdict.proof, verdict.agrees) == ("proven", True)


def test_a_wrong_reference_is_told_and_no_disagreement(tmp_path):
    verdict = prove(target_tflm.run, asked(tmp_path, "SUM_int8_hw"))
    assert (verdict.proof, verdict.agrees) == ("proven", True)
    assert any("kernels do not agree with each other" in note for note in verdict.notes)


def test_inputs_are_numbered_as_the_file_has_them(tmp_path):
    pair = (T((1, 4), "float32"), T((1, 2), "float32"))
    case = Case("join", "CONCATENATION", pair, (T((1, 6), "float32"),), "ConcatenationOptions", {"axis": 1})
    (tmp_path / "model.tflite").write_bytes(write_model(case))
    ports = target_tflm.find_ports(read_model(tmp_path / "model.tflite"), "serving_default")
    assert ports.inputs == ("in0", "in1") and ports.outputs == ("out0",)
    assert [one.shape for one in ports.taken] == [(1, 4), (1, 2)]


def test_a_signature_that_is_not_there_cannot_be_reached(tmp_path):
    step = asked(tmp_path, "RELU_int8")
    (tmp_path / "signature.json").write_text('{"key": "other", "inputs": []}')
    verdict = prove(target_tflm.run, step)
    assert (verdict.proof, verdict.runs) == ("linted", False)


def test_signatures_that_cannot_be_called_there_are_told(tmp_path):
    step = asked(tmp_path, "RELU_int8")
    both = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel((tmp_path / "model.tflite").read_bytes(), 0))
    other = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(write_model(CASES["RELU_int8"]), 0))
    other.signatureDefs[0].subgraphIndex, other.signatureDefs[0].signatureKey = 1, b"second"
    both.subgraphs += other.subgraphs
    both.signatureDefs += other.signatureDefs
    builder = flatbuffers.Builder(1024)
    builder.Finish(both.Pack(builder), b"TFL3")
    (tmp_path / "model.tflite").write_bytes(bytes(builder.Output()))
    verdict = prove(target_tflm.run, step)
    assert (verdict.ops, verdict.on_delegate) == (2, 1)
    assert any("signatures second cannot be called" in note for note in verdict.notes)


def test_what_is_tried_with_its_weights_is_not_blamed_for_what_unpacks_them(tmp_path):
    half, real = T((1, 8), "float16", [[0.5] * 8]), T((1, 8), "float32")
    unpack = Case("unpack", "DEQUANTIZE", (half,), (real,), "DequantizeOptions")
    scale = Case("scale", "MUL", (real, real), (real,), "MulOptions")
    verdict = prove(target_tflm.run, request(tmp_path, TARGET, unpack, scale))
    assert verdict.runs is False
    first, second = verdict.fallbacks
    assert first.op == "DEQUANTIZE" and first.reason.startswith("TensorFlow Lite Micro: ")
    assert (second.op, second.reason) == ("MUL", "DEQUANTIZE, which its weights come from, is not taken")


def test_weights_behind_the_flatbuffer_are_named(tmp_path):
    """It would read empty tensors there, and blame whatever operator stumbles over them."""
    step = asked(tmp_path, "CONV_2D_int8")
    (tmp_path / "model.tflite").write_bytes(with_buffers_behind((tmp_path / "model.tflite").read_bytes()))
    verdict = prove(target_tflm.run, step)
    assert (verdict.proof, verdict.runs) == ("linted", False)
    assert [(one.op, one.layer) for one in verdict.fallbacks] == [("file", "buffers")]
    assert "lie behind the flatbuffer" in verdict.fallbacks[0].reason


def test_a_cpu_kernel_that_ends_its_process_is_a_verdict(tmp_path, monkeypatch):
    monkeypatch.setattr(target_tflm, "make_trial", lambda *_: __import__("os").abort())
    verdict = prove(target_tflm.run, asked(tmp_path, "RELU_int8"))
    assert (verdict.proof, verdict.runs) == ("unproven", None)
    assert "SIGABRT" in verdict.how
