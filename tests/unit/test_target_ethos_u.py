"""The verdict on what Vela made, or did not make; Vela itself is a seam here."""

import pytest
from one_op import write_model
from one_op_cases import CASES
from proving import prove, request

from tflbuild.targets.ethos_u import proof as target_ethos_u
from tflbuild.targets.ethos_u import vela_compiler
from tflbuild.targets.ethos_u.vela_compiler import VelaCpuOperator, VelaResult

TARGET = {
    "name": "board",
    "table": "ethos_u55",
    "version": "",
    "accelerator": "ethos-u55-128",
    "system_config": "",
    "memory_mode": "",
    "optimise": "Performance",
}
SUMMARY = {"system_config": "Sys", "memory_mode": "Shared_Sram", "core_clock": "500000000.0", "nn_macs": "10"}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Has Vela say something else: `planted(compiled cases or None, refusals, failure)`."""

    def plant(cases, refusals=(), failure=""):
        path = None
        if cases is not None:
            path = tmp_path / "made.tflite"
            path.write_bytes(write_model(*(CASES[name] for name in cases)))
        done = VelaResult(path, tuple(refusals), SUMMARY, failure)
        monkeypatch.setattr(vela_compiler, "compile_model", lambda *_: done)
        return request

    return plant


def ask(folder, table, *names):
    folder.mkdir()
    return request(folder, {**TARGET, "table": table}, *(CASES[name] for name in names))


def test_what_vela_fails_on_is_unproven_with_its_words_and_suspects(planted, tmp_path):
    planted(None, [VelaCpuOperator("EQUAL", "x", "Unsupported opType")], "RuntimeError: no (exit code 1)")
    verdict = prove(target_ethos_u.run, ask(tmp_path / "a", "ethos_u55", "RELU_int8", "LOGICAL_NOT"))
    assert (verdict.proof, verdict.runs, verdict.on_delegate) == ("unproven", False, None)
    assert verdict.how == f"Vela {vela_compiler.version()} fails on it: RuntimeError: no (exit code 1)"
    assert [one.op for one in verdict.fallbacks] == ["LOGICAL_NOT"]
    assert "Traceback" not in verdict.how
    assert not list((tmp_path / "a" / "outputs" / "compiled").iterdir())


def test_nothing_on_the_npu_is_said_and_has_no_estimate(planted, tmp_path):
    planted(["RELU_float32"], [VelaCpuOperator("RELU", "RELU_float32/out0", "Float32 (RELU_float32/in0); one of INT8")])
    verdict = prove(target_ethos_u.run, ask(tmp_path / "a", "ethos_u55", "RELU_float32"))
    assert (verdict.proof, verdict.on_delegate, verdict.partitions, verdict.agrees) == ("proven", 0, 0, None)
    (fallback,) = verdict.fallbacks
    assert fallback.reason == "Vela: Float32; one of INT8"
    assert fallback.fix == "quantization=int8"
    assert set(verdict.figures) == {"model_bytes"}
    assert any("nothing runs on the NPU" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("table", "name", "runs"),
    [
        ("ethos_u55", "SQRT_float32", True),  # TensorFlow Lite Micro has it
        ("ethos_u55", "TOPK_V2_int8", False),  # it does not
        ("ethos_u85", "TOPK_V2_int8", None),  # nor there, but Linux may be beside it
    ],
)
def test_whether_it_runs_depends_on_the_cpu_beside_it(planted, tmp_path, table, name, runs):
    planted([name])
    verdict = prove(target_ethos_u.run, ask(tmp_path / "a", table, name))
    assert verdict.runs is runs


def test_the_device_is_called_an_estimate(planted, tmp_path):
    planted(["RELU_float32"])
    verdict = prove(target_ethos_u.run, ask(tmp_path / "a", "ethos_u55", "RELU_float32"))
    assert verdict.device == "estimate by Vela for ethos-u55-128, Sys, 500 MHz"
    assert "outputs were not compared: there is no NPU here to run it" in verdict.notes
