"""The CPU target and the benchmark with LiteRT itself: what is told is what the models were made to be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from one_op import Case, T, bias, weight, write_model
from one_op_cases import CASES

from tflbuild.core.verdict import PROVEN, UNPROVEN, read_verdict
from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.benchmarking import litert_benchmark
from tflbuild.steps.benchmarking.op_profile import ProfileRequest
from tflbuild.targets.common.rules import each_view
from tflbuild.targets.cpu import proof as target_cpu
from tflbuild.targets.cpu.xnnpack_reasons import TRIED, find_activation_type
from tflbuild.tflite.interpreters import open_signature
from tflbuild.tflite.tflite_reader import read_model

pytestmark = pytest.mark.heavy

WIDE = 1024
BENCHMARK = {"runs": 30, "warmup": 10, "host": "this one", "delegate": "xnnpack", "threads": 1, "most_seconds": 5.0}


def unary(op: str, name: str) -> Case:
    return replace(CASES[f"{op}_float32"], name=name)


def dense(name: str, width: int, height: int) -> Case:
    shapes = (T((1, width), "float32"), weight((height, width), "float32"), bias(height, "float32"))
    return Case(name, "FULLY_CONNECTED", shapes, (T((1, height), "float32"),), "FullyConnectedOptions")


def request(folder: Path, params: dict, *cases: Case) -> StepRequest:
    (folder / "outputs").mkdir(parents=True)
    if cases:
        (folder / "model.tflite").write_bytes(write_model(*cases))
    (folder / "signature.json").write_text(json.dumps({"key": "serving_default", "inputs": [{"shape": [1]}]}))
    inputs = {"model": folder / "model.tflite", "signature": folder / "signature.json"}
    return StepRequest(folder, params, inputs, {})


def prove(folder: Path, *cases: Case, **target):
    asked = request(folder, {"target": {"name": "cpu", "threads": 1, "threads_swept": [1], **target}}, *cases)
    target_cpu.run(asked)
    return read_verdict(json.loads((folder / "outputs" / "verdict.json").read_text()))


def test_what_xnnpack_leaves_is_named_with_its_layer(tmp_path):
    verdict = prove(tmp_path, unary("LOGISTIC", "a"), unary("SIGN", "b"), unary("ABS", "c"))
    assert (verdict.proof, verdict.runs, verdict.agrees) == (PROVEN, True, True)
    assert (verdict.ops, verdict.on_delegate, verdict.partitions) == (3, 2, 2)
    (left,) = verdict.fallbacks
    assert (left.op, left.layer, left.index) == ("SIGN", "b/out0", 1)
    assert "XNNPACK took no SIGN that was tried" in left.reason
    assert verdict.device.startswith("this host: ")
    assert 0 < verdict.figures["latency_p50_ms"] <= verdict.figures["latency_p90_ms"]


FREE = T((-1, WIDE), "float32")


def free(op: str, name: str) -> Case:
    return replace(unary(op, name), inputs=(FREE,), outputs=(FREE,))


def test_what_is_taken_of_a_model_with_free_sizes_is_told_when_they_are_known(tmp_path):
    cases = free("LOGISTIC", "a"), free("SIGN", "b"), free("ABS", "c")
    verdict = prove(tmp_path, *cases)
    assert (verdict.ops, verdict.on_delegate, verdict.partitions) == (3, 2, 2)
    assert [one.op for one in verdict.fallbacks] == ["SIGN"]
    assert verdict.figures["peak_bytes"] > 0 and not [note for note in verdict.notes if "peak" in note]


def test_a_model_with_free_sizes_is_profiled_at_those_that_it_is_fed(tmp_path):
    asked = request(tmp_path, BENCHMARK, free("LOGISTIC", "a"), free("SIGN", "b"))
    path = asked.inputs["model"]
    feed = {"in0": np.ones((7, WIDE), np.float32)}
    inquiry = litert_benchmark.make_profile_request(asked, read_model(path), "serving_default", feed, "xnnpack", 1)
    assert len(inquiry.ask(3)["profiles"]) == 3
    found = litert_benchmark.run(asked)
    assert {one["op"] for one in found["profile"]["operators"]} >= {"SIGN"} and found["model_peak_bytes"] > 0
    assert "dynamic dimensions of in0 were 1; a larger input takes longer" in found["notes"]


def test_a_second_signature_is_told_of_as_well(tmp_path):
    asked = request(tmp_path, {"target": {"name": "cpu", "threads_swept": []}})
    (tmp_path / "model.tflite").write_bytes(
        join(write_model(unary("LOGISTIC", "a")), write_model(unary("SIGN", "b"), unary("ABS", "c")))
    )
    target_cpu.run(asked)
    verdict = read_verdict(json.loads((tmp_path / "outputs" / "verdict.json").read_text()))
    assert (verdict.ops, verdict.on_delegate, verdict.partitions, verdict.unknown) == (3, 2, 2, ())
    assert [(one.op, one.layer, one.subgraph) for one in verdict.fallbacks] == [("SIGN", "b/out0", 1)]


def join(first: bytes, second: bytes) -> bytes:
    """A model of two signatures: the first's, and the second's as `other`. The second has no constants."""
    one, two = (schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(raw, 0)) for raw in (first, second))
    (graph,), (signature,) = two.subgraphs, two.signatureDefs
    for op in graph.operators:
        op.opcodeIndex += len(one.operatorCodes)
    one.operatorCodes += two.operatorCodes
    signature.signatureKey, signature.subgraphIndex = b"other", len(one.subgraphs)
    one.subgraphs.append(graph)
    one.signatureDefs.append(signature)
    builder = flatbuffers.Builder(1024)
    builder.Finish(one.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_what_nothing_uses_is_told_of_too(tmp_path):
    dead = replace(unary("SIGN", "b"), inputs=unary("ABS", "b").inputs)
    asked = request(tmp_path, {"target": {"name": "cpu", "threads_swept": []}}, unary("ABS", "a"), dead)
    path = tmp_path / "model.tflite"
    made = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    (graph,), (signature,) = made.subgraphs, made.signatureDefs
    graph.outputs = list(graph.operators[0].outputs)
    signature.outputs[0].tensorIndex = graph.outputs[0]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    target_cpu.run(asked)
    verdict = read_verdict(json.loads((tmp_path / "outputs" / "verdict.json").read_text()))
    assert (verdict.ops, verdict.on_delegate, verdict.unknown) == (2, 1, ())
    assert [one.layer for one in verdict.fallbacks] == ["b/out0"]


def test_a_disturbed_output_is_caught(tmp_path, monkeypatch):
    real = target_cpu.make_trial

    def disturbed(asked, kernels="reference"):
        trial = real(asked, kernels)
        if kernels != "reference":
            return trial
        return replace(trial, expected=[{name: value * 1.5 for name, value in one.items()} for one in trial.expected])

    monkeypatch.setattr(target_cpu, "make_trial", disturbed)
    verdict = prove(tmp_path, unary("LOGISTIC", "a"))
    assert (verdict.proof, verdict.agrees) == (UNPROVEN, False)
    assert "not those of the reference kernels" in verdict.how
    assert verdict.figures["snr_db"] < 20
    assert any("it may be the reference kernels that are wrong" in note for note in verdict.notes)


def test_the_reference_kernels_are_wrong_about_a_quantized_sum(tmp_path):
    """As of LiteRT 2.3.0; when this fails they have been mended, and the documentation may say so."""
    verdict = prove(tmp_path, CASES["SUM_int8_hw"])
    assert (verdict.proof, verdict.agrees) == (UNPROVEN, False)
    assert any("it may be the reference kernels that are wrong" in note for note in verdict.notes)


def test_what_the_reference_kernels_lack_is_held_against_the_optimized_ones(tmp_path):
    verdict = prove(tmp_path, CASES["ELU_float32"])
    assert (verdict.proof, verdict.agrees) == (PROVEN, True)
    assert "optimized kernels, since the reference kernels do not run it" in verdict.how


def test_what_xnnpack_alone_runs_is_run_and_not_compared(tmp_path, monkeypatch):
    real = target_cpu.make_trial

    def lacking(asked, kernels="reference"):
        if kernels != "xnnpack":
            raise WorkerError("the artifact converts and does not load", why="Encountered unresolved custom op")
        return real(asked, kernels)

    monkeypatch.setattr(target_cpu, "make_trial", lacking)
    verdict = prove(tmp_path, unary("LOGISTIC", "a"))
    assert (verdict.proof, verdict.runs, verdict.agrees, verdict.on_delegate) == (PROVEN, True, None, 1)
    assert "outputs not compared, since LiteRT's own kernels do not run it" in verdict.how


def test_what_fails_on_random_numbers_is_not_said_to_fail(tmp_path):
    verdict = prove(tmp_path, CASES["DIV_int32"])
    assert (verdict.proof, verdict.runs, verdict.agrees) == (UNPROVEN, None, None)
    assert "did not run on random numbers" in verdict.how


def test_without_the_delegate_nothing_falls_back(tmp_path):
    verdict = prove(tmp_path, unary("SIGN", "a"), delegate="none")
    assert (verdict.on_delegate, verdict.partitions, verdict.fallbacks) == (1, 0, ())
    assert "no delegate" in verdict.how


def test_what_no_kernel_takes_does_not_run(tmp_path):
    verdict = prove(tmp_path, CASES["CEIL_int8"])
    assert (verdict.proof, verdict.runs, verdict.ops) == (PROVEN, False, 1)
    assert "INT8" in verdict.notes[0]


def test_threads_are_swept_no_further_than_there_are_cores(tmp_path, monkeypatch):
    monkeypatch.setattr("tflbuild.steps.benchmarking.host_state.cores", lambda: 2)
    figures = prove(tmp_path, dense("one", 64, 64), threads_swept=[1, 2, 4]).figures
    assert {name for name in figures if "threads" in name} == {"latency_p50_ms_threads_2", "latency_p90_ms_threads_2"}


def test_memory_is_that_of_the_weights(tmp_path):
    small = prove(tmp_path / "small", dense("one", 8, 8)).figures["peak_bytes"]
    large = prove(tmp_path / "large", dense("one", 2 * WIDE, 2 * WIDE)).figures["peak_bytes"]
    stored = 4 * (2 * WIDE) ** 2
    assert stored < large - small < 4 * stored, "read, and packed once more by XNNPACK"


def test_the_library_has_as_many_threads_as_are_asked_for(tmp_path):
    path = request(tmp_path, {}, dense("one", 64, 64)).inputs["model"]
    feed = {"in0": np.zeros((1, 64), np.float32)}
    assert [ProfileRequest(path, 0, count, "xnnpack", feed, tmp_path).ask(0)["threads"] for count in (1, 2)] == [1, 2]


def test_a_benchmark_tells_how_sure_it_is_and_where_the_time_goes(tmp_path):
    asked = request(tmp_path, BENCHMARK, dense("large", WIDE, WIDE), unary_of(WIDE), dense("small", WIDE, 16))
    found = litert_benchmark.run(asked)
    low, high = found["interval_ms"]
    assert found["least_ms"] <= low <= found["p50_ms"] <= high <= found["most_ms"]
    assert found["p10_ms"] <= found["p50_ms"] <= found["p90_ms"]
    assert found["reached"] == (found["reached_precision"] <= found["precision"])
    assert found["runs"] >= 30
    operators = found["profile"]["operators"]
    assert (operators[0]["op"], operators[0]["layer"]) == ("FULLY_CONNECTED", "large/out0")
    assert operators[0]["percent"] > 50
    assert sum(one["percent"] for one in operators) == pytest.approx(100)
    assert {one["layer"]: one["delegate"] for one in operators if one["layer"]} == {
        "large/out0": True,
        "sign/out0": False,
        "small/out0": True,
    }
    assert found["environment"]["cores"] >= 1
    assert found["model_peak_bytes"] > 4 * WIDE * WIDE


def unary_of(width: int) -> Case:
    return Case("sign", "SIGN", (T((1, width), "float32"),), (T((1, width), "float32"),))


def test_what_the_library_cannot_do_is_said_and_nothing_made_up(tmp_path):
    asked = request(tmp_path, {**BENCHMARK, "delegate": "reference"}, dense("one", 8, 8))
    found = litert_benchmark.run(asked)
    assert found["model_peak_bytes"] is None
    assert found["profile"]["operators"] == []
    assert "no reference kernels" in found["profile"]["why"]


def test_a_file_that_the_library_refuses_is_an_answer_too(tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"nothing of the kind")
    answer = ProfileRequest(tmp_path / "broken.tflite", 0, 1, "xnnpack", {}, tmp_path).ask(0)
    assert "error" in answer


def test_what_is_said_of_xnnpack_was_tried(tmp_path):
    """Each operator of the set alone: no type that is told to be refused is taken, and each that is taken was."""
    taken = set()
    for case in CASES.values():
        path = tmp_path / "model.tflite"
        path.write_bytes(write_model(case))
        (view,) = each_view(read_model(path))
        try:
            running = open_signature(path, "serving_default", "xnnpack")
        except WorkerError:
            continue  # no kernel of LiteRT's takes it either
        if any(one["op_name"] == "DELEGATE" for one in running.interpreter._get_ops_details()):
            taken.add((case.op, find_activation_type(view)))
    told = {(name, kind) for name, tried in TRIED.items() for kind in tried.taken}
    refused = {(name, kind) for name, tried in TRIED.items() for kind in tried.refused}
    assert not taken & refused
    assert taken == told - {("STRIDED_SLICE", "float32")}, "that with strides of 1, which no model of the set has"
    strided = Case(
        "slice",
        "STRIDED_SLICE",
        (T((1, 8), "float32"), *(T((2,), "int32", list(values), raw=True) for values in ((0, 0), (1, 4), (1, 1)))),
        (T((1, 4), "float32"),),
        "StridedSliceOptions",
    )
    assert prove(tmp_path / "strided", strided).on_delegate == 1
